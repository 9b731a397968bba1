"""Conditional requests (RFC 9110, 13): entity tags save traffic and prevent lost updates."""

import re
from typing import Any

import httpx
import pytest

from harness.clients import AuthedClient
from harness.operation_index import Operation
from harness.operations import BY_ID, UNKNOWN_TASK_ID, name, request_operation
from harness.problems import validation_errors
from models.queries import REPRESENTATION_VERSION

CHANGES = [operation for operation in BY_ID if operation.method != "GET"]
each_change = pytest.mark.parametrize("operation", CHANGES, ids=name)

CURRENT = f"{REPRESENTATION_VERSION}-"
"""What a tag contains before the version of a task, or the revision of a list."""

MATCHING = {
    "the tag": "{tag}",
    "the tag, weak": "W/{tag}",
    "a list with the tag": '"x", {tag}, "y"',
    "a list with the tag, weak": '"x",W/{tag}',
    "a list without spaces": '"x",{tag},"y"',
    "a list with tabs": '"x"\t,\t{tag}',
    "a list with empty elements": ',, "x",{tag},',
    "any": "*",
}
NOT_MATCHING = {
    "another tag": '"other"',
    "an empty tag": '""',
    "the tag with a suffix": '"{bare}0"',
    "a tag that contains the tag": '"a{bare}"',
    "other tags": '"a", W/"b", "*"',
    "a star in quotes": '"*"',
}
# Not equal in a strong comparison, which If-Match requires, although some are close.
NOT_STRONGLY_EQUAL = {
    "the tag, weak": "W/{tag}",
    "a list with the tag, weak": 'W/{tag}, "x"',
    "a leading zero": '"0{bare}"',
    "a leading plus": '"+{bare}"',
    "an encoded leading space": '"%20{bare}"',
    "a fraction": '"{bare}.0"',
    "negative": '"-1"',
    "64 bits": '"9223372036854775807"',
    "more than 64 bits": '"9223372036854775808"',
    "900 digits": f'"{"9" * 900}"',
}
# Not entity tags, although some contain one: they match nothing.
MALFORMED = {
    "no quotes": "{bare}",
    "an unclosed quote": '"{bare}',
    "single quotes": "'{bare}'",
    "a lower-case w": "w/{tag}",
    "two stars": "**",
    "a star and a tag": "*, {tag}",
    "a tag after half of another": '"a{tag}',
    "no comma": '{tag} "x"',
    "semicolons": '{tag}; "x"',
    "a space in a tag": '"a b"',
    "a quote in a tag": '"a"b"',
    "empty": "",
    "a number": "0",
}


def with_tag(pattern: str, tag: str) -> str:
    return pattern.format(tag=tag, bare=tag.strip('"'))


def create_tagged(client: AuthedClient, **fields: Any) -> tuple[str, str]:
    """Create a task; return its path and entity tag."""
    response = client.post("/api/tasks", json={"title": "x", **fields})
    return response.headers["location"], response.headers["etag"]


# Tags


def test_the_tag_of_a_task_changes_with_every_change(alice: AuthedClient) -> None:
    path, tag = create_tagged(alice)
    tags = [
        tag,
        alice.put(path, json={"title": "y"}).headers["etag"],
        alice.patch(path, json={"title": "z"}).headers["etag"],
        alice.patch(f"{path}/complete").headers["etag"],
        alice.patch(f"{path}/complete").headers["etag"],
    ]
    assert len(set(tags)) == len(tags)
    assert alice.get(path).headers["etag"] == alice.head(path).headers["etag"] == tags[-1]


def test_a_request_that_is_refused_changes_no_tag(
    alice: AuthedClient, bob: AuthedClient
) -> None:
    path, tag = create_tagged(alice)
    alice.put(path, json={"title": ""})
    bob.put(path, json={"title": "bob's"})
    alice.put(path, json={"title": "y"}, headers={"If-Match": '"other"'})
    assert alice.get(path).headers["etag"] == tag


def test_the_tag_of_a_list_changes_with_its_content(alice: AuthedClient) -> None:
    def tag(**query: str) -> str:
        return alice.get("/api/tasks", params=query).headers["etag"]

    seen = [tag()]
    path, _ = create_tagged(alice)
    seen.append(tag())
    alice.patch(f"{path}/complete")
    seen.append(tag())
    alice.delete(path)
    seen.append(tag())
    assert len(set(seen)) == len(seen)
    assert seen[0] == f'"l{REPRESENTATION_VERSION}-0"'
    assert all(re.fullmatch(r'"l[0-9]+-[0-9]{16}"', each) for each in seen[1:])


# Reads


@pytest.fixture(params=["task", "list", "empty list"])
def page(alice: AuthedClient, request: pytest.FixtureRequest) -> tuple[str, str]:
    """Return the path and the entity tag of a readable resource."""
    if request.param == "task":
        return create_tagged(alice)
    if request.param == "list":
        create_tagged(alice)
    return "/api/tasks", alice.get("/api/tasks").headers["etag"]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_an_unchanged_representation_is_not_sent_again(
    alice: AuthedClient, page: tuple[str, str], method: str
) -> None:
    path, tag = page
    for how, pattern in MATCHING.items():
        response = alice.request(
            method, path, headers={"If-None-Match": with_tag(pattern, tag)}
        )
        assert (response.status_code, response.content) == (304, b""), how
        assert response.headers["etag"] == tag
        assert "content-type" not in response.headers


def test_a_changed_representation_is_sent(alice: AuthedClient, page: tuple[str, str]) -> None:
    path, tag = page
    plain = alice.get(path)
    for how, pattern in NOT_MATCHING.items():
        response = alice.get(path, headers={"If-None-Match": with_tag(pattern, tag)})
        assert (response.status_code, response.json()) == (200, plain.json()), how


def test_a_malformed_condition_of_a_read_matches_nothing(
    alice: AuthedClient, page: tuple[str, str]
) -> None:
    path, tag = page
    plain = alice.get(path)
    for how, pattern in MALFORMED.items():
        response = alice.get(path, headers={"If-None-Match": with_tag(pattern, tag)})
        assert (response.status_code, response.json()) == (200, plain.json()), how


INVALID = {"not ASCII": "é".encode(), "1,001 characters": b'"' + 999 * b"x" + b'"'}


@pytest.mark.parametrize("value", INVALID.values(), ids=INVALID)
def test_a_condition_that_violates_the_contract_is_refused(
    alice: AuthedClient, page: tuple[str, str], value: bytes
) -> None:
    path, _ = page
    response = alice.get(path, headers={b"If-None-Match": value})
    assert validation_errors(response).keys() == {"If-None-Match"}
    response = alice.patch(
        f"/api/tasks/{UNKNOWN_TASK_ID}", headers={b"If-Match": value}, json={"title": "x"}
    )
    assert validation_errors(response).keys() == {"If-Match"}


def test_a_stale_tag_fetches_the_current_task(alice: AuthedClient) -> None:
    path, tag = create_tagged(alice)
    changed = alice.put(path, json={"title": "y"})
    response = alice.get(path, headers={"If-None-Match": tag})
    assert (response.status_code, response.json()) == (200, changed.json())


def test_a_tag_of_an_older_representation_fetches_the_current_one(
    alice: AuthedClient, page: tuple[str, str]
) -> None:
    path, tag = page
    plain = alice.get(path)
    for version in (f"{REPRESENTATION_VERSION - 1}-", ""):
        old = tag.replace(CURRENT, version)
        response = alice.get(path, headers={"If-None-Match": f"{old}, W/{old}"})
        assert (response.status_code, response.json()) == (200, plain.json()), old
        assert response.headers["etag"] == tag


@pytest.mark.parametrize("path", ["/api/tasks?status=foo", f"/api/tasks/{UNKNOWN_TASK_ID}"])
def test_a_condition_hides_no_error(alice: AuthedClient, path: str) -> None:
    plain = alice.get(path)
    response = alice.get(path, headers={"If-None-Match": "*"})
    varying = {"request_id": response.headers["x-request-id"]}
    assert response.json() == plain.json() | varying


def test_the_tag_of_another_users_task_grants_no_access(
    alice: AuthedClient, bob: AuthedClient
) -> None:
    path, tag = create_tagged(alice)
    assert bob.get(path, headers={"If-None-Match": tag}).status_code == 403
    assert bob.get(path, headers={"If-None-Match": "*"}).status_code == 403


# Changes


def conditional_change(
    client: AuthedClient, operation: Operation, path: str, *tags: str
) -> httpx.Response:
    """Send a change with each tag in an If-Match header of its own."""
    headers = httpx.Headers([("If-Match", tag) for tag in tags])
    return request_operation(client, operation, path.rpartition("/")[2], headers=headers)


def is_unchanged(client: AuthedClient, path: str, tag: str) -> bool:
    return client.get(path).headers["etag"] == tag


@each_change
@pytest.mark.parametrize(
    "pattern", ["{tag}", "*", '"x", {tag}', '{tag},W/"y"', '"a" , "b" ,\t{tag}']
)
def test_a_change_is_applied_if_the_tag_is_current(
    alice: AuthedClient, operation: Operation, pattern: str
) -> None:
    path, tag = create_tagged(alice)
    assert conditional_change(alice, operation, path, with_tag(pattern, tag)).is_success


@each_change
@pytest.mark.parametrize(
    "other", ["", f"{REPRESENTATION_VERSION - 1}-", f"{REPRESENTATION_VERSION + 1}-"]
)
def test_a_tag_of_another_representation_permits_a_change_of_its_version(
    alice: AuthedClient, operation: Operation, other: str
) -> None:
    """A client that read the task before an upgrade, or beside a newer service."""
    path, tag = create_tagged(alice)
    stale = tag.replace(CURRENT, other)
    fresh = alice.put(path, json={"title": "y"}).headers["etag"].replace(CURRENT, other)
    assert conditional_change(alice, operation, path, stale).status_code == 412
    assert conditional_change(alice, operation, path, fresh).is_success


@each_change
def test_tags_may_be_sent_in_several_headers(alice: AuthedClient, operation: Operation) -> None:
    path, tag = create_tagged(alice)
    assert conditional_change(alice, operation, path, '"x"', tag, 'W/"y"').is_success


@each_change
def test_a_change_is_refused_if_no_tag_matches(
    alice: AuthedClient, operation: Operation
) -> None:
    path, tag = create_tagged(alice)
    for how, pattern in {**NOT_MATCHING, **NOT_STRONGLY_EQUAL}.items():
        response = conditional_change(alice, operation, path, with_tag(pattern, tag))
        assert response.status_code == 412, how
    assert is_unchanged(alice, path, tag)


@each_change
def test_a_stale_tag_is_refused_and_the_new_one_accepted(
    alice: AuthedClient, operation: Operation
) -> None:
    path, stale = create_tagged(alice)
    fresh = alice.put(path, json={"title": "faster"}).headers["etag"]
    assert conditional_change(alice, operation, path, stale).status_code == 412
    assert is_unchanged(alice, path, fresh)
    assert conditional_change(alice, operation, path, fresh).is_success


@each_change
def test_a_malformed_condition_of_a_change_matches_nothing(
    alice: AuthedClient, operation: Operation
) -> None:
    path, tag = create_tagged(alice)
    for how, pattern in MALFORMED.items():
        response = conditional_change(alice, operation, path, with_tag(pattern, tag))
        assert response.status_code == 412, how
    assert is_unchanged(alice, path, tag)


@each_change
@pytest.mark.parametrize("condition", ["*", '"1"'])
def test_a_condition_does_not_hide_a_missing_or_foreign_task(
    alice: AuthedClient, bob: AuthedClient, operation: Operation, condition: str
) -> None:
    path, tag = create_tagged(alice)
    assert (
        conditional_change(alice, operation, f"/{UNKNOWN_TASK_ID}", condition).status_code
        == 404
    )
    assert conditional_change(bob, operation, path, condition).status_code == 403
    assert is_unchanged(alice, path, tag)
