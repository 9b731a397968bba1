"""A token is read from the `Authorization` header and from nowhere else."""

import pytest

from harness.anonymous import (
    EXPIRED,
    INVALID,
    MALFORMED,
    MISSING,
    AnonymousClient,
    assert_does_not_leak,
    contains_no_part_of,
    unauthorized_detail,
)
from harness.clients import AuthedClient, new_user_id, token
from harness.contract import OPERATIONS, check_problem
from harness.forgery import HS256, claims_json, forge_token
from harness.operation_index import Operation
from harness.operations import SECURED, body, name, path, request_operation
from harness.raw_http import send
from harness.service import SECRET, Service

every_secured_operation = pytest.mark.parametrize("operation", SECURED, ids=name)

OTHER_SCHEMES = [
    "",
    "Basic ",
    "Digest ",
    "DPoP ",
    "JWT ",
    "Token ",
    "Bear ",
    "Bearers ",
    "Bearer",
    "Bearer:",
    "Bearer: ",
    "Bearer=",
    "Bearer,",
    "Bearer\t",
    "Bearer/",
    "Basic Bearer ",
    "Negotiate, Bearer ",
    "\N{CYRILLIC CAPITAL LETTER VE}earer ",
]

OTHER_HEADERS = [
    "Authentication",
    "Proxy-Authorization",
    "WWW-Authenticate",
    "X-Access-Token",
    "X-Auth-Token",
    "X-Authorization",
    "X-Forwarded-Authorization",
    "X-Original-Authorization",
    "Sec-WebSocket-Protocol",
]

OTHER_COOKIES = [
    "Authorization",
    "access_token",
    "token",
    "better-auth.session_token",
    "__Secure-better-auth.session_token",
]

# `%` stands for a valid token.
REFUSED_HEADERS: dict[str, list[bytes]] = {
    "an empty header": [b"Authorization:"],
    "the scheme alone": [b"Authorization: Bearer"],
    "the scheme and two spaces": [b"Authorization: Bearer  "],
    "the scheme and a tab": [b"Authorization: Bearer\t"],
    "the same twice": [b"Authorization: Bearer %", b"Authorization: Bearer %"],
    "the same twice, one in lower case": [
        b"Authorization: Bearer %",
        b"authorization: bearer %",
    ],
    "a valid token and an invalid one": [
        b"Authorization: Bearer %",
        b"Authorization: Bearer a.b.c",
    ],
    "an invalid token and a valid one": [
        b"Authorization: Bearer a.b.c",
        b"Authorization: Bearer %",
    ],
    "an empty header and a valid token": [b"Authorization:", b"Authorization: Bearer %"],
    "a valid token and an empty header": [b"Authorization: Bearer %", b"Authorization:"],
    "Basic and a valid token": [b"Authorization: Basic QTpC", b"Authorization: Bearer %"],
    "a valid token and Basic": [b"Authorization: Bearer %", b"Authorization: Basic QTpC"],
    "the same three times": [b"Authorization: Bearer %"] * 3,
    "two joined by a comma": [b"Authorization: Bearer %, Bearer %"],
    "a non-ASCII byte after it": [b"Authorization: Bearer %\xff"],
    "a non-ASCII byte before it": [b"Authorization: \xffBearer %"],
    "a no-break space before the token": [b"Authorization: Bearer\xa0%"],
    "UTF-8 in the scheme": [b"Authorization: B\xc3\xa9arer %"],
    "a byte order mark": [b"Authorization: \xef\xbb\xbfBearer %"],
    "only non-ASCII bytes": [b"Authorization: \xff\xfe\xfd"],
    "a CGI variable as a header": [b"HTTP_AUTHORIZATION: Bearer %"],
}

# Invalid HTTP is rejected by the server before the application sees a request.
BROKEN_HEADERS: dict[str, list[bytes]] = {
    "a NUL in the token": [b"Authorization: Bearer %\0"],
    "a vertical tab": [b"Authorization: Bearer\x0b%"],
    "a DEL": [b"Authorization: Bearer %\x7f"],
    "a carriage return": [b"Authorization: Bearer %\r"],
    "a space before the colon": [b"Authorization : Bearer %"],
    "no colon": [b"Authorization Bearer %"],
}


@every_secured_operation
def test_every_operation_on_tasks_requires_a_token(
    anonymous: AnonymousClient, operation: Operation
) -> None:
    assert operation.path.startswith("/api/")
    assert unauthorized_detail(request_operation(anonymous, operation)) == MISSING
    assert (
        unauthorized_detail(request_operation(anonymous, operation, user=new_user_id()))
        == MISSING
    )
    slash = f"{path(operation)}/"
    assert unauthorized_detail(anonymous.request(operation.method, slash)) == MISSING


def test_head_requires_a_token(anonymous: AnonymousClient) -> None:
    for operation in SECURED:
        if operation.method == "GET":
            assert anonymous.head(path(operation)).status_code == 401


def test_only_health_and_readiness_require_no_token(anonymous: AnonymousClient) -> None:
    for operation in OPERATIONS.values():
        if not operation.secured:
            assert not operation.path.startswith("/api")
            response = request_operation(
                anonymous, operation, headers={"Authorization": "Bearer nonsense"}
            )
            assert response.status_code == 200


@every_secured_operation
@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ("no-token", MALFORMED),
        (forge_token(payload=claims_json(exp="1")), EXPIRED),
        (forge_token(key=b"another secret"), INVALID),
    ],
    ids=["malformed", "expired", "invalid"],
)
def test_the_reason_for_refusing_a_token_is_reported(
    anonymous: AnonymousClient, operation: Operation, bad: str, reason: str
) -> None:
    response = request_operation(
        anonymous, operation, headers={"Authorization": f"Bearer {bad}"}
    )
    assert unauthorized_detail(response) == reason


@every_secured_operation
def test_authentication_comes_before_any_other_check(
    anonymous: AnonymousClient, operation: Operation
) -> None:
    bad_id = path(operation, "no-uuid")
    for request in (
        {"url": bad_id},
        {"url": bad_id, "params": {"unknown": "1"}},
        {"url": bad_id, "headers": {"If-Match": "bad", "If-None-Match": "bad"}},
        {"url": bad_id, "content": b"\0", "headers": {"Content-Type": "text/plain"}},
        {"url": bad_id, "json": {"unknown": 1}},
        {"url": bad_id, "content": b"x" * 100_000},
        {"url": path(operation, "no-uuid", user="another user")},
    ):
        assert unauthorized_detail(anonymous.request(operation.method, **request)) == MISSING


@pytest.mark.parametrize("scheme", ["Bearer ", "bearer ", "BEARER ", "bEaReR ", "Bearer    "])
def test_the_scheme_is_case_insensitive_and_followed_by_spaces(
    anonymous: AnonymousClient, scheme: str
) -> None:
    """RFC 9110, 11.1, and RFC 6750, 2.1: `"Bearer" 1*SP b64token`."""
    header = {"Authorization": f"{scheme}{forge_token()}"}
    assert anonymous.get("/api/tasks", headers=header).status_code == 200


@pytest.mark.parametrize("scheme", OTHER_SCHEMES, ids=ascii)
def test_a_token_under_another_scheme_is_ignored(
    anonymous: AnonymousClient, scheme: str
) -> None:
    assert anonymous.unauthorized_details(forge_token(), scheme) == {MISSING}


@pytest.mark.parametrize("header", OTHER_HEADERS)
def test_a_token_in_another_header_is_ignored(anonymous: AnonymousClient, header: str) -> None:
    for operation in SECURED:
        for value in (forge_token(), f"Bearer {forge_token()}"):
            assert (
                unauthorized_detail(
                    request_operation(anonymous, operation, headers={header: value})
                )
                == MISSING
            )


@pytest.mark.parametrize("cookie", OTHER_COOKIES)
def test_a_token_in_a_cookie_is_ignored(anonymous: AnonymousClient, cookie: str) -> None:
    for operation in SECURED:
        header = {"Cookie": f"{cookie}={forge_token()}"}
        assert (
            unauthorized_detail(request_operation(anonymous, operation, headers=header))
            == MISSING
        )


@pytest.mark.parametrize("parameter", ["access_token", "token", "jwt", "authorization"])
def test_a_token_in_the_query_is_ignored(anonymous: AnonymousClient, parameter: str) -> None:
    for operation in SECURED:
        good = forge_token()
        response = anonymous.request(
            operation.method, path(operation), params={parameter: good}, **body(operation)
        )
        assert unauthorized_detail(response) == MISSING
        assert_does_not_leak(good, response)


def test_a_token_in_the_body_is_ignored(anonymous: AnonymousClient) -> None:
    for operation in SECURED:
        fields = {"access_token": forge_token(), "title": "x"}
        url = path(operation)
        assert (
            unauthorized_detail(anonymous.request(operation.method, url, json=fields))
            == MISSING
        )
        assert (
            unauthorized_detail(anonymous.request(operation.method, url, data=fields))
            == MISSING
        )


@pytest.mark.parametrize("case", REFUSED_HEADERS)
def test_a_token_in_a_malformed_header_is_refused(service: Service, case: str) -> None:
    good = forge_token().encode()
    lines = [line.replace(b"%", good) for line in REFUSED_HEADERS[case]]
    for request in ("GET /api/tasks HTTP/1.1", "POST /api/tasks HTTP/1.1"):
        assert unauthorized_detail(send(service, request, *lines)) in {MISSING, MALFORMED}


@pytest.mark.parametrize("case", BROKEN_HEADERS)
def test_a_token_in_a_header_that_breaks_http_is_refused(service: Service, case: str) -> None:
    lines = [line.replace(b"%", forge_token().encode()) for line in BROKEN_HEADERS[case]]
    for request in ("GET /api/tasks HTTP/1.1", "POST /api/tasks HTTP/1.1"):
        assert send(service, request, *lines).status_code in {400, 401}


def test_an_http_1_0_request_requires_a_token(service: Service) -> None:
    assert unauthorized_detail(send(service, "GET /api/tasks HTTP/1.0")) == MISSING


def test_a_websocket_upgrade_requires_a_token(service: Service) -> None:
    response = send(
        service,
        "GET /api/tasks HTTP/1.1",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    )
    assert 400 <= response.status_code < 500


def test_an_unknown_path_is_not_found_without_a_token(anonymous: AnonymousClient) -> None:
    response = anonymous.get(f"/api/{new_user_id()}/lists")
    assert response.status_code == 404
    check_problem(response)


def test_no_token_is_logged_or_returned(service: Service, anonymous: AnonymousClient) -> None:
    good = forge_token(HS256 | {"kid": new_user_id()})
    bad = forge_token(HS256 | {"kid": new_user_id()}, key=b"another secret")
    responses = [
        response
        for text in (good, bad, f"{good}=", f"{good[:-3]}!!!")
        for header in ({"Authorization": f"Bearer {text}"}, {"Cookie": f"token={text}"}, {})
        for response in (
            anonymous.get("/api/tasks", headers=header, params={"access_token": text}),
            anonymous.post("/api/tasks", headers=header, json={"access_token": text}),
            anonymous.get("/no-such-path", headers=header, params={"access_token": text}),
            anonymous.patch("/api/tasks", headers=header, params={"access_token": text}),
        )
    ]
    log = service.log.read_text()
    for response in responses:
        assert response.headers["x-request-id"] in log
        assert_does_not_leak(good, response)
        assert_does_not_leak(bad, response)
    assert contains_no_part_of(good, log)
    assert contains_no_part_of(bad, log)
    assert SECRET not in log


def test_a_token_identifies_only_its_own_user(alice: AuthedClient, bob: AuthedClient) -> None:
    task = alice.create_task()
    bob.headers["Authorization"] = f"Bearer {token(alice.id)}"
    assert bob.list_tasks() == [task]
