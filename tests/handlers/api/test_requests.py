"""Request bodies: what is accepted, what is refused, and how (RFC 9110, 8259, 9457)."""

import gzip
import json
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from urllib.parse import unquote

import httpx
import pytest

from handlers.api.request_body import has_body
from harness.clients import AuthedClient
from harness.contract import CONTRACT, OPERATIONS, check_problem
from harness.operation_index import Operation
from harness.operations import SECURED, name, path, query
from harness.problems import validation_errors
from harness.raw_http import connect, read_response
from harness.service import Service

JSON = "application/json"
LIMIT = 65_536
VALID = b'{"title": "x"}'
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
WITH_BODY = [operation for operation in SECURED if operation.body]
WITHOUT_BODY = [operation for operation in SECURED if not operation.body]
WITH_FIELDS = [
    operation for operation in WITH_BODY if operation.operation_id != "complete_task"
]

every_operation_with_body = pytest.mark.parametrize("operation", WITH_BODY, ids=name)


def pattern_meaning(schema: str) -> str:
    """Return the contract's description of a schema's pattern."""
    text: str = CONTRACT.document["components"]["schemas"][schema]["x-pattern-means"]
    return text


def send(
    client: AuthedClient,
    operation: Operation,
    body: bytes | Iterable[bytes],
    *headers: tuple[str, str | bytes],
    **options: Any,
) -> httpx.Response:
    """Send a raw body, as JSON unless the headers say otherwise."""
    encoded = [(k.encode(), v.encode() if isinstance(v, str) else v) for k, v in headers]
    return client.request(
        operation.method,
        path(operation),
        content=body,
        headers=httpx.Headers(encoded or [(b"Content-Type", JSON.encode())]),
        **options,
    )


def post(
    client: AuthedClient, body: bytes | Iterable[bytes], *headers: tuple[str, str | bytes]
) -> httpx.Response:
    """Send the body of a new task."""
    return send(client, OPERATIONS["create_task"], body, *headers)


def chunked(body: bytes, size: int = 5_000) -> Iterator[bytes]:
    """Split a body into chunks; httpx sends an iterator without a Content-Length."""
    return (body[start : start + size] for start in range(0, len(body), size))


# Media types


ACCEPTED_MEDIA_TYPES = {
    "as usual": JSON,
    "in upper case": "APPLICATION/JSON",
    "with a charset": "application/json; charset=utf-8",
    "in mixed case and quoted": 'APPLICATION/JSON; Charset="UTF-8"',
    "a charset without its dash": "application/json;charset=utf8",
    "with an unknown parameter": "application/json; profile=task",
    "with a parameter in quotes": 'application/json; profile="a;b=\\"c"',
    "a trailing semicolon": "application/json;",
    "spaces and tabs": "application/json \t;\t charset=UTF-8",
}
REJECTED_MEDIA_TYPES = {
    "empty": "",
    "plain text": "text/plain",
    "JSON as text": "text/json",
    "a form": "application/x-www-form-urlencoded",
    "a form with files": "multipart/form-data; boundary=x",
    "XML": "application/xml",
    "JSON lines": "application/jsonl",
    "JSON with a suffix": "application/jsonx",
    "a merge patch": "application/merge-patch+json",
    "a problem": "application/problem+json",
    "anything": "*/*",
    "any application": "application/*",
    "no subtype": "application",
    "no type": "/json",
    "two in one header": "application/json, text/plain",
    "a space inside": "application/ json",
    "UTF-16": "application/json; charset=utf-16",
    "Latin-1": "application/json; charset=ISO-8859-1",
    "an unknown charset": "application/json; charset=bogus",
    "no charset": "application/json; charset=",
    "two charsets": "application/json; charset=utf-8; charset=utf-16",
    "an unclosed quote": 'application/json; charset="utf-8',
    "not ASCII": "application/jsön",
    "a script": "<script>alert(1)</script>",
    "10,000 characters": "x" * 10_000,
}


@pytest.mark.parametrize("media_type", ACCEPTED_MEDIA_TYPES.values(), ids=ACCEPTED_MEDIA_TYPES)
def test_every_equivalent_json_content_type_is_accepted(
    alice: AuthedClient, media_type: str
) -> None:
    assert post(alice, VALID, ("Content-Type", media_type)).status_code == 201
    refusal = post(alice, b'{"title": 5}', ("Content-Type", media_type))
    assert validation_errors(refusal) == {"#/title": "must be a string"}


@every_operation_with_body
def test_any_other_content_type_is_refused(alice: AuthedClient, operation: Operation) -> None:
    for how, media_type in REJECTED_MEDIA_TYPES.items():
        assert operation.body
        if media_type in operation.body["content"]:
            continue
        response = send(alice, operation, VALID, ("Content-Type", media_type.encode()))
        assert response.status_code == 415, how
        assert response.json()["detail"] == "The body must be application/json in UTF-8."
    assert alice.list_tasks() == []


@every_operation_with_body
def test_a_missing_or_repeated_content_type_is_refused(
    alice: AuthedClient, operation: Operation
) -> None:
    nothing = [("Accept", "*/*")]
    for headers in (
        nothing,
        [("Content-Type", JSON)] * 2,
        [("Content-Type", JSON), ("Content-Type", "text/plain")],
        [("Content-Type", f"{JSON}; a=b"), ("Content-Type", "text/plain")],
        [("Content-Type", f'{JSON}; a="b'), ("Content-Type", 'c"')],
    ):
        assert send(alice, operation, VALID, *headers).status_code == 415


@pytest.mark.parametrize("coding", ["identity", "Identity", "IDENTITY"])
def test_the_identity_encoding_is_accepted(alice: AuthedClient, coding: str) -> None:
    response = post(alice, VALID, ("Content-Type", JSON), ("Content-Encoding", coding))
    assert response.status_code == 201


ENCODINGS: dict[str, tuple[bytes, bytes]] = {
    "gzip": (b"gzip", gzip.compress(VALID)),
    "gzip in upper case": (b"GZIP", gzip.compress(VALID)),
    "gzip that inflates to gigabytes": (b"gzip", gzip.compress(b" " * 10_000_000)),
    "deflate": (b"deflate", zlib.compress(VALID)),
    "gzip declared, but not applied": (b"gzip", VALID),
    "an unknown encoding": (b"bogus", VALID),
    "two encodings": (b"gzip, identity", gzip.compress(VALID)),
    "not ASCII": (b"\xff", VALID),
}


@pytest.mark.parametrize("how", ENCODINGS)
def test_an_encoded_body_is_refused(alice: AuthedClient, how: str) -> None:
    coding, body = ENCODINGS[how]
    response = post(alice, body, ("Content-Type", JSON), ("Content-Encoding", coding))
    assert response.status_code == 415
    assert alice.list_tasks() == []


# Invalid JSON


INVALID_JSON: dict[str, bytes] = {
    "white space": b" \t\r\n",
    "a word": b"title",
    "a form": b"title=x&priority=low",
    "an unclosed object": b'{"title": "x"',
    "an unclosed string": b'{"title": "x',
    "trailing text": VALID + b" x",
    "two objects": VALID + VALID,
    "a trailing comma": b'{"title": "x",}',
    "a comment": b"{/* a comment */}",
    "single quotes": b"{'title': 'x'}",
    "a name without quotes": b'{title: "x"}',
    "undefined": b'{"title": undefined}',
    "NaN": b'{"title": NaN}',
    "Infinity": b'{"title": Infinity}',
    "minus Infinity": b'{"title": -Infinity}',
    "a number beyond every float": b'{"title": 1e999}',
    "5,000 digits": b'{"title": ' + b"9" * 5_000 + b"}",
    "5,000 digits alone": b"9" * 5_000,
    "a leading zero": b'{"title": 01}',
    "hexadecimal": b'{"title": 0x1}',
    "a plus": b'{"title": +1}',
    "a raw NUL": b'{"title": "a\0b"}',
    "a NUL alone": b"\0",
    "a raw line break": b'{"title": "a\nb"}',
    "an unknown escape": rb'{"title": "\x41"}',
    "a high surrogate": rb'{"title": "\ud800"}',
    "a low surrogate": rb'{"title": "\udc00"}',
    "surrogates in the wrong order": rb'{"title": "\udc00\ud800"}',
    "a high surrogate and a letter": rb'{"title": "\uD800\u0041"}',
    "a surrogate in a name": rb'{"title": "x", "\ud800": 1}',
    "a surrogate in UTF-8": b'{"title": "\xed\xa0\x80"}',
    "not UTF-8": b'{"title": "\xff\xfe"}',
    "truncated within a character": b'{"title": "\xf0\x9f\x98"}',
    "an overlong character": b'{"title": "\xc0\xaf"}',
    "a character beyond U+10FFFF": b'{"title": "\xf4\x90\x80\x80"}',
    "Latin-1": '{"title": "é"}'.encode("latin-1"),
    "UTF-16 with a byte order mark": VALID.decode().encode("utf-16"),
    "UTF-16": VALID.decode().encode("utf-16-le"),
    "UTF-16, big-endian": VALID.decode().encode("utf-16-be"),
    "UTF-32": VALID.decode().encode("utf-32-le"),
    "UTF-8 with a byte order mark": b"\xef\xbb\xbf" + VALID,
    "undeclared gzip": gzip.compress(VALID),
    "unclosed brackets": b"[" * 60_000,
    "unclosed braces": b'{"title":' * 7_000,
    "brackets 30,000 deep": b"[" * 30_000 + b"]" * 30_000,
}


@every_operation_with_body
def test_invalid_json_is_refused_with_its_position(
    alice: AuthedClient, operation: Operation
) -> None:
    for how, body in INVALID_JSON.items():
        found = validation_errors(send(alice, operation, body))
        assert found.keys() == {"#"}, how
        assert found["#"].startswith("cannot be read as JSON in UTF-8 (line 1, column "), how
    assert alice.list_tasks() == []


def test_an_unreadable_body_is_located_by_line_and_column(alice: AuthedClient) -> None:
    response = post(alice, b'{\n  "title": "x",\n  "priority" "low"\n}')
    assert validation_errors(response) == {
        "#": "cannot be read as JSON in UTF-8 (line 3, column 14)"
    }


# JSON other than an object, and deep nesting


@every_operation_with_body
@pytest.mark.parametrize("value", ["[]", "[{}]", '"x"', "1", "-1.5e3", "true", "null"])
def test_json_that_is_not_an_object_is_refused(
    alice: AuthedClient, operation: Operation, value: str
) -> None:
    response = send(alice, operation, f" {value}\n".encode())
    assert validation_errors(response) == {"#": "must be a JSON object"}


NESTED: dict[str, Callable[[int], str]] = {
    "arrays": lambda depth: "[" * depth + "]" * depth,
    "objects": lambda depth: '{"title":' * depth + "1" + "}" * depth,
    "a title of arrays": lambda depth: f'{{"title":{"[" * depth}{"]" * depth}}}',
    "an unknown field of arrays": lambda depth: (
        f'{{"title":"x","u":{"[" * depth}{"]" * depth}}}'
    ),
}


@pytest.mark.parametrize("shape", NESTED)
@pytest.mark.parametrize("depth", [100, 254, 255, 256, 300, 1_000, 1_023, 1_024, 5_000])
def test_a_deeply_nested_body_is_refused(alice: AuthedClient, shape: str, depth: int) -> None:
    assert validation_errors(post(alice, NESTED[shape](depth).encode()))
    assert alice.list_tasks() == []


@pytest.mark.parametrize("shape", NESTED)
def test_a_body_nested_100_000_deep_is_too_large(alice: AuthedClient, shape: str) -> None:
    assert post(alice, NESTED[shape](100_000).encode()).status_code == 413


# Fields


NOT_STRINGS = ("5", "5.5", "true", "[]", '["x"]', "{}")
INVALID_FIELDS: dict[str, tuple[str, str, Iterable[str]]] = {
    "a title that is not a string": ("title", "must be a string", (*NOT_STRINGS, "null")),
    "a title with NUL": ("title", pattern_meaning("Title"), (r'"a\u0000b"', r'"\u0000"')),
    "a title of 201 characters": (
        "title",
        "must be at most 200 characters long",
        (f'"{"x" * 201}"', f'"{"x" * 60_000}"'),
    ),
    "a description that is not a string": (
        "description",
        "must be a string or null",
        NOT_STRINGS,
    ),
    "a description with NUL": (
        "description",
        pattern_meaning("Description"),
        (r'"\u0000"', r'"a\u0000"'),
    ),
    "a description of 1,001 characters": (
        "description",
        "must be at most 1000 characters long",
        (f'"{"x" * 1001}"',),
    ),
    "completed that is not a boolean": (
        "completed",
        "must be true or false",
        ("0", "1", '"true"', '""', "null", "[]", "{}"),
    ),
    "an unknown priority": (
        "priority",
        "must be low, medium, high, urgent or null",
        (
            '"asap"',
            '"URGENT"',
            '"LOW"',
            '"low "',
            '""',
            '"null"',
            "1",
            "false",
            "[]",
            '["low"]',
        ),
    ),
    "a due date that is not a string": ("due_date", "must be a string or null", NOT_STRINGS),
    "a due date that does not exist": (
        "due_date",
        "must be a date and time that exists, in the years 1000 to 9999 UTC",
        (
            '"2026-02-30T00:00:00Z"',
            '"2026-02-29T00:00:00Z"',
            '"2100-02-29T00:00:00Z"',
            '"2026-04-31T00:00:00Z"',
            '"9999-12-31T23:59:59-14:00"',
            '"9999-12-31T23:59:59.999999-00:01"',
            '"1000-01-01T00:00:00+00:01"',
        ),
    ),
    "a due date in another format": (
        "due_date",
        pattern_meaning("DueDate"),
        (
            '""',
            '"tomorrow"',
            '"now"',
            '"infinity"',
            '"0000-01-01T00:00:00Z"',
            '"0001-01-01T00:00:00+14:00"',
            '"0999-12-31T23:59:59Z"',
            '"10000-01-01T00:00:00Z"',
            '"-2026-01-01T00:00:00Z"',
            '"+2026-01-01T00:00:00Z"',
            '"2026-00-01T00:00:00Z"',
            '"2026-13-01T00:00:00Z"',
            '"2026-01-00T00:00:00Z"',
            '"2026-01-32T00:00:00Z"',
            '"2026-01-01T24:00:00Z"',
            '"2026-01-01T00:60:00Z"',
            '"2026-01-01T00:00:60Z"',
            '"2016-12-31T23:59:60Z"',
            '"2026-01-01T00:00:00"',
            '"2026-01-01T00:00:00+24:00"',
            '"2026-01-01T00:00:00+14:60"',
            '"2026-01-01T00:00:00+0100"',
            '"2026-01-01T00:00:00+01"',
            '"2026-01-01T00:00:00+01:00:30"',
            '"2026-01-01T00:00:00 01:00"',
            '"2026-01-01T00:00:00Z+01:00"',
            '"2026-01-01T00:00:00CET"',
            '"2026-01-01T00:00:00z"',
            '"2026-01-01t00:00:00Z"',
            '"2026-01-01 00:00:00Z"',
            '"2026-01-01T00:00Z"',
            '"2026-01-01T00:00:00.Z"',
            '"2026-01-01T00:00:00,5Z"',
            '"2026-01-01T00:00:00.1234567891Z"',
            '"2026-01-01"',
            '"00:00:00Z"',
            '"20260101T000000Z"',
            '"2026-W01-1T00:00:00Z"',
            '"2026-001T00:00:00Z"',
            '"1767225600"',
            '"Thu, 01 Jan 2026 00:00:00 GMT"',
            '" 2026-01-01T00:00:00Z"',
            '"2026-01-01T00:00:00Z "',
            r'"2026-01-01T00:00:00Z\n"',
            r'"2026-01-01T00:00:00Z\u0000"',
            '"٢٠٢٦-01-01T00:00:00Z"',
            '"2026-01-01T00:00:00\N{MINUS SIGN}01:00"',
        ),
    ),
}


@pytest.mark.parametrize("how", INVALID_FIELDS)
@pytest.mark.parametrize("operation", WITH_FIELDS, ids=name)
def test_an_invalid_field_is_named_and_explained(
    alice: AuthedClient, operation: Operation, how: str
) -> None:
    field, detail, values = INVALID_FIELDS[how]
    for value in values:
        fields = {"title": '"x"', field: value}
        body = ",".join(f'"{key}":{text}' for key, text in fields.items())
        assert validation_errors(send(alice, operation, f"{{{body}}}".encode())) == {
            f"#/{field}": detail
        }
    assert alice.list_tasks() == []


def test_a_missing_title_is_named(alice: AuthedClient) -> None:
    assert validation_errors(post(alice, b"{}")) == {"#/title": "is required"}
    assert validation_errors(post(alice, b'{"priority": "low"}')) == {"#/title": "is required"}


@pytest.mark.parametrize("operation", WITH_FIELDS, ids=name)
def test_a_missing_body_is_named(alice: AuthedClient, operation: Operation) -> None:
    for body in (b"", iter(())):
        response = send(alice, operation, body)
        assert validation_errors(response) == {"#": "is required: send a JSON object"}


@pytest.mark.parametrize("operation", WITH_FIELDS, ids=name)
def test_every_error_is_reported_at_once(alice: AuthedClient, operation: Operation) -> None:
    body = {
        "title": "",
        "description": 5,
        "completed": "yes",
        "priority": "asap",
        "due_date": "tomorrow",
        "version": 5,
        "colour": "green",
    }
    response = send(alice, operation, json.dumps(body).encode())
    assert validation_errors(response) == {
        "#/title": pattern_meaning("Title"),
        "#/description": "must be a string or null",
        "#/completed": "must be true or false",
        "#/priority": "must be low, medium, high, urgent or null",
        "#/due_date": pattern_meaning("DueDate"),
        "#/version": "is not a known field",
        "#/colour": "is not a known field",
    }
    assert response.json()["detail"].endswith(" And 2 more.")


def test_errors_in_path_query_header_and_body_are_reported_together(
    alice: AuthedClient,
) -> None:
    response = alice.put(
        "/api/tasks/7?colour=green&verbose",
        json={"title": "", "colour": "green"},
        headers={"If-Match": 1_001 * "x"},
    )
    assert validation_errors(response) == {
        "task_id": pattern_meaning("Id"),
        "colour": "is not a known parameter",
        "verbose": "is not a known parameter",
        "If-Match": "must be at most 1000 characters long",
        "#/title": pattern_meaning("Title"),
        "#/colour": "is not a known field",
    }


def test_at_most_a_hundred_unknown_fields_are_named(alice: AuthedClient) -> None:
    body = json.dumps({"title": "x", **{f"f{number:04}": 1 for number in range(4_500)}})
    response = post(alice, body.encode())
    assert len(validation_errors(response)) == 100
    assert set(validation_errors(response).values()) == {"is not a known field"}
    assert response.json()["detail"].endswith(" f0004: is not a known field. And 4495 more.")
    assert len(response.content) < 10_000


UNUSUAL_NAMES = (
    *("Title", "title ", "TITLE", "due-date", "userId", "__proto__", "constructor", "self"),
    *(
        "a/b",
        "a~b",
        "~1",
        "a~0/b",
        "/",
        "~",
        "%41",
        "%",
        "a b",
        '"',
        "\\",
        "#",
        "?",
        "{x}",
        "é",
    ),
    *("😀", "\0", "\x7f", "\n", "\N{RIGHT-TO-LEFT OVERRIDE}x", "<b>", "..", "0", "-", "fields"),
)


@every_operation_with_body
def test_unknown_fields_with_unusual_names_are_named(
    alice: AuthedClient, operation: Operation
) -> None:
    fields = {"completed": True, **dict.fromkeys(UNUSUAL_NAMES, 1)}
    found = validation_errors(send(alice, operation, json.dumps(fields).encode()))
    named = {
        unquote(pointer).removeprefix("#/").replace("~1", "/").replace("~0", "~")
        for pointer, detail in found.items()
        if detail == "is not a known field"
    }
    assert named == set(UNUSUAL_NAMES)


def test_the_detail_names_a_field_as_it_was_sent(alice: AuthedClient) -> None:
    response = post(alice, b'{"title": "x", "and/or ~ 100%": 1}')
    assert response.json()["detail"] == "and/or ~ 100%: is not a known field."
    assert validation_errors(response) == {"#/and~1or%20~0%20100%25": "is not a known field"}


def test_a_field_with_an_empty_name_is_named(alice: AuthedClient) -> None:
    response = post(alice, b'{"title": "x", "": 1}')
    assert validation_errors(response) == {"#/": "is not a known field"}
    assert response.json()["detail"] == '"": is not a known field.'


@pytest.mark.parametrize("character", ["n", "😀", "/", "%", "\0"])
def test_a_long_name_is_cut(alice: AuthedClient, character: str) -> None:
    body = json.dumps({"title": "x", character * 5_000: 1}, ensure_ascii=False)
    response = post(alice, body.replace("\0", r"\u0000").encode())
    ((pointer, detail),) = validation_errors(response).items()
    assert unquote(pointer).endswith("…")
    assert detail == "is not a known field"
    assert len(response.content) < 3_000


def test_the_last_of_duplicate_fields_counts(alice: AuthedClient) -> None:
    response = post(alice, b'{"title": 5, "title": "first", "title": "last"}')
    assert (response.status_code, response.json()["title"]) == (201, "last")
    refusal = post(alice, b'{"title": "first", "title": 5}')
    assert validation_errors(refusal) == {"#/title": "must be a string"}


# Sizes


def padded(size: int) -> bytes:
    """Return a valid body of this many bytes."""
    return VALID + b" " * (size - len(VALID))


TRANSFERS: dict[str, Callable[[bytes], bytes | Iterator[bytes]]] = {
    "with a length": lambda body: body,
    "in chunks": chunked,
    "in tiny chunks": lambda body: chunked(body, 100),
}
every_transfer = pytest.mark.parametrize("transfer", TRANSFERS)


@every_transfer
def test_a_body_is_read_in_every_transfer_form(alice: AuthedClient, transfer: str) -> None:
    text = "ein Äpfelchen 🍏 " * 50
    body = json.dumps({"title": "x", "description": text}, ensure_ascii=False).encode()
    response = post(alice, TRANSFERS[transfer](body))
    assert response.json()["description"] == text
    refusal = post(alice, TRANSFERS[transfer](b'{"title": 5}'))
    assert validation_errors(refusal) == {"#/title": "must be a string"}


def test_a_body_may_arrive_byte_by_byte(alice: AuthedClient) -> None:
    body = '{"title": "🍏"}'.encode()
    assert post(alice, chunked(body, 1)).json()["title"] == "🍏"


@pytest.mark.parametrize(
    ("http_version", "headers", "expected"),
    [
        ("1.1", {}, False),
        ("1.0", {b"content-type": b"application/json"}, False),
        ("1.1", {b"content-length": b"0"}, False),
        ("1.1", {b"content-length": b"1"}, True),
        ("1.0", {b"content-length": b"10"}, True),
        ("1.1", {b"transfer-encoding": b"chunked"}, True),
        ("1.1", {b"content-length": b"0", b"transfer-encoding": b"chunked"}, True),
        ("2", {}, True),  # where framing marks the end (RFC 9113, 8.1)
    ],
)
def test_a_body_is_expected_if_the_request_may_have_one(
    http_version: str, headers: dict[bytes, bytes], *, expected: bool
) -> None:
    scope = {"http_version": http_version, "headers": [*headers.items()]}
    assert has_body(scope, LIMIT) is expected


@every_transfer
def test_a_body_of_65_536_bytes_is_accepted_and_one_more_is_not(
    alice: AuthedClient, transfer: str
) -> None:
    send_as = TRANSFERS[transfer]
    assert post(alice, send_as(padded(LIMIT))).status_code == 201
    refusal = post(alice, send_as(padded(LIMIT + 1)))
    assert refusal.status_code == 413
    assert refusal.json()["detail"] == "The body must be at most 65,536 bytes."
    assert len(alice.list_tasks()) == 1


@every_operation_with_body
def test_no_operation_reads_more_than_65_536_bytes(
    alice: AuthedClient, operation: Operation
) -> None:
    assert send(alice, operation, b" " * (LIMIT + 1)).status_code == 413
    assert send(alice, operation, b" " * LIMIT).status_code == 400


@pytest.mark.parametrize("transfer", ["with a length", "in chunks"])
@pytest.mark.parametrize("megabytes", [1, 10, 20])
def test_a_client_that_sends_megabytes_can_read_the_refusal(
    service: Service, alice: AuthedClient, megabytes: int, transfer: str
) -> None:
    # Send the whole request before reading the response, as browsers do.
    head = (
        "POST /api/tasks HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n"
        f"Authorization: {alice.headers['authorization']}\r\n"
    ).encode()
    chunk = b" " * 65_000
    count = megabytes * 1_000_000 // len(chunk)
    if transfer == "with a length":
        head += b"Content-Length: %d\r\n\r\n" % (count * len(chunk))
        end = b""
    else:
        head += CHUNKED
        chunk, end = b"%x\r\n%s\r\n" % (len(chunk), chunk), b"0\r\n\r\n"
    with connect(service) as connection:
        connection.sendall(head)
        for _ in range(count):
            connection.sendall(chunk)
        connection.sendall(end)
        refusal = read_response(connection)
        check_problem(refusal)
        assert refusal.status_code == 413
        assert refusal.headers["connection"] == "close"


def send_truncated(
    service: Service, client: AuthedClient, method: str, where: str, rest: bytes
) -> None:
    """Send an incomplete request, then close the connection."""
    head = f"{method} {where} HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n"
    head += f"Authorization: {client.headers['authorization']}\r\n"
    with connect(service) as connection:
        connection.sendall(head.encode() + rest)
        time.sleep(0.05)  # so that the service reads what was sent


TRUNCATED = {
    "before its end": b'Content-Length: 1000\r\n\r\n{"title": "cut off"}',
    "one byte before its end": b'Content-Length: 21\r\n\r\n{"title": "cut off"}',
    "before its last chunk": CHUNKED + b'14\r\n{"title": "cut off"}\r\n',
    "within a chunk": CHUNKED + b'15\r\n{"title": "cut off"}',
    "before its first byte": b"Content-Length: 20\r\n\r\n",
}


@pytest.mark.parametrize("how", TRUNCATED)
def test_a_truncated_body_stores_nothing(
    service: Service, alice: AuthedClient, how: str
) -> None:
    task = alice.create_task("whole")
    send_truncated(service, alice, "POST", "/api/tasks", TRUNCATED[how])
    send_truncated(service, alice, "PUT", f"/api/tasks/{task['id']}", TRUNCATED[how])
    for _ in range(10):
        assert alice.list_tasks() == [task]
        time.sleep(0.01)


# Unexpected bodies, and authentication before validation


@pytest.mark.parametrize("operation", WITHOUT_BODY, ids=name)
@pytest.mark.parametrize(
    "body", [VALID, b"\xff\0[", b"x" * (LIMIT + 1)], ids=["JSON", "garbage", "large"]
)
def test_a_body_that_the_contract_does_not_describe_is_ignored(
    alice: AuthedClient, operation: Operation, body: bytes
) -> None:
    plain = alice.request(operation.method, path(operation), **query(operation))
    for headers in ((), (("Content-Type", "text/plain"), ("Content-Encoding", "gzip"))):
        response = send(alice, operation, body, *headers, **query(operation))
        assert (response.status_code, without_id(response)) == (
            plain.status_code,
            without_id(plain),
        )


def without_id(response: httpx.Response) -> bytes:
    """Return the content without the request id."""
    return response.content.replace(response.headers["x-request-id"].encode(), b"")


@pytest.mark.parametrize("operation", SECURED, ids=name)
@pytest.mark.parametrize(
    "body", [b"", b"\xff", b"x" * (LIMIT + 1)], ids=["none", "garbage", "large"]
)
def test_authentication_comes_before_validation(
    alice: AuthedClient, operation: Operation, body: bytes
) -> None:
    headers = (("Content-Type", "text/plain"), ("Authorization", "Bearer x"))
    response = send(alice, operation, body, *headers, params={"colour": "green"})
    assert response.status_code == 401
    assert "errors" not in response.json()
