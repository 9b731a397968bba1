"""No user can read, change, delete, count or detect another user's tasks."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import httpx
import pytest

from harness.clients import AuthedClient, new_user_id
from harness.operation_index import Operation
from harness.operations import (
    BY_ID,
    SECURED,
    UNKNOWN_TASK_ID,
    body,
    name,
    path,
    query,
    request_operation,
)

COLLECTION = [operation for operation in SECURED if operation not in BY_ID]
STATUSES = ("all", "pending", "completed")
SORTS = ("created", "title", "due_date", "priority", "updated")
FORBIDDEN = {
    "type": "/problems/forbidden",
    "title": "Forbidden",
    "status": 403,
    "detail": "This belongs to another user.",
}
OTHER_NAMES = ["user_id", "user", "userId", "owner", "owner_id", "sub", "as"]
OTHER_HEADERS = [
    "Cookie",
    "From",
    "Remote-User",
    "User-Id",
    "X-Authenticated-Userid",
    "X-Forwarded-User",
    "X-HTTP-Method-Override",
    "X-Impersonate-User",
    "X-Original-URL",
    "X-Remote-User",
    "X-Rewrite-URL",
    "X-User",
    "X-User-Id",
]

every_operation = pytest.mark.parametrize("operation", SECURED, ids=name)
every_operation_by_id = pytest.mark.parametrize("operation", BY_ID, ids=name)
every_operation_without_id = pytest.mark.parametrize("operation", COLLECTION, ids=name)


@dataclass
class Secret:
    """A task of Alice's, and checks that it is neither leaked nor changed."""

    owner: AuthedClient
    task: dict[str, Any]
    etag: str
    list_etag: str

    @property
    def id(self) -> str:
        task_id: str = self.task["id"]
        return task_id

    def is_leaked_by(self, response: httpx.Response) -> bool:
        """Return whether a response contains data of the task that the request did not."""
        text = f"{response.headers!r}\n{response.text}"
        instants = ("due_date", "remind_at", "completed_at", "created_at", "updated_at")
        fields = ("title", "description", *instants)
        traces = [*(self.task[field] for field in fields), *self.task["tags"]]
        if self.owner.id not in str(response.request.url):
            traces.append(self.owner.id)
        return any(trace in text for trace in traces)

    def is_unchanged(self) -> bool:
        """Return whether it is still the owner's only task, and unchanged."""
        now = self.owner.get(f"/api/tasks/{self.id}")
        same = now.json() == self.task and now.headers["etag"] == self.etag
        return same and self.owner.list_tasks() == [self.task]


@pytest.fixture
def secret(alice: AuthedClient) -> Iterator[Secret]:
    """Create Alice's only task; fails if it is changed after the test."""
    task = alice.create_task(
        f"Title {new_user_id()}",
        description=f"Description {new_user_id()}",
        priority="high",
        due_date="2031-05-06T07:08:09.101112Z",
        remind_at="2031-05-05T07:08:09.101112Z",
        tags=[f"Tag {new_user_id()}"],
        completed=True,
    )
    etag = alice.get(f"/api/tasks/{task['id']}").headers["etag"]
    list_etag = alice.get("/api/tasks").headers["etag"]
    secret = Secret(alice, task, etag, list_etag)
    yield secret
    assert secret.is_unchanged()


def assert_forbidden(response: httpx.Response, secret: Secret) -> None:
    """Fail unless this is the uniform 403 response."""
    assert response.status_code == 403
    path_of_request = response.request.url.raw_path.decode().partition("?")[0]
    request_id = response.headers["x-request-id"]
    expected = FORBIDDEN | {"instance": path_of_request, "request_id": request_id}
    assert response.json() == expected
    assert_describes_nothing(response)
    assert not secret.is_leaked_by(response)


def required(operation: Operation) -> dict[str, str]:
    """Return the query parameters that an operation requires."""
    parameters: dict[str, str] = query(operation).get("params", {})
    return parameters


def assert_describes_nothing(response: httpx.Response) -> None:
    """Fail if a header describes a task or a list."""
    headers = {"etag", "x-total-count", "link", "location", "last-modified", "allow"}
    assert headers.isdisjoint(response.headers)


@every_operation_by_id
def test_bob_cannot_access_alices_task_by_its_id(
    bob: AuthedClient, secret: Secret, operation: Operation
) -> None:
    for user, end in product((None, bob.id, secret.owner.id), ("", "/")):
        url = path(operation, secret.id, user=user) + end
        response = bob.request(operation.method, url, **query(operation), **body(operation))
        assert_forbidden(response, secret)
    assert bob.list_tasks() == []


@every_operation_by_id
def test_an_upper_case_task_id_is_forbidden_too(
    bob: AuthedClient, secret: Secret, operation: Operation
) -> None:
    assert_forbidden(request_operation(bob, operation, secret.id.upper()), secret)


@every_operation_without_id
def test_bob_cannot_use_alices_id_in_the_path(
    bob: AuthedClient, secret: Secret, operation: Operation
) -> None:
    url = path(operation, user=secret.owner.id)
    for slash in ("", "/"):
        response = bob.request(
            operation.method, url + slash, **query(operation), **body(operation)
        )
        assert_forbidden(response, secret)
    assert bob.list_tasks() == []


@every_operation_without_id
@pytest.mark.parametrize("scoped", [False, True], ids=["flat", "scoped"])
def test_bobs_responses_contain_only_his_tasks(
    bob: AuthedClient, secret: Secret, operation: Operation, *, scoped: bool
) -> None:
    bob.create_task("Bob's")
    response = request_operation(bob, operation, user=bob.id if scoped else None)
    assert response.is_success
    assert not secret.is_leaked_by(response)
    owners = re.findall('"user_id":"(.*?)"', response.text)
    assert set(owners) == ({bob.id} if response.content else set())


def test_clearing_completed_tasks_leaves_alices(bob: AuthedClient, secret: Secret) -> None:
    completed, pending = bob.create_task("x", completed=True), bob.create_task("y")
    for form in ("/api/tasks", f"/api/{bob.id}/tasks"):
        assert bob.delete(f"{form}?status=completed").status_code == 204
        assert bob.list_tasks() == [pending]
    changes = bob.get("/api/tasks/changes").json()
    assert (changes["changed"], changes["deleted"]) == ([pending], [])
    assert completed["id"] != secret.id
    assert secret.is_unchanged()


@pytest.mark.parametrize(
    "filters",
    [
        {"search": "title"},
        {"search": "DESCRIPTION"},
        {"priority": "high"},
        {"priority": ["high", "none"]},
        {"due_after": "2031-05-06T07:08:09.101112Z"},
        {"due_before": "2031-05-06T07:08:09.101113Z"},
        {"completed": "true"},
        {"status": "completed"},
        {"status": "all"},
    ],
    ids=str,
)
def test_no_filter_finds_alices_task(
    bob: AuthedClient, secret: Secret, filters: dict[str, Any]
) -> None:
    everything = {**filters, "tag": secret.task["tags"]}
    for given, sort, order in product((filters, everything), SORTS, ("asc", "desc")):
        params = {**given, "sort": sort, "order": order}
        for client, total in ((secret.owner, 1), (bob, 0)):
            for form in ("/api/tasks", f"/api/{client.id}/tasks"):
                response = client.get(form, params=params)
                assert len(response.json()) == total
                assert response.headers["x-total-count"] == str(total)


def test_no_token_of_alices_reveals_anything_to_bob(
    alice: AuthedClient, bob: AuthedClient
) -> None:
    for number in range(3):
        alice.create_task(f"Alice's {number}", tags=["hers"])
        bob.create_task(f"Bob's {number}")
    alices = alice.get("/api/tasks?sort=title&limit=1")
    page = bob.get(alices.links["next"]["url"])
    assert page.headers["x-total-count"] == "3"
    assert {task["user_id"] for task in page.json()} == {bob.id}
    since = alice.get("/api/tasks/changes?limit=1").json()["next"]
    changes = bob.get("/api/tasks/changes", params={"since": since})
    assert alice.id not in changes.text
    assert "hers" not in changes.text


def test_an_idempotency_key_belongs_to_one_user(alice: AuthedClient, bob: AuthedClient) -> None:
    headers = {"Idempotency-Key": new_user_id()}
    for client, title in ((alice, "Alice's"), (bob, "Bob's")):
        for form in ("/api/tasks", f"/api/{client.id}/tasks"):
            response = client.post(form, json={"title": title}, headers=headers)
            assert (response.status_code, response.json()["user_id"]) == (201, client.id)
        assert client.list_titles() == [title]


def test_head_reveals_nothing_to_bob(bob: AuthedClient, secret: Secret) -> None:
    for url in (f"/api/tasks/{secret.id}", f"/api/{secret.owner.id}/tasks"):
        response = bob.head(url)
        assert response.status_code == 403
        assert_describes_nothing(response)
    mine = bob.head("/api/tasks")
    assert mine.status_code == 200
    assert mine.headers["x-total-count"] == "0"


@every_operation_by_id
def test_an_unknown_task_id_is_not_found(
    alice: AuthedClient, bob: AuthedClient, operation: Operation
) -> None:
    deleted = alice.create_task()["id"]
    alice.delete(f"/api/tasks/{deleted}")
    for task_id, user in product((UNKNOWN_TASK_ID, deleted), (None, bob.id)):
        response = request_operation(bob, operation, task_id, user=user)
        assert response.status_code == 404
        assert response.json()["detail"] == "No task has this id."
        assert_describes_nothing(response)
    assert request_operation(alice, operation, deleted).status_code == 404


@every_operation
def test_another_users_path_is_forbidden_whether_or_not_anything_exists(
    bob: AuthedClient, secret: Secret, operation: Operation
) -> None:
    """The response does not depend on whether the user or the task exists."""
    users = (secret.owner.id, new_user_id(), "x")
    for user, task_id in product(users, (secret.id, UNKNOWN_TASK_ID, "no-uuid")):
        assert_forbidden(request_operation(bob, operation, task_id, user=user), secret)


@every_operation
def test_another_users_path_is_forbidden_before_validation(
    bob: AuthedClient, secret: Secret, operation: Operation
) -> None:
    json = {"Content-Type": "application/json"}
    for headers, content in (
        ({}, b""),
        (json, b"{"),
        (json, b'{"unknown": 1}'),
        ({"Content-Type": "text/plain"}, b"x"),
        (json, b" " * 70_000),
    ):
        response = bob.request(
            operation.method,
            path(operation, secret.id, user=secret.owner.id),
            params={**required(operation), "unknown": "1"},
            headers=headers,
            content=content,
        )
        assert_forbidden(response, secret)


@every_operation_by_id
def test_a_bad_request_gets_the_same_response_whether_or_not_the_task_exists(
    bob: AuthedClient, secret: Secret, operation: Operation
) -> None:
    for task_id in (secret.id, UNKNOWN_TASK_ID):
        url = path(operation, task_id)
        unknown = {**required(operation), "unknown": "1"}
        response = bob.request(operation.method, url, params=unknown, **body(operation))
        assert response.status_code == 400
        assert response.json()["errors"] == [
            {
                "parameter": "unknown",
                "code": "unknown",
                "detail": "is not a known parameter",
            }
        ]
        assert_describes_nothing(response)
        assert not secret.is_leaked_by(response)


@every_operation_by_id
@pytest.mark.parametrize("header", ["If-Match", "If-None-Match"])
def test_no_conditional_request_reveals_whether_alices_task_has_changed(
    bob: AuthedClient, secret: Secret, operation: Operation, header: str
) -> None:
    known = (secret.etag, f"W/{secret.etag}", secret.list_etag)
    for tag in (*known, "*", '"0"', '"1", "2"'):
        for user in (None, bob.id, secret.owner.id):
            response = request_operation(
                bob, operation, secret.id, user=user, headers={header: tag}
            )
            assert_forbidden(response, secret)


@every_operation_without_id
@pytest.mark.parametrize("header", ["If-Match", "If-None-Match"])
def test_no_conditional_request_reveals_whether_alices_list_has_changed(
    bob: AuthedClient, secret: Secret, operation: Operation, header: str
) -> None:
    bob.create_task("Bob's")
    for tag in (secret.list_etag, secret.etag):
        response = request_operation(bob, operation, headers={header: tag})
        assert response.is_success
        assert not secret.is_leaked_by(response)


@every_operation
def test_no_query_parameter_changes_the_user(
    bob: AuthedClient, secret: Secret, operation: Operation
) -> None:
    for user in (None, bob.id):
        url = path(operation, secret.id, user=user)
        others = dict.fromkeys(OTHER_NAMES, secret.owner.id)
        params = {**required(operation), **others}
        response = bob.request(operation.method, url, params=params, **body(operation))
        assert response.status_code == 400
        assert [error["parameter"] for error in response.json()["errors"]] == OTHER_NAMES


@pytest.mark.parametrize(
    "operation", [operation for operation in SECURED if operation.body], ids=name
)
def test_no_field_changes_the_user(
    bob: AuthedClient, secret: Secret, operation: Operation
) -> None:
    others = dict.fromkeys([*OTHER_NAMES, "id"], secret.owner.id)
    for task_id in (secret.id, bob.create_task()["id"]):
        fields = body(operation)["json"] | others
        response = bob.request(operation.method, path(operation, task_id), json=fields)
        assert response.status_code == 400
        errors = {error["pointer"] for error in response.json()["errors"]}
        assert operation.body
        known = operation.body["content"]["application/json"]["schema"]["properties"]
        ignored = {"user_id"} & known.keys()  # in an update
        assert errors == {f"#/{name}" for name in others.keys() - ignored}


@pytest.mark.parametrize("verb", ["PUT", "PATCH"])
def test_an_update_cannot_move_a_task_to_alice(
    bob: AuthedClient, secret: Secret, verb: str
) -> None:
    mine = bob.create_task("Bob's")
    hers = {"id": secret.id, "user_id": secret.owner.id, "title": "new"}
    changed = bob.request(verb, f"/api/tasks/{mine['id']}", json=hers).json()
    assert (changed["id"], changed["user_id"], changed["title"]) == (mine["id"], bob.id, "new")


@every_operation
def test_no_header_changes_the_user(
    bob: AuthedClient, secret: Secret, operation: Operation
) -> None:
    alice = secret.owner.id
    headers = dict.fromkeys(OTHER_HEADERS, alice) | {
        "X-Original-URL": f"/api/{alice}/tasks",
        "X-Rewrite-URL": f"/api/{alice}/tasks",
        "X-HTTP-Method-Override": "DELETE",
        "Cookie": f"user_id={alice}; better-auth.session_token={alice}",
    }
    response = request_operation(bob, operation, secret.id, headers=headers)
    if operation in BY_ID:
        assert_forbidden(response, secret)
    else:
        assert response.is_success
        assert not secret.is_leaked_by(response)


def test_lists_pages_and_counts_are_per_user(alice: AuthedClient, bob: AuthedClient) -> None:
    """Both users have tasks that differ only in their owner, created alternately."""
    own: dict[str, list[dict[str, Any]]] = {alice.id: [], bob.id: []}
    for number in range(12):
        due = None if number % 4 == 0 else f"2030-01-{number + 1:02}T00:00:00Z"
        for client in (alice, bob) if number % 3 else (alice,):
            task = client.create_task(
                f"Task {number % 5}", completed=number % 2 == 0, due_date=due
            )
            own[client.id].append(task)
    for client, status, sort in product((alice, bob), STATUSES, SORTS):
        mine = {
            task["id"]
            for task in own[client.id]
            if status == "all" or task["completed"] == (status == "completed")
        }
        whole = client.list_tasks(status=status, sort=sort)
        assert len(whole) == len(mine)
        assert {task["id"] for task in whole} == mine
        pages = []
        last = (len(mine) - 1) // 3 * 3
        for offset in range(0, len(mine) + 6, 3):
            query = f"status={status}&sort={sort}&limit=3&offset={offset}"
            page = client.get(f"/api/tasks?{query}")
            assert page.headers["x-total-count"] == str(len(mine))
            assert f'offset={last}>; rel="last"' in page.headers["link"]
            pages += page.json()
        assert pages == whole


def test_alices_writes_do_not_change_bobs_responses(
    alice: AuthedClient, bob: AuthedClient
) -> None:
    bob.create_task("Bob's")
    bob.create_task("Bob's other")

    def seen() -> list[tuple[bytes, dict[str, str]]]:
        responses = [
            bob.get("/api/tasks", params={"status": status, "sort": sort, "limit": 1})
            for status, sort in product(STATUSES, SORTS)
        ]
        headers = {"etag", "x-total-count", "link", "content-length"}
        return [
            (response.content, {k: v for k, v in response.headers.items() if k in headers})
            for response in responses
        ]

    before = seen()
    task = alice.create_task("Alice's")
    assert seen() == before
    alice.patch(f"/api/tasks/{task['id']}/complete")
    assert seen() == before
    alice.delete(f"/api/tasks/{task['id']}")
    assert seen() == before


@pytest.mark.parametrize("text", ["' OR '1'='1", "%", "_", "*", "\\", '"', "$1", ";--", "%s"])
def test_a_title_is_never_interpreted(bob: AuthedClient, secret: Secret, text: str) -> None:
    task = bob.create_task(text, description=text)
    assert (task["title"], task["description"]) == (text, text)
    for sort in SORTS:
        assert bob.list_tasks(sort=sort) == [task]
    assert not secret.is_leaked_by(bob.get("/api/tasks"))
