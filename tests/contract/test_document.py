"""The contract as a document: complete, bounded, described and unambiguous."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import yaml
from connexion.spec import Specification

from handlers.api.problem_types import PROBLEM_TYPES
from harness import document
from harness.contract import CONTRACT
from harness.contract import OPERATIONS as RESOLVED
from harness.document import COMPONENTS, DOCUMENT
from harness.service import ROOT
from openapi import contract as contracts

PROBLEM = "application/problem+json"
OPERATIONS = dict(document.operations())
RESPONSES = dict(document.responses())
SCHEMAS = dict(document.schemas())
# Constructs that mean different things in different regex dialects.
REQUEST_SCHEMAS = {"TaskCreate", "TaskUpdate", "TaskCompletion"}
HTTP_STATUSES = {405, 408, 414, 431}  # of any HTTP server; `default` describes them
DIALECT = re.compile(r"\\[sSwWdDbB]|(?<!\\)\.(?![^\[]*\])")


def test_it_is_openapi_3_0_3_and_connexion_reads_it_unchanged() -> None:
    assert DOCUMENT["openapi"] == "3.0.3"
    assert Specification.load(contracts.PATH).raw == yaml.safe_load(CONTRACT.text)


def test_it_contains_no_template_syntax() -> None:
    assert re.findall(rb"\{[{%#]", CONTRACT.text) == []


def test_no_key_is_duplicated() -> None:
    """YAML parsers silently keep the last of two equal keys."""
    assert list(keys_written_twice(yaml.compose(CONTRACT.text.decode()))) == []


def keys_written_twice(node: yaml.Node | None) -> Iterator[str]:
    if isinstance(node, yaml.MappingNode):
        counts = Counter(key.value for key, _ in node.value)
        yield from (f"{node.start_mark}: {key}" for key, n in counts.items() if n > 1)
        for _, value in node.value:
            yield from keys_written_twice(value)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            yield from keys_written_twice(value)


# ------------------------------------------------------------------- Described


def test_every_operation_has_name_summary_description_and_tag() -> None:
    tags = {tag["name"] for tag in DOCUMENT["tags"]}
    for where, operation in OPERATIONS.items():
        assert re.fullmatch("[a-z]+(_[a-z]+)+", operation["operationId"]), where
        assert len(operation["summary"]) < len(operation["description"]), where
        assert len(operation["tags"]) == 1, where
        assert set(operation["tags"]) <= tags, where


def test_every_tag_is_described_and_used() -> None:
    used = {tag for operation in OPERATIONS.values() for tag in operation["tags"]}
    assert {tag["name"] for tag in DOCUMENT["tags"] if tag["description"]} == used


def test_everything_is_described() -> None:
    sections = ("securitySchemes", "parameters", "requestBodies", "headers", "links")
    things = [thing for section in sections for thing in document.components(section)]
    things += [("server", server) for server in DOCUMENT["servers"]]
    things += [*document.components("responses"), *RESPONSES.items(), *SCHEMAS.items()]
    things += [place for place in document.values() if "in" in place[1]]
    mute = {
        where
        for where, thing in things
        if "$ref" not in thing and not thing.get("description") and not is_inline(where)
    }
    assert mute == set()


def is_inline(where: str) -> bool:
    """Tell whether a schema is inside a parameter or header, which has the description."""
    return bool(re.match(r"#/components/(parameters|headers)/[^/]+/schema", where))


def test_every_example_says_what_it_shows() -> None:
    for where, value in [*document.values(), ("#/components", COMPONENTS)]:
        for name, example in value.get("examples", {}).items():
            assert "$ref" in example or example["summary"], f"{where}: {name}"


def test_every_component_is_used() -> None:
    used = set(re.findall(r"\$ref: '(#/components/[^']+)'", CONTRACT.text.decode()))
    kinds = [kind for kind in COMPONENTS if kind != "securitySchemes"]
    assert {where for kind in kinds for where, _ in document.components(kind)} == used


# --------------------------------------------------------------------- Bounded


def test_every_string_is_bounded() -> None:
    strings = {where: s for where, s in SCHEMAS.items() if s.get("type") == "string"}
    assert [where for where, s in strings.items() if not {"maxLength", "enum"} & set(s)] == []


def test_every_integer_has_a_format_and_a_range() -> None:
    wanted = {"format", "minimum", "maximum"}
    numbers = {where: s for where, s in SCHEMAS.items() if s.get("type") == "integer"}
    assert [where for where, s in numbers.items() if not wanted <= set(s)] == []
    assert not any(schema.get("type") == "number" for schema in SCHEMAS.values())


def test_every_array_is_bounded() -> None:
    arrays = {where: s for where, s in SCHEMAS.items() if s.get("type") == "array"}
    assert [where for where, s in arrays.items() if "maxItems" not in s] == []


def test_every_schema_has_a_type() -> None:
    assert [where for where, s in SCHEMAS.items() if not {"type", "allOf"} & set(s)] == []


def test_request_bodies_are_closed_and_responses_are_open() -> None:
    """Responses may gain properties in later versions."""
    objects = {where: s for where, s in SCHEMAS.items() if s.get("type") == "object"}
    closed = {where for where, s in objects.items() if not s.get("additionalProperties", True)}
    assert closed == {f"#/components/schemas/{name}" for name in REQUEST_SCHEMAS}


def test_patterns_mean_the_same_in_every_regex_dialect() -> None:
    patterns = {where: s["pattern"] for where, s in SCHEMAS.items() if "pattern" in s}
    assert {where: p for where, p in patterns.items() if DIALECT.search(p)} == {}
    assert [p for p in patterns.values() if not (p.startswith("^") and p.endswith("$"))] == []


def test_every_pattern_that_a_request_can_break_is_explained() -> None:
    for operation in RESOLVED.values():
        media_types = (operation.body or {}).get("content", {}).values()
        for value in [*operation.parameters, *media_types]:
            for where, schema in document.schemas_in(operation.operation_id, value["schema"]):
                assert ("pattern" in schema) is ("x-pattern-means" in schema), where


# ----------------------------------------------- Requests, responses and errors


def test_creating_updating_and_responses_have_separate_schemas() -> None:
    requested = schemas_of(
        operation.get("requestBody", {}) for operation in OPERATIONS.values()
    )
    returned = schemas_of(RESPONSES.values())
    assert requested == REQUEST_SCHEMAS
    problems = {"Problem", "ValidationProblem"}
    assert returned == {"Task", "TaskList", "Changes", "Health", *problems}


def schemas_of(messages: Iterable[dict[str, Any]]) -> set[str]:
    """Return the names of the schemas of requests or responses; each is a component."""
    contents = (component(message).get("content", {}).values() for message in messages)
    references = (media["schema"]["$ref"] for content in contents for media in content)
    return {reference.removeprefix("#/components/schemas/") for reference in references}


def component(node: dict[str, Any]) -> dict[str, Any]:
    """Resolve a reference to a component, but not the references inside it."""
    if "$ref" not in node:
        return node
    *_, kind, name = node["$ref"].split("/")
    found: dict[str, Any] = COMPONENTS[kind][name]
    return found


def test_every_error_is_a_shared_response_with_a_problem_document() -> None:
    for where, response in RESPONSES.items():
        status = where.rpartition("/")[2]
        if status < "300":
            continue
        assert response["$ref"].startswith("#/components/responses/"), where
        schema = "ValidationProblem" if status == "400" else "Problem"
        assert schemas_of([response]) == (set() if status == "304" else {schema}), where
        assert component(response).get("content", {PROBLEM: None}).keys() == {PROBLEM}, where


def test_a_problem_requires_the_members_that_clients_rely_on() -> None:
    required = {"type", "title", "status", "detail", "instance", "request_id"}
    assert set(COMPONENTS["schemas"]["Problem"]["required"]) == required
    _, more = COMPONENTS["schemas"]["ValidationProblem"]["allOf"]
    assert more["required"] == ["errors"]
    assert COMPONENTS["schemas"]["ValidationError"]["required"] == ["code", "detail"]


def test_every_response_documents_the_common_headers() -> None:
    for where, response in RESPONSES.items():
        headers = component(response)["headers"].keys()
        assert "X-Request-Id" in headers, where


def test_every_response_to_a_user_documents_the_rate_limits() -> None:
    """A 401 is a response to nobody."""
    for operation in RESOLVED.values():
        for status, response in operation.responses.items():
            documented = {"RateLimit", "RateLimit-Policy"} <= response["headers"].keys()
            if operation.secured:
                assert documented is (status != "401"), (operation.operation_id, status)


def test_every_problem_type_is_in_the_contract_and_in_its_prose() -> None:
    documented = {int(status) for each in RESOLVED.values() for status in each.statuses}
    prose = DOCUMENT["info"]["description"]
    explained = {problem_type.status for problem_type in PROBLEM_TYPES.values()}
    assert {status for status in documented if status >= 400} | HTTP_STATUSES == explained
    rows = re.findall(r"^\| ([0-9]{3}) \|", prose, re.MULTILINE)
    assert list(map(int, rows)) == sorted(explained)


def test_every_operation_has_a_default_response() -> None:
    default = {"$ref": "#/components/responses/UnexpectedError"}
    for where, operation in OPERATIONS.items():
        assert operation["responses"]["default"] == default, where


def test_every_code_of_a_validation_error_is_used() -> None:
    files = [*(ROOT / "openapi").glob("*.py"), *(ROOT / "handlers").rglob("*.py")]
    source = "".join(path.read_text() for path in files)
    codes = COMPONENTS["schemas"]["ValidationError"]["properties"]["code"]["enum"]
    assert [code for code in codes if f'"{code}"' not in source] == []


def test_the_limits_in_the_prose_are_those_of_the_schemas() -> None:
    schemas, prose = COMPONENTS["schemas"], DOCUMENT["info"]["description"].replace("\n", " ")
    body = f"{DOCUMENT['x-max-body-bytes']:,} bytes"
    limit = COMPONENTS["parameters"]["Limit"]["schema"]
    assert (
        f"A body is at most {body}, a title {schemas['Title']['maxLength']} characters, "
        f"a description {schemas['Description']['maxLength']:,}, "
        f"a page {limit['maximum']:,} tasks. A task has at most {schemas['Tags']['maxItems']} "
        f"tags of {schemas['Label']['maxLength']} characters."
    ) in prose
    assert f"A `limit` above {limit['maximum']} is a 400" in prose
    assert f"Without `limit`, a page has up to {limit['default']} tasks." in prose
    assert body in PROBLEM_TYPES["content-too-large"].detail
    assert body in COMPONENTS["responses"]["ContentTooLarge"]["description"]
    assert schemas["TaskList"]["maxItems"] == limit["maximum"]
