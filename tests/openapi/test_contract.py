"""Reading the contract: references, operations, the first server, path templates."""

import re
from pathlib import Path

import pytest

from openapi.contract import Contract, load, path_pattern

TEXT = b"""\
info: {version: 1.2.3}
servers:
  - url: /
    description: '- url: /'
  - url: /other
paths:
  /things:
    summary: {text: not an operation}
    get:
      operationId: list_things
      responses:
        '200': {$ref: '#/components/responses/a~1b~0c'}
        '404': {}
        default: {}
    post:
      operationId: create_thing
      responses: {'201': {}}
  /things/{id}:
    get:
      operationId: get_thing
      responses: {default: {}}
components:
  responses:
    a~1b~0c: not this
    a/b~c:
      description: It is there.
      headers:
        - $ref: '#/components/headers/0'
  headers: {'0': {schema: {type: string}}}
x-user-scoped-paths: {prefix: '/{user_id}/', same-as: /}
"""


@pytest.fixture
def contract(tmp_path: Path) -> Contract:
    path = tmp_path / "contract.yaml"
    path.write_bytes(TEXT)
    return load(path)


def test_the_text_is_kept_byte_for_byte(contract: Contract) -> None:
    assert contract.text == TEXT


def test_a_file_that_is_missing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"none\.yaml"):
        load(tmp_path / "none.yaml")


def test_the_version_and_the_user_scope_are_those_of_the_document(contract: Contract) -> None:
    assert contract.version == "1.2.3"
    assert contract.user_scope == ("/{user_id}/", "/")


def test_each_operation_has_its_path_and_its_documented_statuses(contract: Contract) -> None:
    assert contract.operations == {
        "list_things": ("/things", [200, 404]),
        "create_thing": ("/things", [201]),
        "get_thing": ("/things/{id}", []),
    }


def test_references_are_resolved_at_every_level(contract: Contract) -> None:
    response = {"description": "It is there.", "headers": [{"schema": {"type": "string"}}]}
    reference = {"$ref": "#/components/responses/a~1b~0c"}
    assert contract.resolve(reference) == response
    assert contract.resolve([{"x": reference}, 5]) == [{"x": response}, 5]


def test_dereferencing_goes_one_level(contract: Contract) -> None:
    header = {"$ref": "#/components/headers/0"}
    found = contract.dereference({"$ref": "#/components/responses/a~1b~0c"})
    assert found == {"description": "It is there.", "headers": [header]}
    assert contract.dereference(found) is found


@pytest.mark.parametrize(("root_path", "url"), [("", "/"), ("/", "/"), ("/todo", "/todo")])
def test_below_a_root_path_the_first_server_is_there(
    contract: Contract, root_path: str, url: str, tmp_path: Path
) -> None:
    below = contract.below(root_path)
    written = tmp_path / "below.yaml"
    written.write_bytes(below.text)
    expected = [{"url": url, "description": "- url: /"}, {"url": "/other"}]
    assert below.document["servers"] == load(written).document["servers"] == expected
    assert below.document["paths"] == contract.document["paths"]
    assert contract.document["servers"][0]["url"] == "/"


def test_only_the_first_server_is_moved() -> None:
    servers = b"servers:\n  - url: /\n    description: one\n  - url: /\n"
    document = {"servers": [{"url": "/", "description": "one"}, {"url": "/"}]}
    below = Contract(servers, document).below("/todo")
    assert below.text == servers.replace(b"/", b"/todo", 1)
    assert below.document["servers"] == [
        {"url": "/todo", "description": "one"},
        {"url": "/"},
    ]


@pytest.mark.parametrize(
    ("template", "path", "groups"),
    [
        ("/things", "/things", ()),
        ("/things/{id}", "/things/7", ("7",)),
        ("/{kind}/{id}", "/things/a.b~\n", ("things", "a.b~\n")),
        ("/{kind}/new", "/things/new", ("things",)),
        ("/a.b/{id}.json", "/a.b/7", None),
        ("/a.b", "/axb", None),
        ("/things/{id}", "/things/", None),
        ("/things/{id}", "/things/7/8", None),
        ("/things/{id}", "/things", None),
    ],
)
def test_a_template_matches_paths_with_one_segment_for_each_parameter(
    template: str, path: str, groups: tuple[str, ...] | None
) -> None:
    match = re.fullmatch(path_pattern(template), path)
    assert (match and match.groups()) == groups
