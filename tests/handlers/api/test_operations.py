"""Routing: how an operation is found by the path and method of a request."""

import asyncio
from functools import partial
from typing import Any

import pytest
from connexion.resolver import Resolver
from connexion.spec import Specification

from handlers.api.operations import OperationsAPI
from handlers.api.problems import MethodNotAllowed, PathNotFound

PATHS = ("/{kind}/{id}", "/{kind}/new", "/things/new", "/things", "/{kind}")


def operation(path: str) -> dict[str, Any]:
    names = [part[1:-1] for part in path.split("/") if part.startswith("{")]
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in names
    ]
    responses = {"200": {"description": "It is there."}}
    return {"operationId": path, "parameters": parameters, "responses": responses}


@pytest.fixture(scope="module")
def api() -> OperationsAPI:
    document = {
        "openapi": "3.0.3",
        "info": {"title": "Things", "version": "1"},
        "paths": {path: {"get": operation(path)} for path in PATHS},
        "security": [],
        "x-max-body-bytes": 1,
    }
    return OperationsAPI(
        Specification.from_dict(document),
        resolver=Resolver(lambda operation_id: partial(handler, operation_id)),
        security_map={},
    )


async def handler(operation_id: str, **parameters: str) -> Any:
    return operation_id, parameters


async def receive() -> dict[str, Any]:
    return {"type": "http.disconnect"}


def call(api: OperationsAPI, path: str, method: str = "GET") -> object:
    scope = {
        "path": path,
        "method": method,
        "query_string": b"",
        "headers": [],
        "state": {},
    }
    return asyncio.run(api.match(scope)(scope, receive))


def test_a_concrete_path_takes_precedence_over_a_templated_one(api: OperationsAPI) -> None:
    assert call(api, "/things") == ("/things", {})
    assert call(api, "/people") == ("/{kind}", {"kind": "people"})
    assert call(api, "/things/new") == ("/things/new", {})
    assert call(api, "/people/new") == ("/{kind}/new", {"kind": "people"})
    assert call(api, "/people\n") == ("/{kind}", {"kind": "people\n"})
    assert call(api, "/people/1") == ("/{kind}/{id}", {"kind": "people", "id": "1"})


@pytest.mark.parametrize("path", ["", "/", "//", "/things/", "//new", "/things/1/2", "things"])
def test_a_path_that_is_not_in_the_contract_is_not_found(path: str, api: OperationsAPI) -> None:
    with pytest.raises(PathNotFound):
        call(api, path)


def test_another_method_is_not_allowed(api: OperationsAPI) -> None:
    with pytest.raises(MethodNotAllowed) as raised:
        call(api, "/things", "POST")
    assert raised.value.allow == "GET, HEAD"
