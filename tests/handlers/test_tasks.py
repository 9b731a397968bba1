"""The operations on single tasks, with both forms of their paths."""

import re
import time
from datetime import UTC, datetime
from typing import Any

import pytest

from harness.clients import AuthedClient
from harness.operation_index import Operation
from harness.operations import BY_ID, UNKNOWN_TASK_ID, name, request_operation
from harness.problems import validation_errors

ALL_FIELDS: dict[str, Any] = {
    "title": "Water the plants",
    "description": "The fern in the hall, too",
    "completed": True,
    "priority": "high",
    "due_date": "2026-12-01T17:00:00.000000Z",
    "remind_at": "2026-12-01T07:00:00.000000Z",
    "tags": ["home", "garden"],
}
OTHER_VALUES: dict[str, Any] = {
    "title": "Call the bank",
    "description": "Before noon",
    "completed": False,
    "priority": "low",
    "due_date": "2027-01-31T08:30:00.250000Z",
    "remind_at": "2027-01-30T08:30:00.250000Z",
    "tags": ["money"],
}
PATH_FORMS = {
    "flat": "/api/tasks",
    "user-scoped": "/api/{user}/tasks",
}
TEXTS = {
    "emoji": "🪴 water 👩\N{ZERO WIDTH JOINER}🌾 🧑🏽 🇺🇳 1\ufe0f\u20e3",
    "Arabic": "سقاية النباتات قبل المساء",
    "Hebrew with directional marks": "\N{RIGHT-TO-LEFT MARK}להשקות\N{LEFT-TO-RIGHT MARK}!",
    "right-to-left override": "\N{RIGHT-TO-LEFT OVERRIDE}stnalp",
    "composed": "caf\N{LATIN SMALL LETTER E WITH ACUTE}",
    "decomposed": "cafe\N{COMBINING ACUTE ACCENT}",
    "stacked combining marks": "Z" + "\N{COMBINING DIAERESIS}" * 50,
    "Chinese": "给植物浇水",
    "outside the BMP": "\U0001d51a 𐐷 𠜎",
    "noncharacters": "\ufffe\uffff\U0010ffff",
    "control characters": "a\x01\x08\x1b[31m\x7f\x85z",
    "surrounding white space": " \t\n x \r\n\u3000",
    "quotes and backslashes": '"\'`\\\\" \\u0000 \\n',
    "SQL": "'; DROP TABLE todo.tasks; --",
    "more SQL": "x' OR '1'='1' UNION SELECT * FROM todo.users /*",
    "a dollar quote": "$$; SELECT pg_sleep(10); $$ $1 %s %(title)s :title ?",
    "HTML": "<script>alert(document.cookie)</script><img src=x onerror=alert(1)>",
    "templates": "{{7*7}} {% raw %} ${7*7} #{7*7} <%= 7*7 %>",
    "a formula": "=cmd|' /C calc'!A0",
    "a path": "../../../../etc/passwd",
    "a log line": "x\r\n2026-01-01 00:00:00 INFO admin logged in",
    "JSON": '{"title": null, "user_id": "bob"}',
    "a number": "1e999",
    "null": "null",
}
BLANKS = {
    "empty": "",
    "a space": " ",
    "tabs and lines": "\t\n\r\v\f",
    "no-break spaces": "\u00a0\u202f\ufeff",
    "spaces of many widths": "\u2000\u2003\u3000\u1680",
    "separators": "\u2028\u2029",
    "control characters": "\x01\x1f\x7f\x85",
}
DUE_DATES = {
    "2026-12-01T18:00:00Z": "2026-12-01T18:00:00.000000Z",
    "2026-12-01T18:00:00+01:00": "2026-12-01T17:00:00.000000Z",
    "2026-12-01T18:00:00-05:30": "2026-12-01T23:30:00.000000Z",
    "2026-12-31T23:30:00-01:00": "2027-01-01T00:30:00.000000Z",
    "2026-01-01T00:00:00+16:00": "2025-12-31T08:00:00.000000Z",
    "2026-01-01T00:00:00+23:59": "2025-12-31T00:01:00.000000Z",
    "2026-01-01T00:00:00-23:59": "2026-01-01T23:59:00.000000Z",
    "2026-01-01T00:00:00-00:00": "2026-01-01T00:00:00.000000Z",
    "2028-02-29T12:00:00Z": "2028-02-29T12:00:00.000000Z",
    "2026-12-01T18:00:00.5Z": "2026-12-01T18:00:00.500000Z",
    "2026-12-01T18:00:00.123456Z": "2026-12-01T18:00:00.123456Z",
    "2026-12-01T18:00:00.123456789Z": "2026-12-01T18:00:00.123456Z",
    "2026-12-31T23:59:59.999999999Z": "2026-12-31T23:59:59.999999Z",
    "1000-01-01T00:00:00Z": "1000-01-01T00:00:00.000000Z",
    "1582-10-10T00:00:00Z": "1582-10-10T00:00:00.000000Z",
    "9999-12-31T23:59:59.999999Z": "9999-12-31T23:59:59.999999Z",
}
each_verb = pytest.mark.parametrize("verb", ["PUT", "PATCH"])
each_by_id = pytest.mark.parametrize("operation", BY_ID, ids=name)


def path_of(task: dict[str, Any]) -> str:
    return f"/api/tasks/{task['id']}"


def change(
    client: AuthedClient, verb: str, task: dict[str, Any], **fields: Any
) -> dict[str, Any]:
    response = client.request(verb, path_of(task), json=fields)
    assert response.status_code == 200, response.text
    changed: dict[str, Any] = response.json()
    return changed


def read(client: AuthedClient, task: dict[str, Any]) -> dict[str, Any]:
    response = client.get(path_of(task))
    assert response.status_code == 200, response.text
    stored: dict[str, Any] = response.json()
    return stored


def without_time(task: dict[str, Any]) -> dict[str, Any]:
    """Remove the times of changes, after checking that of completion."""
    assert (task["completed_at"] is not None) is task["completed"]
    times = {"updated_at", "completed_at"}
    return {key: value for key, value in task.items() if key not in times}


# Creating and reading


def test_only_the_title_is_required(alice: AuthedClient) -> None:
    task = alice.create_task("Water the plants")
    assert task == {
        "id": task["id"],
        "user_id": alice.id,
        "title": "Water the plants",
        "description": None,
        "completed": False,
        "priority": None,
        "due_date": None,
        "remind_at": None,
        "tags": [],
        "completed_at": None,
        "created_at": task["created_at"],
        "updated_at": task["created_at"],
    }


def test_a_new_task_has_every_field_that_was_sent(alice: AuthedClient) -> None:
    task = alice.create_task(**ALL_FIELDS)
    assert {field: task[field] for field in ALL_FIELDS} == ALL_FIELDS


def test_nullable_fields_of_a_new_task_may_be_null(alice: AuthedClient) -> None:
    nothing: dict[str, Any] = dict.fromkeys(
        ("description", "priority", "due_date", "remind_at")
    )
    task = alice.create_task(**nothing)
    assert {field: task[field] for field in nothing} == nothing


@pytest.mark.parametrize("priority", ["low", "medium", "high", "urgent"])
def test_every_priority_is_stored(alice: AuthedClient, priority: str) -> None:
    assert read(alice, alice.create_task(priority=priority))["priority"] == priority


def test_a_task_is_read_as_it_was_created(alice: AuthedClient) -> None:
    task = alice.create_task(**ALL_FIELDS)
    assert read(alice, task) == task
    assert alice.list_tasks() == [task]


def test_location_is_the_path_of_the_new_task(alice: AuthedClient) -> None:
    created = alice.post("/api/tasks", json={"title": "x"})
    found = alice.get(created.headers["location"])
    assert found.json() == created.json()
    assert found.headers["etag"] == created.headers["etag"]


def test_each_post_creates_another_task(alice: AuthedClient) -> None:
    ids = {alice.create_task("the same")["id"] for _ in range(3)}
    assert {task["id"] for task in alice.list_tasks()} == ids
    assert len(ids) == 3


def test_timestamps_are_in_utc_to_the_microsecond(alice: AuthedClient) -> None:
    before = time.time()
    task = alice.create_task()
    after = time.time()
    created = datetime.fromisoformat(task["created_at"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", task["created_at"])
    assert before <= created.timestamp() <= after
    assert created.tzinfo == UTC


@pytest.mark.parametrize("sent", DUE_DATES)
def test_a_due_date_with_any_offset_is_returned_in_utc(alice: AuthedClient, sent: str) -> None:
    task = alice.create_task(due_date=sent)
    assert task["due_date"] == DUE_DATES[sent]
    assert read(alice, task) == task


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_texts_are_returned_unchanged(alice: AuthedClient, text: str) -> None:
    task = alice.create_task(text, description=text)
    assert (task["title"], task["description"]) == (text, text)
    assert alice.list_tasks() == [task]
    assert change(alice, "PUT", alice.create_task(), title=text)["title"] == text


def test_an_empty_description_is_distinct_from_null(alice: AuthedClient) -> None:
    task = alice.create_task(description="")
    assert read(alice, task)["description"] == ""


@pytest.mark.parametrize("character", ["x", "é", "漢", "😀", "\N{COMBINING ACUTE ACCENT}"])
def test_lengths_are_counted_in_characters_not_bytes(
    alice: AuthedClient, character: str
) -> None:
    longest: dict[str, Any] = {"title": character * 200, "description": character * 1000}
    task = alice.create_task(**longest)
    assert {field: task[field] for field in longest} == longest
    longer = {field: value + character for field, value in longest.items()}
    assert validation_errors(alice.post("/api/tasks", json=longer)) == {
        "#/title": "must be at most 200 characters long",
        "#/description": "must be at most 1000 characters long",
    }
    assert alice.list_tasks() == [task]


@pytest.mark.parametrize("title", BLANKS.values(), ids=BLANKS)
def test_a_blank_title_is_refused(alice: AuthedClient, title: str) -> None:
    task = alice.create_task("not blank")
    for response in (
        alice.post("/api/tasks", json={"title": title}),
        alice.put(path_of(task), json={"title": title}),
        alice.patch(path_of(task), json={"title": title}),
    ):
        assert "something other than white space" in validation_errors(response)["#/title"]
    assert alice.list_tasks() == [task]


# Updating


@each_verb
@pytest.mark.parametrize("field", OTHER_VALUES)
def test_updating_one_field_leaves_the_others_unchanged(
    alice: AuthedClient, verb: str, field: str
) -> None:
    task = alice.create_task(**ALL_FIELDS)
    changed = change(alice, verb, task, **{field: OTHER_VALUES[field]})
    assert without_time(changed) == without_time(task) | {field: OTHER_VALUES[field]}
    assert changed["updated_at"] > task["updated_at"]
    assert read(alice, task) == changed


@each_verb
def test_all_fields_can_be_changed_at_once(alice: AuthedClient, verb: str) -> None:
    task = alice.create_task(**ALL_FIELDS)
    changed = change(alice, verb, task, **OTHER_VALUES)
    assert without_time(changed) == without_time(task) | OTHER_VALUES
    assert read(alice, task) == changed


@each_verb
@pytest.mark.parametrize("field", ["description", "priority", "due_date", "remind_at"])
def test_null_clears_a_nullable_field(alice: AuthedClient, verb: str, field: str) -> None:
    task = alice.create_task(**ALL_FIELDS)
    changed = change(alice, verb, task, **{field: None})
    assert without_time(changed) == without_time(task) | {field: None}


@each_verb
def test_null_is_refused_for_a_field_that_is_not_nullable(
    alice: AuthedClient, verb: str
) -> None:
    task = alice.create_task(**ALL_FIELDS)
    refusal = alice.request(
        verb, path_of(task), json={"title": None, "completed": None, "tags": None}
    )
    assert validation_errors(refusal) == {
        "#/title": "must be a string",
        "#/completed": "must be true or false",
        "#/tags": "must be an array",
    }
    assert read(alice, task) == task


@each_verb
def test_an_empty_object_changes_nothing_and_is_refused(alice: AuthedClient, verb: str) -> None:
    task = alice.create_task(**ALL_FIELDS)
    refusal = alice.request(verb, path_of(task), json={})
    assert validation_errors(refusal) == {"#": "must contain at least 1 field"}
    assert read(alice, task) == task


@each_verb
def test_an_update_with_one_error_changes_nothing(alice: AuthedClient, verb: str) -> None:
    task = alice.create_task(**ALL_FIELDS)
    refusal = alice.request(verb, path_of(task), json={**OTHER_VALUES, "priority": "asap"})
    assert validation_errors(refusal) == {
        "#/priority": "must be low, medium, high, urgent or null"
    }
    assert read(alice, task) == task


READ_ONLY = ("id", "user_id", "completed_at", "created_at", "updated_at")


@pytest.mark.parametrize("field", [*READ_ONLY, "version"])
def test_read_only_fields_cannot_be_sent_for_a_new_task(
    alice: AuthedClient, field: str
) -> None:
    task = alice.create_task(completed=True)
    response = alice.post("/api/tasks", json={"title": "x", field: task.get(field, 5)})
    assert validation_errors(response) == {f"#/{field}": "is not a known field"}
    assert alice.list_tasks() == [task]


@each_verb
@pytest.mark.parametrize("field", READ_ONLY)
def test_read_only_fields_of_an_update_are_ignored(
    alice: AuthedClient, bob: AuthedClient, verb: str, field: str
) -> None:
    other = bob.create_task(completed=True)
    task = alice.create_task(completed=True)
    changed = change(alice, verb, task, title="y", **{field: other[field]})
    assert without_time(changed) == without_time(task) | {"title": "y"}
    assert changed["completed_at"] == task["completed_at"]
    assert changed["updated_at"] > task["updated_at"] > other["updated_at"]


@each_verb
def test_an_unknown_field_cannot_be_sent(alice: AuthedClient, verb: str) -> None:
    task = alice.create_task()
    response = alice.request(verb, path_of(task), json={"title": "y", "version": 5})
    assert validation_errors(response) == {"#/version": "is not a known field"}
    assert alice.list_tasks() == [task]


@each_verb
def test_a_description_can_be_emptied(alice: AuthedClient, verb: str) -> None:
    task = alice.create_task(description="x")
    assert change(alice, verb, task, description="")["description"] == ""


# Completing


def test_completing_without_a_body_toggles(alice: AuthedClient) -> None:
    task = alice.create_task(**ALL_FIELDS)
    for completed in (False, True, False):
        response = alice.patch(f"{path_of(task)}/complete")
        assert response.status_code == 200
        assert without_time(response.json()) == without_time(task) | {"completed": completed}
        assert read(alice, task) == response.json()


EMPTY_BODIES: dict[str, dict[str, Any]] = {
    "an empty object": {"json": {}},
    "a JSON content type and no body": {"headers": {"Content-Type": "application/json"}},
    "another content type and no body": {"headers": {"Content-Type": "text/plain"}},
    "a body of no bytes": {"content": b""},
    "a chunked body of no chunks": {"content": iter(())},
    "white space around an empty object": {
        "content": b" {\n} ",
        "headers": {"Content-Type": "application/json"},
    },
}


@pytest.mark.parametrize("how", EMPTY_BODIES)
def test_completing_with_an_empty_body_toggles(alice: AuthedClient, how: str) -> None:
    task = alice.create_task()
    response = alice.patch(f"{path_of(task)}/complete", **EMPTY_BODIES[how])
    assert response.status_code == 200
    assert response.json()["completed"] is True


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("wanted", [True, False])
def test_completing_with_a_value_is_idempotent(
    alice: AuthedClient, *, before: bool, wanted: bool
) -> None:
    task = alice.create_task(completed=before)
    for _ in range(2):
        response = alice.patch(f"{path_of(task)}/complete", json={"completed": wanted})
        assert without_time(response.json()) == without_time(task) | {"completed": wanted}


@pytest.mark.parametrize("value", [None, "true", 0, 1, [], {}])
def test_completing_with_anything_but_true_or_false_is_refused(
    alice: AuthedClient, value: Any
) -> None:
    task = alice.create_task()
    refusal = alice.patch(f"{path_of(task)}/complete", json={"completed": value})
    assert validation_errors(refusal) == {"#/completed": "must be true or false"}
    assert read(alice, task) == task


def test_completing_refuses_other_fields(alice: AuthedClient) -> None:
    task = alice.create_task()
    refusal = alice.patch(f"{path_of(task)}/complete", json={"title": "y", "completed": True})
    assert validation_errors(refusal) == {"#/title": "is not a known field"}
    assert read(alice, task) == task


# Deleting


def test_deleting_a_task_leaves_the_others(alice: AuthedClient) -> None:
    other = alice.create_task("other")
    task = alice.create_task("deleted")
    response = alice.delete(path_of(task))
    assert (response.status_code, response.content) == (204, b"")
    assert alice.list_tasks() == [other]
    for operation in BY_ID:
        assert request_operation(alice, operation, task["id"]).status_code == 404


@each_by_id
def test_a_foreign_task_is_forbidden_and_a_missing_one_not_found(
    alice: AuthedClient, bob: AuthedClient, operation: Operation
) -> None:
    task = alice.create_task(**ALL_FIELDS)
    assert request_operation(bob, operation, task["id"]).status_code == 403
    assert request_operation(bob, operation, UNKNOWN_TASK_ID).status_code == 404
    assert alice.list_tasks() == [task]


@each_by_id
def test_an_id_may_be_written_in_upper_case(alice: AuthedClient, operation: Operation) -> None:
    task = alice.create_task()
    response = request_operation(alice, operation, task["id"].upper())
    assert response.is_success
    if response.content:
        assert response.json()["id"] == task["id"]


# Forms of the path


def exercise_operations(client: AuthedClient, tasks: str, slash: str) -> None:
    """Call every operation on a task, with one form of the path."""
    created = client.post(f"{tasks}{slash}", json={"title": "x"})
    assert created.status_code == 201
    assert created.headers["location"] == path_of(created.json())
    task = f"{tasks}/{created.json()['id']}"
    listed = client.get(f"{tasks}{slash}?status=all")
    assert listed.json() == [created.json()]
    assert client.get(f"{task}{slash}").json() == created.json()
    assert client.put(f"{task}{slash}", json={"title": "y"}).json()["title"] == "y"
    assert client.patch(f"{task}{slash}", json={"title": "z"}).json()["title"] == "z"
    assert client.patch(f"{task}/complete{slash}").json()["completed"] is True
    assert client.head(f"{task}{slash}").status_code == 200
    assert client.delete(f"{task}{slash}").status_code == 204
    assert client.get(f"{tasks}{slash}").json() == []


@pytest.mark.parametrize("slash", ["", "/", "//"], ids=["plain", "slash", "slashes"])
@pytest.mark.parametrize("form", PATH_FORMS)
def test_every_form_of_the_path_works_without_a_redirect(
    alice: AuthedClient, form: str, slash: str
) -> None:
    exercise_operations(alice, PATH_FORMS[form].format(user=alice.id), slash)


# HEAD


@pytest.mark.parametrize("path", ["/api/tasks", "/api/tasks?limit=1", "{task}"])
def test_head_returns_the_headers_of_get_without_the_body(
    alice: AuthedClient, path: str
) -> None:
    alice.create_task()
    path = path.format(task=path_of(alice.create_task()))
    get, head = alice.get(path), alice.head(path)
    assert (head.status_code, head.content) == (200, b"")
    varying = {"date", "x-request-id"}
    assert {k: v for k, v in head.headers.items() if k not in varying} == {
        k: v for k, v in get.headers.items() if k not in varying
    }
