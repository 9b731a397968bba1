"""Conditional requests (RFC 9110, 13): entity tags spare traffic and lost updates."""

from itertools import pairwise
from typing import Any

import httpx
import pytest

from harness.clients import AuthedClient
from harness.operation_index import Operation
from harness.operations import BY_ID, UNKNOWN_TASK_ID, name, request_operation
from harness.problems import validation_errors

CHANGES = [operation for operation in BY_ID if operation.method != "GET"]
each_change = pytest.mark.parametrize("operation", CHANGES, ids=name)

UNCHANGED = {
    "the tag": "{tag}",
    "the tag, weak": "W/{tag}",
    "a list with the tag": '"x", {tag}, "y"',
    "a list with the tag, weak": '"x",W/{tag}',
    "a list without spaces": '"x",{tag},"y"',
    "a list with tabs": '"x"\t,\t{tag}',
    "any": "*",
}
CHANGED = {
    "another tag": '"other"',
    "an empty tag": '""',
    "the tag and more": '"{bare}0"',
    "a tag that contains the tag": '"a{bare}"',
    "other tags": '"a", W/"b", "*"',
    "a star in quotes": '"*"',
}
UNEQUAL = {  # … where something is to be changed, though a read would find them equal, or close
    "the tag, weak": "W/{tag}",
    "a list with the tag, weak": 'W/{tag}, "x"',
    "a zero before": '"0{bare}"',
    "a plus before": '"+{bare}"',
    "a space before, encoded": '"%20{bare}"',
    "a fraction": '"{bare}.0"',
    "negative": '"-1"',
    "64 bits": '"9223372036854775807"',
    "more than 64 bits": '"9223372036854775808"',
    "900 digits": f'"{"9" * 900}"',
}
GARBAGE = {
    "no quotes": "{bare}",
    "half a quote": '"{bare}',
    "single quotes": "'{bare}'",
    "a small w": "w/{tag}",
    "two stars": "**",
    "a star and a tag": "*, {tag}",
    "a comma at the end": "{tag},",
    "no comma": '{tag} "x"',
    "semicolons": '{tag}; "x"',
    "a space in a tag": '"a b"',
    "a quote in a tag": '"a"b"',
    "nothing": "",
    "1,001 characters": f'"{"x" * 999}"',
}


def written(pattern: str, tag: str) -> str:
    return pattern.format(tag=tag, bare=tag.strip('"'))


def tagged(client: AuthedClient, **fields: Any) -> tuple[str, str]:
    """Create a task; return its path and its entity tag."""
    answer = client.post("/api/tasks", json={"title": "x", **fields})
    return answer.headers["location"], answer.headers["etag"]


# Tags


def test_the_tag_of_a_task_changes_with_every_change(alice: AuthedClient) -> None:
    path, tag = tagged(alice)
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
    path, tag = tagged(alice)
    alice.put(path, json={"title": ""})
    bob.put(path, json={"title": "bob's"})
    alice.put(path, json={"title": "y"}, headers={"If-Match": '"other"'})
    assert alice.get(path).headers["etag"] == tag


def test_the_tag_of_a_list_changes_with_what_it_shows(alice: AuthedClient) -> None:
    def tag(**query: str) -> str:
        return alice.get("/api/tasks", params=query).headers["etag"]

    seen = [tag()]
    path, _ = tagged(alice)
    seen.append(tag())
    alice.patch(f"{path}/complete")
    seen.append(tag())
    alice.delete(path)
    seen.append(tag())
    assert all(before != after for before, after in pairwise(seen))
    assert seen[0] == seen[-1]


# Reads


@pytest.fixture(params=["task", "list", "empty list"])
def page(alice: AuthedClient, request: pytest.FixtureRequest) -> tuple[str, str]:
    """Return the path of something to read, and its entity tag."""
    if request.param == "task":
        return tagged(alice)
    if request.param == "list":
        tagged(alice)
    return "/api/tasks", alice.get("/api/tasks").headers["etag"]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_what_has_not_changed_is_not_sent_again(
    alice: AuthedClient, page: tuple[str, str], method: str
) -> None:
    path, tag = page
    for how, pattern in UNCHANGED.items():
        answer = alice.request(method, path, headers={"If-None-Match": written(pattern, tag)})
        assert (answer.status_code, answer.content) == (304, b""), how
        assert answer.headers["etag"] == tag
        assert "content-type" not in answer.headers


def test_what_has_changed_is_sent(alice: AuthedClient, page: tuple[str, str]) -> None:
    path, tag = page
    plain = alice.get(path)
    for how, pattern in CHANGED.items():
        answer = alice.get(path, headers={"If-None-Match": written(pattern, tag)})
        assert (answer.status_code, answer.json()) == (200, plain.json()), how


def test_a_read_on_a_garbled_condition_is_refused(
    alice: AuthedClient, page: tuple[str, str]
) -> None:
    path, tag = page
    for how, pattern in GARBAGE.items():
        answer = alice.get(path, headers={"If-None-Match": written(pattern, tag)})
        assert validation_errors(answer).keys() == {"If-None-Match"}, how


def test_a_tag_from_before_a_change_fetches_the_task_anew(alice: AuthedClient) -> None:
    path, tag = tagged(alice)
    changed = alice.put(path, json={"title": "y"})
    answer = alice.get(path, headers={"If-None-Match": tag})
    assert (answer.status_code, answer.json()) == (200, changed.json())


@pytest.mark.parametrize("path", ["/api/tasks?status=foo", f"/api/tasks/{UNKNOWN_TASK_ID}"])
def test_a_condition_hides_no_error(alice: AuthedClient, path: str) -> None:
    plain = alice.get(path)
    assert alice.get(path, headers={"If-None-Match": "*"}).json() == plain.json()


def test_anothers_tag_opens_nothing(alice: AuthedClient, bob: AuthedClient) -> None:
    path, tag = tagged(alice)
    assert bob.get(path, headers={"If-None-Match": tag}).status_code == 403
    assert bob.get(path, headers={"If-None-Match": "*"}).status_code == 403


# Changes


def changed(
    client: AuthedClient, operation: Operation, path: str, *tags: str
) -> httpx.Response:
    """Ask for a change on condition of these tags, each in a header of its own."""
    headers = httpx.Headers([("If-Match", tag) for tag in tags])
    return request_operation(client, operation, path.rpartition("/")[2], headers=headers)


def untouched(client: AuthedClient, path: str, tag: str) -> bool:
    return client.get(path).headers["etag"] == tag


@each_change
@pytest.mark.parametrize(
    "pattern", ["{tag}", "*", '"x", {tag}', '{tag},W/"y"', '"a" , "b" ,\t{tag}']
)
def test_a_change_happens_if_nobody_was_faster(
    alice: AuthedClient, operation: Operation, pattern: str
) -> None:
    path, tag = tagged(alice)
    assert changed(alice, operation, path, written(pattern, tag)).is_success


@each_change
def test_tags_may_come_in_several_headers(alice: AuthedClient, operation: Operation) -> None:
    path, tag = tagged(alice)
    assert changed(alice, operation, path, '"x"', tag, 'W/"y"').is_success


@each_change
def test_a_change_is_refused_if_somebody_was_faster(
    alice: AuthedClient, operation: Operation
) -> None:
    path, tag = tagged(alice)
    for how, pattern in {**CHANGED, **UNEQUAL}.items():
        answer = changed(alice, operation, path, written(pattern, tag))
        assert answer.status_code == 412, how
    assert untouched(alice, path, tag)


@each_change
def test_a_stale_tag_is_of_no_use_and_the_new_one_is(
    alice: AuthedClient, operation: Operation
) -> None:
    path, stale = tagged(alice)
    fresh = alice.put(path, json={"title": "faster"}).headers["etag"]
    assert changed(alice, operation, path, stale).status_code == 412
    assert untouched(alice, path, fresh)
    assert changed(alice, operation, path, fresh).is_success


@each_change
def test_a_change_on_a_garbled_condition_is_refused(
    alice: AuthedClient, operation: Operation
) -> None:
    path, tag = tagged(alice)
    for how, pattern in GARBAGE.items():
        answer = changed(alice, operation, path, written(pattern, tag))
        assert validation_errors(answer).keys() == {"If-Match"}, how
    assert untouched(alice, path, tag)


@each_change
@pytest.mark.parametrize("condition", ["*", '"1"'])
def test_a_condition_does_not_hide_that_there_is_no_such_task(
    alice: AuthedClient, bob: AuthedClient, operation: Operation, condition: str
) -> None:
    path, tag = tagged(alice)
    assert changed(alice, operation, f"/{UNKNOWN_TASK_ID}", condition).status_code == 404
    assert changed(bob, operation, path, condition).status_code == 403
    assert untouched(alice, path, tag)
