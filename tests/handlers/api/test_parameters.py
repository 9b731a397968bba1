"""Query and path parameters: parsed strictly, and named when they are refused."""

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
from harness.operations import (
    query as required_query,
)
from harness.problems import validation_errors

ONCE_ONLY = "must be given only once"
UNKNOWN = "is not a known parameter"
NOT_AN_INTEGER = "must be a whole number"
NOT_UTF_8 = "must be text in UTF-8"
STATUSES = "must be all, pending or completed"
SORTS = "must be created, title, due_date, priority or updated"
ALL = list(OPERATIONS.values())
TASK_ID = CONTRACT.document["components"]["schemas"]["Id"]["x-pattern-means"]

each_operation = pytest.mark.parametrize("operation", ALL, ids=name)


def send_query(client: AuthedClient, operation: Operation, query: str) -> httpx.Response:
    """Send an otherwise valid request with this raw query string."""
    required = httpx.QueryParams(required_query(operation).get("params"))
    raw = "&".join(filter(None, [str(required), query]))
    return client.request(operation.method, f"{path(operation)}?{raw}", **body(operation))


ACCEPTED = {
    "empty": "",
    "an ampersand": "&",
    "ampersands": "&&limit=5&&",
    "the lowest limit": "limit=1",
    "the highest limit": "limit=10000",
    "leading zeros": "limit=0005",
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
        f"a {which} of {text!r:.30}": (f"{which}={text}", {which: NOT_AN_INTEGER})
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
    "a limit without a value": ("limit", {"limit": NOT_AN_INTEGER}),
    "an unknown status": (
        "status=done",
        {"status": STATUSES},
    ),
    "a status in capitals": ("status=All", {"status": STATUSES}),
    "an empty status": ("status=", {"status": STATUSES}),
    "a status with NUL": ("status=all%00", {"status": STATUSES}),
    "a status of an emoji": (
        "status=%F0%9F%98%80",
        {"status": STATUSES},
    ),
    "two statuses in one value": (
        "status=all,pending",
        {"status": STATUSES},
    ),
    "a status of stray percent signs": (
        "status=%zz%",
        {"status": STATUSES},
    ),
    "an unknown sort": (
        "sort=completed",
        {"sort": SORTS},
    ),
    "a descending sort": ("sort=-created", {"sort": SORTS}),
    "a sort of SQL": (
        "sort=title%3B%20DROP%20TABLE%20tasks",
        {"sort": SORTS},
    ),
    "the same status twice": ("status=all&status=all", {"status": ONCE_ONLY}),
    "two statuses": ("status=all&sort=title&status=done", {"status": ONCE_ONLY}),
    "two limits": ("limit=5&limit=6", {"limit": ONCE_ONLY}),
    "two limits, one percent-encoded": ("limit=5&%6Cimit=6", {"limit": ONCE_ONLY}),
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
    "not UTF-8": ("status=%FF", {"status": NOT_UTF_8}),
    "not UTF-8 in a name": ("%ff=1", {"?": UNKNOWN}),
    "truncated within a character": ("status=%F0%9F%98", {"status": NOT_UTF_8}),
    "a surrogate": ("status=%ED%A0%80", {"status": NOT_UTF_8}),
    "an overlong slash": ("status=%C0%AF", {"status": NOT_UTF_8}),
    "a number that is not UTF-8": ("limit=5%ff", {"limit": NOT_UTF_8}),
    "a value of a list that is not UTF-8": ("tag=a&tag=%ff", {"tag": NOT_UTF_8}),
    "everything wrong": (
        "limit=0&offset=x&status=done&sort=&colour=green&sort=title",
        {
            "limit": "must be at least 1",
            "offset": NOT_AN_INTEGER,
            "status": STATUSES,
            "sort": ONCE_ONLY,
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
    response = alice.get(f"/api/tasks?{query}")
    assert validation_errors(response) == found
    assert all(place in response.json()["detail"] for place in found)


@each_operation
def test_every_operation_refuses_an_unknown_parameter(
    alice: AuthedClient, operation: Operation
) -> None:
    response = send_query(alice, operation, "colour=green")
    assert validation_errors(response) == {"colour": UNKNOWN}
    assert response.json()["detail"] == "colour: is not a known parameter."


@each_operation
def test_every_operation_refuses_a_query_that_is_not_utf_8(
    alice: AuthedClient, operation: Operation
) -> None:
    assert validation_errors(send_query(alice, operation, "%ff=1")) == {"?": UNKNOWN}


@each_operation
def test_a_query_of_a_thousand_parameters_is_refused(
    alice: AuthedClient, operation: Operation
) -> None:
    thousand = "&".join(f"f{number}=1" for number in range(1_000))
    assert validation_errors(send_query(alice, operation, thousand)) == {
        "query": "must have at most 100 parameters"
    }


def test_a_hundred_unknown_parameters_are_all_named(alice: AuthedClient) -> None:
    response = alice.get("/api/tasks", params={f"f{number}": 1 for number in range(100)})
    assert len(validation_errors(response)) == 100
    assert response.json()["detail"].endswith(" And 95 more.")


@pytest.mark.parametrize("character", ["a", "%F0%9F%98%80", "%00"])
def test_a_long_name_is_cut(alice: AuthedClient, character: str) -> None:
    response = alice.get(f"/api/tasks?{character * 3_000}=1")
    ((named, detail),) = validation_errors(response).items()
    assert (len(named), named[-1], detail) == (100, "…", UNKNOWN)


def test_a_long_value_is_refused_in_a_short_response(alice: AuthedClient) -> None:
    response = alice.get(f"/api/tasks?status={'x' * 30_000}")
    assert validation_errors(response) == {"status": STATUSES}
    assert len(response.content) < 1_000


INVALID_IDS = {
    "a number": "7",
    "zeros": "0" * 32,
    "in braces": "%7B{id}%7D",
    "a URN": "urn:uuid:{id}",
    "without dashes": "{bare}",
    "dashes elsewhere": "{bare:.16}-{bare:.19}",
    "one character short": "{id:.35}",
    "one character long": "{id}0",
    "not hexadecimal": "g{id:.35}",
    "a trailing space": "{id}%20",
    "a leading space": "%20{id}",
    "a trailing NUL": "{id}%00",
    "a path parameter": "{id};v=1",
    "an extension": "{id}.json",
    "two": "{id},{id}",
    "full-width digits": "%EF%BC%97{id:.35}",
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
def test_an_id_that_is_not_a_uuid_is_refused_by_name(
    alice: AuthedClient, operation: Operation
) -> None:
    task = alice.create_task()
    for how, pattern in INVALID_IDS.items():
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
def test_an_unknown_header_is_ignored(alice: AuthedClient, operation: Operation) -> None:
    unknown = {"X-Colour": "green", "If-Modified-Since": "yesterday", "Range": "bytes=0-"}
    task = alice.create_task(completed=True)
    assert request_operation(alice, operation, task["id"], headers=unknown).is_success


def test_an_id_of_an_unknown_uuid_version_is_accepted(alice: AuthedClient) -> None:
    for task_id in (
        UNKNOWN_TASK_ID.replace("4", "0"),
        "f" * 8 + UNKNOWN_TASK_ID[8:],
        UNKNOWN_TASK_ID.replace("8", "c"),
    ):
        assert alice.get(f"/api/tasks/{task_id}").status_code == 404


def test_pages_ignore_the_query(alice: AuthedClient) -> None:
    assert alice.get("/docs?colour=green").status_code == 200
