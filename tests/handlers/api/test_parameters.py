"""Parameters in the query and the path: read strictly, refused by name."""

import re

import httpx
import pytest

from harness.clients import AuthedClient
from harness.contract import CONTRACT, OPERATIONS
from harness.operation_index import Operation
from harness.operations import (
    BY_ID,
    SECURED,
    UNKNOWN_TASK_ID,
    body,
    name,
    path,
    request_operation,
)
from harness.problems import validation_errors

ONLY_ONCE = "must be given only once"
UNKNOWN = "is not a known parameter"
NO_NUMBER = "must be a whole number"
UTF_8 = "must be text in UTF-8"
ALL = list(OPERATIONS.values())
TASK_ID = CONTRACT.document["components"]["schemas"]["TaskId"]["x-pattern-means"]

each_operation = pytest.mark.parametrize("operation", ALL, ids=name)


def ask_with(client: AuthedClient, operation: Operation, query: str) -> httpx.Response:
    """Ask for an operation, good in everything but its query, which is sent as it is."""
    return client.request(operation.method, f"{path(operation)}?{query}", **body(operation))


ACCEPTED = {
    "nothing": "",
    "an ampersand": "&",
    "ampersands": "&&limit=5&&",
    "the lowest limit": "limit=1",
    "the highest limit": "limit=10000",
    "zeros before": "limit=0005",
    "the highest offset": "offset=2147483647",
    "an encoded name": "%6Cimit=5",
    "an encoded value": "status=%61ll",
    "every parameter": "offset=0&limit=5&sort=title&status=pending",
    "a fragment": "status=all#sort=title",
}
REFUSED: dict[str, tuple[str, dict[str, str]]] = {
    "a limit of 0": ("limit=0", {"limit": "must be at least 1"}),
    "a limit of minus 0": ("limit=-0", {"limit": "must be at least 1"}),
    "a limit below 0": ("limit=-5", {"limit": "must be at least 1"}),
    "a limit of 10,001": ("limit=10001", {"limit": "must be at most 10000"}),
    "a limit of 10^30": (f"limit=1{'0' * 30}", {"limit": "must be at most 10000"}),
    "a limit of -10^30": (f"limit=-1{'0' * 30}", {"limit": "must be at least 1"}),
    "a limit of 4,000 digits": (f"limit={'9' * 4_000}", {"limit": "must be at most 10000"}),
    "an offset below 0": ("offset=-1", {"offset": "must be at least 0"}),
    "an offset of 2^31": (f"offset={2**31}", {"offset": "must be at most 2147483647"}),
    "an offset of 2^63": (f"offset={2**63}", {"offset": "must be at most 2147483647"}),
    **{
        f"a {which} of {text!r:.30}": (f"{which}={text}", {which: NO_NUMBER})
        for which in ("limit", "offset")
        for text in (
            *(
                "",
                "1_000",
                "%205",
                "5%20",
                "+5",
                "%2B5",
                "5.0",
                "5,0",
                "5e0",
                "0x5",
                "--5",
                "1-",
            ),
            *("five", "NaN", "null", "true", "%D9%A5", "%EF%BC%95", "%C2%B2", "%00", "5%00"),
            *("5%0A", "5;offset=1", "5%26offset=1", "9" * 5_000, "x" * 5_000, "[5]", "$1", "'"),
        )
    },
    "a limit without a value": ("limit", {"limit": NO_NUMBER}),
    "a status that there is not": (
        "status=done",
        {"status": "must be all, pending or completed"},
    ),
    "a status in capitals": ("status=All", {"status": "must be all, pending or completed"}),
    "an empty status": ("status=", {"status": "must be all, pending or completed"}),
    "a status with NUL": ("status=all%00", {"status": "must be all, pending or completed"}),
    "a status of an emoji": (
        "status=%F0%9F%98%80",
        {"status": "must be all, pending or completed"},
    ),
    "two in one status": (
        "status=all,pending",
        {"status": "must be all, pending or completed"},
    ),
    "a status of stray percent signs": (
        "status=%zz%",
        {"status": "must be all, pending or completed"},
    ),
    "a sort that there is not": (
        "sort=priority",
        {"sort": "must be created, title or due_date"},
    ),
    "a sort turned round": ("sort=-created", {"sort": "must be created, title or due_date"}),
    "a sort of SQL": (
        "sort=title%3B%20DROP%20TABLE%20tasks",
        {"sort": "must be created, title or due_date"},
    ),
    "the same status twice": ("status=all&status=all", {"status": ONLY_ONCE}),
    "two statuses": ("status=all&sort=title&status=done", {"status": ONLY_ONCE}),
    "two limits": ("limit=5&limit=6", {"limit": ONLY_ONCE}),
    "two limits, one in other letters": ("limit=5&%6Cimit=6", {"limit": ONLY_ONCE}),
    "an unknown parameter": ("colour=green", {"colour": UNKNOWN}),
    "an unknown parameter twice": ("colour=green&colour=red", {"colour": UNKNOWN}),
    "an unknown parameter without a value": ("verbose", {"verbose": UNKNOWN}),
    "a parameter in capitals": ("Limit=5", {"Limit": UNKNOWN}),
    "a parameter with brackets": ("status[]=all", {"status[]": UNKNOWN}),
    "a parameter with NUL": ("limit%00=5", {"limit\0": UNKNOWN}),
    "a space before a parameter": ("+limit=5", {" limit": UNKNOWN}),
    "a header as a parameter": ("If-None-Match=*", {"If-None-Match": UNKNOWN}),
    "an argument of the handler": ("if_none_match=*", {"if_none_match": UNKNOWN}),
    "another argument of the handler": (
        "user=bob&database=x",
        dict.fromkeys(("user", "database"), UNKNOWN),
    ),
    "no name": ("=", {"": UNKNOWN}),
    "no name, but a value": ("=5", {"": UNKNOWN}),
    "not UTF-8": ("status=%ff", {"query": UTF_8}),
    "not UTF-8 in a name": ("%ff=1", {"query": UTF_8}),
    "cut off in a character": ("status=%F0%9F%98", {"query": UTF_8}),
    "a surrogate": ("status=%ED%A0%80", {"query": UTF_8}),
    "an overlong slash": ("status=%C0%AF", {"query": UTF_8}),
    "everything wrong": (
        "limit=0&offset=x&status=done&sort=&colour=green&sort=title",
        {
            "limit": "must be at least 1",
            "offset": NO_NUMBER,
            "status": "must be all, pending or completed",
            "sort": ONLY_ONCE,
            "colour": UNKNOWN,
        },
    ),
}


@pytest.mark.parametrize("query", ACCEPTED.values(), ids=ACCEPTED)
def test_a_good_query_is_accepted(alice: AuthedClient, query: str) -> None:
    assert alice.get(f"/api/tasks?{query}").status_code == 200


@pytest.mark.parametrize("how", REFUSED)
def test_a_bad_query_is_refused_by_name(alice: AuthedClient, how: str) -> None:
    query, found = REFUSED[how]
    answer = alice.get(f"/api/tasks?{query}")
    assert validation_errors(answer) == found
    assert all(place in answer.json()["detail"] for place in found)


@each_operation
def test_every_operation_refuses_a_parameter_that_it_does_not_know(
    alice: AuthedClient, operation: Operation
) -> None:
    answer = ask_with(alice, operation, "colour=green")
    assert validation_errors(answer) == {"colour": UNKNOWN}
    assert answer.json()["detail"] == "colour: is not a known parameter."


@each_operation
def test_every_operation_refuses_a_query_that_is_not_utf_8(
    alice: AuthedClient, operation: Operation
) -> None:
    assert validation_errors(ask_with(alice, operation, "%ff")) == {"query": UTF_8}


@each_operation
def test_a_query_of_a_thousand_parameters_is_refused(
    alice: AuthedClient, operation: Operation
) -> None:
    thousand = "&".join(f"f{number}=1" for number in range(1_000))
    assert validation_errors(ask_with(alice, operation, thousand)) == {
        "query": "must have at most 100 parameters"
    }


def test_of_a_hundred_unknown_parameters_all_are_named(alice: AuthedClient) -> None:
    answer = alice.get("/api/tasks", params={f"f{number}": 1 for number in range(100)})
    assert len(validation_errors(answer)) == 100
    assert answer.json()["detail"].endswith(" And 95 more.")


@pytest.mark.parametrize("character", ["a", "%F0%9F%98%80", "%00"])
def test_a_long_name_is_cut(alice: AuthedClient, character: str) -> None:
    answer = alice.get(f"/api/tasks?{character * 3_000}=1")
    ((named, detail),) = validation_errors(answer).items()
    assert (len(named), named[-1], detail) == (100, "…", UNKNOWN)


def test_a_name_may_be_long_and_a_value_too(alice: AuthedClient) -> None:
    answer = alice.get(f"/api/tasks?status={'x' * 30_000}")
    assert validation_errors(answer) == {"status": "must be all, pending or completed"}
    assert len(answer.content) < 1_000


NO_IDS = {
    "a number": "7",
    "zeros": "0" * 32,
    "in braces": "%7B{id}%7D",
    "a URN": "urn:uuid:{id}",
    "without dashes": "{bare}",
    "dashes elsewhere": "{bare:.16}-{bare:.19}",
    "one character less": "{id:.35}",
    "one character more": "{id}0",
    "not hexadecimal": "g{id:.35}",
    "a space behind": "{id}%20",
    "a space before": "%20{id}",
    "a NUL behind": "{id}%00",
    "a parameter behind": "{id};v=1",
    "an extension": "{id}.json",
    "two": "{id},{id}",
    "full width digits": "%EF%BC%97{id:.35}",
    "long dashes": "{bare:.8}%E2%80%93{bare:.27}",
    "an emoji": "%F0%9F%98%80",
    "not UTF-8": "%ff",
    "a percent sign": "%25",
    "a star": "*",
    "a template": "%7Btask_id%7D",
    "null": "null",
    "complete": "complete",
    "SQL": "'%20OR%20'1'='1",
    "10,000 characters": "x" * 10_000,
}


@pytest.mark.parametrize("operation", BY_ID, ids=name)
def test_what_is_no_uuid_is_refused_by_name(alice: AuthedClient, operation: Operation) -> None:
    task = alice.create_task()
    for how, pattern in NO_IDS.items():
        written = pattern.format(id=task["id"], bare=task["id"].replace("-", ""))
        assert validation_errors(request_operation(alice, operation, written)) == {
            "task_id": TASK_ID
        }, how
    assert alice.list_tasks() == [task]


@pytest.mark.parametrize("encode", ["-", "[0-9a-f]", "."])
def test_an_id_may_be_percent_encoded(alice: AuthedClient, encode: str) -> None:
    task = alice.create_task()
    encoded = re.sub(encode, lambda found: f"%{ord(found[0]):02x}", task["id"])
    assert alice.get(f"/api/tasks/{encoded}").json() == task


@pytest.mark.parametrize("operation", SECURED, ids=name)
def test_a_header_that_the_operation_does_not_know_is_ignored(
    alice: AuthedClient, operation: Operation
) -> None:
    unknown = {"X-Colour": "green", "If-Modified-Since": "yesterday", "Range": "bytes=0-"}
    task = alice.create_task()
    assert request_operation(alice, operation, task["id"], headers=unknown).is_success


def test_an_id_that_no_uuid_version_has_is_an_id_all_the_same(alice: AuthedClient) -> None:
    for task_id in (
        UNKNOWN_TASK_ID.replace("4", "0"),
        "f" * 8 + UNKNOWN_TASK_ID[8:],
        UNKNOWN_TASK_ID.replace("8", "c"),
    ):
        assert alice.get(f"/api/tasks/{task_id}").status_code == 404


def test_nothing_is_known_of_a_query_on_a_page(alice: AuthedClient) -> None:
    assert alice.get("/docs?colour=green").status_code == 200
