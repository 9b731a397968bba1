"""Requests that real, unmodified frontends and clients send, as they send them.

The numbers are those of the collection of such requests.
"""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from harness import raw_http
from harness.clients import AuthedClient, token
from harness.problems import validation_errors
from harness.service import NO_TLS, Service

Task = dict[str, Any]

URGENT: Task = {"title": "Urgent one", "description": "now", "priority": "urgent"}
ONLY_TITLE: Task = {
    "title": "Only title",
    "description": "",
    "priority": "medium",
    "tags": [],
    "due_date": None,
    "remind_at": None,
}
MILK: Task = {
    "title": "Milk",
    "description": None,
    "due_date": None,
    "priority": "medium",
    "tags": [],
}


def create(alice: AuthedClient, path: str, body: dict[str, Any]) -> Task:
    response = alice.post(path, json=body)
    assert response.status_code == 201, response.text
    task: Task = response.json()
    assert {name: task[name] for name in body} == body
    return task


def replace(alice: AuthedClient, task: Task, body: dict[str, Any]) -> Task:
    response = alice.put(f"/api/{alice.id}/tasks/{task['id']}", json=body)
    assert response.status_code == 200, response.text
    changed: Task = response.json()
    assert {name: changed[name] for name in body} == body
    return changed


# Frontends


def test_40_completed_is_a_filter(alice: AuthedClient) -> None:
    done = alice.create_task("done", completed=True)
    pending = alice.create_task("pending")
    path = f"/api/{alice.id}/tasks"
    assert alice.get(f"{path}?completed=true").json() == [done]
    assert alice.get(f"{path}?completed=false").json() == [pending]


def test_41_priority_and_search_are_filters(alice: AuthedClient) -> None:
    low = alice.create_task("Water the plants", priority="low")
    urgent = alice.create_task("Follow up", priority="urgent")
    path = f"/api/{alice.id}/tasks"
    assert alice.get(f"{path}?priority=low").json() == [low]
    assert alice.get(f"{path}?priority=urgent").json() == [urgent]
    assert alice.get(f"{path}?search=low").json() == [urgent]


def test_42_an_urgent_task_is_created_and_replaced(alice: AuthedClient) -> None:
    path = f"/api/{alice.id}/tasks"
    created = create(alice, path, URGENT)
    other = create(alice, path, {"title": "x"})
    assert replace(alice, created, URGENT)["priority"] == "urgent"
    assert replace(alice, other, URGENT)["description"] == "now"


def test_43_every_field_of_a_form_is_sent_even_if_it_is_empty(alice: AuthedClient) -> None:
    task = create(alice, f"/api/{alice.id}/tasks", ONLY_TITLE)
    changed = replace(alice, task, ONLY_TITLE)
    for answer in (task, changed):
        assert (answer["tags"], answer["remind_at"]) == ([], None)


def test_44_a_task_is_created_at_a_path_with_a_slash(alice: AuthedClient) -> None:
    task = create(alice, "/api/tasks/", MILK)
    assert alice.get("/api/tasks/").json() == [task]


def test_45_a_list_is_sorted_from_z_to_a(alice: AuthedClient) -> None:
    for title in ("b", "C", "a"):
        alice.create_task(title)
    response = alice.get("/api/tasks/?sort=title&order=desc")
    assert response.status_code == 200
    assert [task["title"] for task in response.json()] == ["C", "b", "a"]


def test_a_due_date_is_sent_back_as_it_came(alice: AuthedClient) -> None:
    task = alice.create_task(due_date="2026-12-01T18:00:00+01:00")
    assert task["due_date"] == "2026-12-01T17:00:00.000000Z"
    assert replace(alice, task, {"due_date": task["due_date"]})["due_date"] == task["due_date"]


def test_a_date_without_a_time_is_refused_with_advice(alice: AuthedClient) -> None:
    response = alice.post("/api/tasks", json={"title": "x", "due_date": "2026-12-01"})
    advice = "must be a date and time with an offset, such as 2026-12-01T18:00:00+01:00"
    assert validation_errors(response) == {"#/due_date": advice}


# Clients


def test_1_a_list_that_has_grown_beyond_the_page_is_not_304(alice: AuthedClient) -> None:
    alice.create_task("a")
    alice.create_task("b")
    first = alice.get("/api/tasks?sort=title&limit=2")
    alice.create_task("c")
    headers = {"If-None-Match": first.headers["etag"]}
    second = alice.get("/api/tasks?sort=title&limit=2", headers=headers)
    assert (second.status_code, second.headers["x-total-count"]) == (200, "3")
    assert "next" in second.links


@pytest.mark.parametrize("ending", ["%0A", "%20", "%00", "x", "%2F", "%FF"])
def test_2_whatever_stands_in_one_segment_is_a_bad_id(
    ending: str, service: Service, alice: AuthedClient
) -> None:
    url = f"{service.url}/api/tasks/11111111-1111-4111-8111-111111111111{ending}"
    headers = {"Authorization": f"Bearer {token(alice.id)}"}
    response = httpx.get(url, headers=headers, verify=NO_TLS)
    assert validation_errors(response).keys() == {"task_id"}


@pytest.mark.parametrize("name", ["status", "search", "sort", "cursor", "tag", "limit"])
def test_3_a_parameter_that_is_not_utf_8_is_named(name: str, alice: AuthedClient) -> None:
    assert validation_errors(alice.get(f"/api/tasks?{name}=%FF")).keys() == {name}


def test_4_what_is_no_entity_tag_matches_nothing(alice: AuthedClient) -> None:
    task = alice.create_task()
    path = f"/api/tasks/{task['id']}"
    for where in ("/api/tasks", path):
        assert alice.get(where, headers={"If-None-Match": "0"}).status_code == 200
    assert alice.put(path, json=MILK, headers={"If-Match": "0"}).status_code == 412
    assert alice.patch(path, json=MILK, headers={"If-Match": "0"}).status_code == 412
    assert alice.patch(f"{path}/complete", headers={"If-Match": "0"}).status_code == 412
    assert alice.delete(path, headers={"If-Match": "0"}).status_code == 412
    assert alice.list_tasks() == [task]


def test_6_a_whole_task_is_sent_back(alice: AuthedClient) -> None:
    task = alice.create_task()
    read = alice.get(f"/api/tasks/{task['id']}").json()
    response = alice.put(f"/api/tasks/{task['id']}", json={**read, "title": "Changed"})
    assert response.status_code == 200
    assert response.json()["title"] == "Changed"


def test_7_a_merge_patch_is_accepted(alice: AuthedClient) -> None:
    task = alice.create_task()
    response = alice.patch(
        f"/api/tasks/{task['id']}",
        content=b'{"title":"Changed"}',
        headers={"Content-Type": "application/merge-patch+json"},
    )
    assert (response.status_code, response.json()["title"]) == (200, "Changed")


@pytest.mark.parametrize(
    ("origin", "method", "header", "named"),
    [
        ("http://evil.example", "GET", "authorization", "Origin"),
        (
            "http://localhost:3000",
            "GET",
            "x-mine",
            "Access-Control-Request-Headers",
        ),
        (
            "http://localhost:3000",
            "TRACE",
            "authorization",
            "Access-Control-Request-Method",
        ),
    ],
)
def test_8_a_refused_preflight_is_a_problem_document(
    origin: str, method: str, header: str, named: str, dev_service: Service
) -> None:
    headers = {
        "Origin": origin,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": header,
    }
    response = httpx.options(f"{dev_service.url}/api/tasks", headers=headers, verify=NO_TLS)
    assert response.headers["content-type"] == "application/problem+json"
    assert validation_errors(response).keys() == {named}


def test_9_a_request_without_credentials_gets_a_challenge_without_an_error(
    service: Service,
) -> None:
    response = httpx.get(f"{service.url}/api/tasks", verify=NO_TLS)
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("origin", ["http://127.0.0.1:3000", "http://localhost:3000"])
def test_10_both_spellings_of_this_machine_are_allowed_in_development(
    origin: str, dev_service: Service
) -> None:
    response = httpx.get(f"{dev_service.url}/health", headers={"Origin": origin}, verify=NO_TLS)
    assert response.headers["access-control-allow-origin"] == origin


def test_11_a_url_that_is_too_long_is_414(service: Service) -> None:
    response = raw_http.send(service, f"GET /api/tasks?search={'x' * 70_000} HTTP/1.1")
    assert response.status_code == 414
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["type"] == "/problems/uri-too-long"


def test_12_a_body_in_latin_1(alice: AuthedClient) -> None:
    """Declared as such, it is a 415; declared as nothing or as UTF-8, it is no JSON."""
    body = '{"title": "Müll"}'.encode("latin-1")
    for media_type, status in (
        ("application/json; charset=iso-8859-1", 415),
        ("application/json; charset=utf-8", 400),
        ("application/json", 400),
    ):
        headers = {"Content-Type": media_type}
        response = alice.post("/api/tasks", content=body, headers=headers)
        assert response.status_code == status
    assert alice.list_tasks() == []


def test_13_a_user_whose_id_is_tasks_has_the_unscoped_form_only(
    make_client: Callable[[str], AuthedClient],
) -> None:
    client = make_client("tasks")
    task = client.create_task()
    assert task in client.list_tasks()
    assert "task_id" in validation_errors(client.get("/api/tasks/tasks"))


def test_14_a_large_list_is_compressed_and_still_revalidated(alice: AuthedClient) -> None:
    for _ in range(70):
        alice.create_task("x", description="x" * 1000)
    plain = alice.get("/api/tasks", headers={"Accept-Encoding": "identity"})
    small = alice.get("/api/tasks?limit=10", headers={"Accept-Encoding": "gzip"})
    for response in (plain, small):
        assert "content-encoding" not in response.headers
        assert response.headers["etag"].startswith('"')
    packed = alice.get("/api/tasks", headers={"Accept-Encoding": "gzip, br"})
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.json() == plain.json()
    assert int(packed.headers["content-length"]) < len(plain.content) / 5
    assert packed.headers["etag"] == f"W/{plain.headers['etag']}"
    for response in (plain, packed):
        for encoding in ("gzip", "identity"):
            tag = response.headers["etag"]
            headers = {"If-None-Match": tag, "Accept-Encoding": encoding}
            again = alice.get("/api/tasks", headers=headers)
            assert (again.status_code, again.content) == (304, b"")
