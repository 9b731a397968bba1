"""Fields of version 1.0.0, tasks that are sent back as read, and clearing."""

from datetime import UTC, datetime
from typing import Any

import pytest

from harness.clients import AuthedClient
from harness.problems import validation_errors

Task = dict[str, Any]

READ_ONLY = ("id", "user_id", "completed_at", "created_at", "updated_at")
OTHER_VALUES = {
    "id": "7d3f9a52-4c1e-4b8a-9f06-2e5d8c7b1a90",
    "user_id": "bob",
    "completed_at": "2020-01-01T00:00:00.000000Z",
    "created_at": "2020-01-01T00:00:00.000000Z",
    "updated_at": "2020-01-01T00:00:00.000000Z",
}


def update(alice: AuthedClient, task: Task, method: str = "PATCH", **fields: Any) -> Task:
    response = alice.request(method, f"/api/tasks/{task['id']}", json=fields)
    assert response.status_code == 200, response.text
    changed: Task = response.json()
    return changed


def complete(alice: AuthedClient, task: Task, body: dict[str, bool] | None = None) -> Task:
    response = alice.patch(f"/api/tasks/{task['id']}/complete", json=body)
    assert response.status_code == 200, response.text
    changed: Task = response.json()
    return changed


def without(task: Task, *names: str) -> Task:
    return {name: value for name, value in task.items() if name not in names}


# A task that is sent back


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
@pytest.mark.parametrize("status", ["completed", "pending"])
def test_a_task_may_be_sent_back_as_it_was_read(
    method: str,
    status: str,
    alice: AuthedClient,
) -> None:
    task = alice.create_task(
        description="d",
        completed=status == "completed",
        priority="low",
        due_date="2026-12-01T18:00:00+01:00",
        remind_at="2026-12-01T08:00:00+01:00",
        tags=["home"],
    )
    changed = update(alice, task, method, **{**task, "title": "Changed"})
    assert without(changed, "updated_at") == without({**task, "title": "Changed"}, "updated_at")
    assert changed["updated_at"] > task["updated_at"]
    assert alice.list_tasks() == [changed]


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_read_only_fields_are_ignored(method: str, alice: AuthedClient) -> None:
    task = alice.create_task(completed=True)
    changed = update(alice, task, method, title="Changed", **OTHER_VALUES)
    assert without(changed, "title", "updated_at") == without(task, "title", "updated_at")
    assert changed["updated_at"] > task["updated_at"]
    assert update(alice, task, method, completed_at=None)["completed_at"] is not None
    for name in READ_ONLY:  # one alone is an update that changes nothing but updated_at
        again = update(alice, task, method, **{name: OTHER_VALUES[name]})
        assert without(again, "updated_at") == without(changed, "updated_at")


@pytest.mark.parametrize("name", READ_ONLY)
def test_a_new_task_has_no_read_only_fields(name: str, alice: AuthedClient) -> None:
    response = alice.post("/api/tasks", json={"title": "x", name: OTHER_VALUES[name]})
    assert validation_errors(response) == {f"#/{name}": "is not a known field"}


def test_a_read_only_field_of_the_wrong_type_is_refused(alice: AuthedClient) -> None:
    task = alice.create_task()
    for name in READ_ONLY:
        response = alice.put(f"/api/tasks/{task['id']}", json={name: 1})
        assert validation_errors(response).keys() == {f"#/{name}"}
    assert alice.list_tasks() == [task]


def test_a_patch_may_be_a_merge_patch(alice: AuthedClient) -> None:
    task = alice.create_task(description="d")
    path = f"/api/tasks/{task['id']}"
    for media_type in (
        "application/merge-patch+json",
        "application/merge-patch+json; charset=utf-8",
        "Application/Merge-Patch+JSON",
    ):
        response = alice.patch(
            path, content=b'{"description": null}', headers={"Content-Type": media_type}
        )
        assert response.status_code == 200
        assert response.json()["description"] is None
        assert response.json()["title"] == task["title"]


def test_only_a_patch_of_a_task_may_be_a_merge_patch(alice: AuthedClient) -> None:
    task = alice.create_task()
    path = f"/api/tasks/{task['id']}"
    headers = {"Content-Type": "application/merge-patch+json"}
    for method, where in (("POST", "/api/tasks"), ("PUT", path), ("PATCH", f"{path}/complete")):
        response = alice.request(method, where, content=b'{"title": "x"}', headers=headers)
        assert response.status_code == 415, (method, where)
    assert alice.list_tasks() == [task]


# Tags


def test_tags_are_always_there_and_replaced_as_a_whole(alice: AuthedClient) -> None:
    task = alice.create_task()
    assert task["tags"] == []
    assert update(alice, task, tags=["b", "a"])["tags"] == ["b", "a"]
    assert update(alice, task, title="x")["tags"] == ["b", "a"]
    assert complete(alice, task)["tags"] == ["b", "a"]
    assert update(alice, task, tags=["c"])["tags"] == ["c"]
    assert update(alice, task, "PUT", tags=[])["tags"] == []
    assert alice.create_task(tags=[])["tags"] == []


def test_tags_may_have_any_character(alice: AuthedClient) -> None:
    tags = [
        "a,b",
        '"',
        "\\",
        "{}",
        "NULL",
        "null",
        " ",
        "😀",
        "é",
        "e\u0301",
        "\n",
        "\x7f",
        "'",
    ]
    task = alice.create_task(tags=tags)
    assert task["tags"] == tags
    assert alice.get(f"/api/tasks/{task['id']}").json()["tags"] == tags
    assert update(alice, task, tags=tags[::-1])["tags"] == tags[::-1]


def test_a_task_has_at_most_20_tags(alice: AuthedClient) -> None:
    twenty = [f"{number}" for number in range(20)]
    task = alice.create_task(tags=twenty)
    assert task["tags"] == twenty
    path = f"/api/tasks/{task['id']}"
    for method, where in (("POST", "/api/tasks"), ("PUT", path), ("PATCH", path)):
        response = alice.request(method, where, json={"title": "x", "tags": [*twenty, "20"]})
        assert validation_errors(response) == {"#/tags": "must have at most 20 items"}
    assert alice.list_tasks() == [task]


def test_tags_have_no_duplicates(alice: AuthedClient) -> None:
    assert alice.create_task(tags=["a", "A", "a "])["tags"] == ["a", "A", "a "]
    response = alice.post("/api/tasks", json={"title": "x", "tags": ["a", "b", "a"]})
    assert validation_errors(response) == {"#/tags": "must not contain duplicates"}
    assert [error["code"] for error in response.json()["errors"]] == ["duplicate"]


def test_a_tag_has_1_to_50_characters(alice: AuthedClient) -> None:
    longest = "😀" * 50
    assert alice.create_task(tags=[longest])["tags"] == [longest]
    for tag, problem in (
        (longest + "x", "must be at most 50 characters long"),
        ("", "must not be empty"),
        ("\0", "must not contain a NUL character"),
        (None, "must be a string"),
        (1, "must be a string"),
    ):
        response = alice.post("/api/tasks", json={"title": "x", "tags": ["ok", tag]})
        assert validation_errors(response) == {"#/tags/1": problem}


@pytest.mark.parametrize("tags", [None, "home", {"home": True}, 1])
def test_tags_are_an_array(tags: object, alice: AuthedClient) -> None:
    task = alice.create_task(tags=["home"])
    for method, where in (("POST", "/api/tasks"), ("PUT", f"/api/tasks/{task['id']}")):
        response = alice.request(method, where, json={"title": "x", "tags": tags})
        assert validation_errors(response) == {"#/tags": "must be an array"}


# completed_at


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


def is_now(text: str) -> bool:
    return abs((datetime.now(UTC) - instant(text)).total_seconds()) < 60


def test_a_new_task_has_completed_at_if_it_is_completed(alice: AuthedClient) -> None:
    assert alice.create_task()["completed_at"] is None
    assert alice.create_task(completed=False)["completed_at"] is None
    done = alice.create_task(completed=True)
    assert done["completed_at"] == done["created_at"]


def test_completing_sets_completed_at_and_reopening_clears_it(alice: AuthedClient) -> None:
    task = alice.create_task()
    done = complete(alice, task)
    assert is_now(done["completed_at"])
    assert done["completed_at"] == done["updated_at"] > task["updated_at"]
    assert complete(alice, task)["completed_at"] is None
    again = complete(alice, task, {"completed": True})
    assert again["completed_at"] > done["completed_at"]
    assert complete(alice, task, {"completed": False})["completed_at"] is None


def test_completed_at_is_kept_while_a_task_stays_completed(alice: AuthedClient) -> None:
    task = complete(alice, alice.create_task())
    kept = task["completed_at"]
    assert complete(alice, task, {"completed": True})["completed_at"] == kept
    assert update(alice, task, title="x")["completed_at"] == kept
    assert update(alice, task, "PUT", completed=True)["completed_at"] == kept
    assert alice.get(f"/api/tasks/{task['id']}").json()["completed_at"] == kept


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_an_update_of_completed_sets_and_clears_completed_at(
    method: str, alice: AuthedClient
) -> None:
    task = alice.create_task()
    assert update(alice, task, method, completed=False)["completed_at"] is None
    assert is_now(update(alice, task, method, completed=True)["completed_at"])
    assert update(alice, task, method, completed=False)["completed_at"] is None


# remind_at and priority


def test_remind_at_is_kept_until_it_is_changed_or_cleared(alice: AuthedClient) -> None:
    assert alice.create_task()["remind_at"] is None
    assert alice.create_task(remind_at=None)["remind_at"] is None
    task = alice.create_task(remind_at="2026-12-01T08:00:00.1234567+01:00")
    assert task["remind_at"] == "2026-12-01T07:00:00.123456Z"
    assert update(alice, task, title="x")["remind_at"] == task["remind_at"]
    assert complete(alice, task)["remind_at"] == task["remind_at"]
    assert update(alice, task, due_date=None)["remind_at"] == task["remind_at"]
    later = update(alice, task, remind_at="9999-12-31T23:59:59Z")
    assert later["remind_at"] == "9999-12-31T23:59:59.000000Z"
    assert update(alice, task, "PUT", remind_at=None)["remind_at"] is None


@pytest.mark.parametrize("value", ["2026-12-01", "2026-12-01T08:00:00", "", 0, "tomorrow"])
def test_remind_at_is_an_instant_with_an_offset(value: object, alice: AuthedClient) -> None:
    response = alice.post("/api/tasks", json={"title": "x", "remind_at": value})
    assert validation_errors(response).keys() == {"#/remind_at"}


def test_a_priority_may_be_urgent(alice: AuthedClient) -> None:
    task = alice.create_task(priority="urgent")
    assert task["priority"] == "urgent"
    assert update(alice, task, priority="low")["priority"] == "low"
    assert update(alice, task, "PUT", priority="urgent")["priority"] == "urgent"
    alice.create_task("high", priority="high")
    assert alice.list_titles(sort="priority") == [task["title"], "high"]


# Clearing


def test_clearing_deletes_the_completed_tasks_of_the_user_only(
    alice: AuthedClient, bob: AuthedClient
) -> None:
    pending = alice.create_task("pending")
    done = [alice.create_task(f"{number}", completed=True) for number in range(3)]
    bobs = bob.create_task(completed=True)
    response = alice.delete("/api/tasks", params={"status": "completed"})
    assert (response.status_code, response.content) == (204, b"")
    assert alice.list_tasks() == [pending]
    assert alice.get(f"/api/tasks/{done[0]['id']}").status_code == 404
    assert bob.list_tasks() == [bobs]


def test_clearing_is_idempotent(alice: AuthedClient) -> None:
    for _ in range(2):  # as a user who has never written anything
        assert alice.delete("/api/tasks?status=completed").status_code == 204
    alice.create_task(completed=True)
    for _ in range(2):
        assert alice.delete("/api/tasks?status=completed").status_code == 204
    assert alice.list_tasks() == []


def test_clearing_works_in_every_form_of_the_path(
    alice: AuthedClient, bob: AuthedClient
) -> None:
    for path in ("/api/tasks/", f"/api/{alice.id}/tasks", f"/api/{alice.id}/tasks/"):
        alice.create_task(completed=True)
        assert alice.delete(f"{path}?status=completed").status_code == 204
        assert alice.list_tasks() == []
    alice.create_task(completed=True)
    assert bob.delete(f"/api/{alice.id}/tasks?status=completed").status_code == 403
    assert len(alice.list_tasks()) == 1


@pytest.mark.parametrize(
    "query",
    [
        "",
        "?",
        "?status=",
        "?status=all",
        "?status=pending",
        "?status=Completed",
        "?status=%FF",
        "?completed=true",
        "?status=completed&status=completed",
        "?status=completed&x=1",
    ],
)
@pytest.mark.parametrize("path", ["/api/tasks", "/api/tasks/", "/api/tasks//"])
def test_without_exactly_the_parameter_nothing_is_deleted(
    path: str, query: str, alice: AuthedClient
) -> None:
    """`/api/tasks/` is what a client with an empty id sends."""
    tasks = [alice.create_task(completed=completed) for completed in (True, False)]
    response = alice.delete(f"{path}{query}")
    expected = {"x"} if "x=" in query else {"status"}
    assert validation_errors(response).keys() - {"completed"} == expected
    assert alice.list_tasks() == tasks[::-1]
