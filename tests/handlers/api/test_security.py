"""An operation is public only if the contract says so in so many words."""

from typing import Any

import pytest
from connexion.resolver import Resolver
from connexion.spec import Specification

from handlers.api.operations import OperationsAPI
from handlers.api.problems import MethodNotAllowed
from handlers.auth import BearerAuth
from handlers.auth.verifier import Claims

pytestmark = pytest.mark.anyio

BEARER = {"type": "http", "scheme": "bearer"}
KEY = {"type": "apiKey", "in": "header", "name": "X-Key"}
REFUSED = "things: security must be"


class Verifier:
    """Accepts every token."""

    async def verify(self, token: str) -> Claims:
        return {"sub": token}


async def list_things(**arguments: Any) -> Any:
    return arguments


def compiled(default: Any = None, **operation: Any) -> OperationsAPI:
    """Compile a contract with one operation, and possibly a default for its security."""
    responses = {"200": {"description": "They are there."}}
    document: dict[str, Any] = {
        "openapi": "3.0.3",
        "info": {"title": "Things", "version": "1"},
        "paths": {"/things": {"get": {"operationId": "things", "responses": responses}}},
        "components": {"securitySchemes": {"bearerAuth": BEARER, "key": KEY}},
        "x-max-body-bytes": 1,
    }
    document["paths"]["/things"]["get"] |= operation
    if default is not None:
        document["security"] = default
    return OperationsAPI(
        Specification.from_dict(document),
        resolver=Resolver(lambda _: list_things),
        security_map={"bearer": lambda: BearerAuth(Verifier(), ())},
    )


async def called(api: OperationsAPI) -> Any:
    scope = {
        "path": "/things",
        "method": "GET",
        "query_string": b"",
        "headers": [(b"authorization", b"Bearer alice")],
        "http_version": "1.1",
        "state": {"path_user": None},
    }

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    return await api.match(scope)(scope, receive)


async def test_an_operation_with_bearer_auth_knows_its_user() -> None:
    assert await called(compiled(security=[{"bearerAuth": []}])) == {"user": "alice"}


async def test_the_default_of_the_contract_applies() -> None:
    assert await called(compiled([{"bearerAuth": []}])) == {"user": "alice"}
    assert await called(compiled([])) == {}


async def test_an_operation_is_public_if_the_contract_says_so() -> None:
    assert await called(compiled([{"bearerAuth": []}], security=[])) == {}


@pytest.mark.parametrize(
    "security",
    [
        [{}],
        [{"bearerAuth": []}, {}],
        [{"bearerAuth": []}, {"key": []}],
        [{"bearerAuth": [], "key": []}],
        [{"key": []}],
    ],
    ids=["optional", "or none", "one of two", "two at once", "unknown"],
)
def test_any_other_security_is_refused_at_start(security: Any) -> None:
    with pytest.raises(ValueError, match=REFUSED):
        compiled(security=security)


def test_an_operation_that_says_nothing_of_security_is_refused_at_start() -> None:
    with pytest.raises(ValueError, match=REFUSED):
        compiled()


@pytest.mark.parametrize(
    ("methods", "allow"),
    [
        (["GET"], "GET, HEAD"),
        (["GET", "POST"], "GET, POST, HEAD"),
        (["PUT", "DELETE"], "PUT, DELETE"),
    ],
)
def test_allow_names_the_methods_and_head_with_get(methods: list[str], allow: str) -> None:
    assert MethodNotAllowed(methods).allow == allow
