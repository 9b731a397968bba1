"""How the short way finds an operation; all else about it, the edge tests show both ways."""

import asyncio
from functools import partial
from typing import Any

import pytest
from connexion.resolver import Resolver
from connexion.spec import Specification

from handlers.compiled import CompiledAPI
from handlers.keys import SharedSecret
from handlers.security import BearerAuth, TokenVerifier
from openapi.contract import Contract

TEMPLATED_FIRST = ("/{kind}/{id}", "/{kind}/new", "/things/new", "/things", "/{kind}")


def described(path: str) -> dict[str, Any]:
    names = [part[1:-1] for part in path.split("/") if part.startswith("{")]
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in names
    ]
    responses = {"200": {"description": "It is there."}}
    return {"operationId": path, "parameters": parameters, "responses": responses}


@pytest.fixture(scope="module")
def api() -> CompiledAPI:
    document = {
        "openapi": "3.0.3",
        "info": {"title": "Things", "version": "1"},
        "paths": {path: {"get": described(path)} for path in TEMPLATED_FIRST},
        "security": [],
        "x-max-body-bytes": 1,
    }
    return CompiledAPI(
        Specification.from_dict(document),
        contract=Contract(b"", document),
        auth=BearerAuth(TokenVerifier(SharedSecret(bytes(32)))),
        resolver=Resolver(lambda operation_id: partial(answered, operation_id)),
    )


async def answered(operation_id: str, **parameters: str) -> Any:
    return operation_id, parameters


async def nothing() -> dict[str, Any]:
    return {"type": "http.disconnect"}


def found(api: CompiledAPI, path: str, method: str = "GET") -> object:
    match = api.find({"path": path, "method": method})
    if match is None:
        return None
    operation, parameters = match
    scope = {"path_params": parameters, "query_string": b"", "headers": []}
    return asyncio.run(operation.answer(scope, nothing))


def test_a_concrete_path_is_found_before_a_templated_one(api: CompiledAPI) -> None:
    assert found(api, "/things") == ("/things", {})
    assert found(api, "/people") == ("/{kind}", {"kind": "people"})
    assert found(api, "/things/new") == ("/things/new", {})
    assert found(api, "/people/new") == ("/{kind}/new", {"kind": "people"})
    assert found(api, "/people/1") == ("/{kind}/{id}", {"kind": "people", "id": "1"})


@pytest.mark.parametrize(
    "path", ["", "/", "//", "/things/", "//new", "/things/1/2", "/people\n", "/a\nb", "things"]
)
def test_what_is_no_path_of_the_contract_is_left_to_connexion(
    path: str, api: CompiledAPI
) -> None:
    assert found(api, path) is None


def test_another_method_is_left_to_connexion(api: CompiledAPI) -> None:
    assert found(api, "/things", "POST") is None
