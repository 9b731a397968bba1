"""The contract and the code, compared both ways: operations, arguments, security, links."""

import asyncio
import inspect
import re
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from connexion import ConnexionMiddleware

import app
import handlers
from handlers.middleware import cors
from harness import document
from harness.clients import AuthedClient
from harness.contract import CONTRACT, OPERATIONS
from harness.document import COMPONENTS, DOCUMENT
from harness.in_process import app_without_database, request_in_process
from harness.operation_index import Operation
from harness.operations import BY_ID, SECURED, name, request_operation
from openapi import contract as contracts
from openapi.parameters import Parameter

CREATED = OPERATIONS["create_task"].responses["201"]
# ------------------------------------------------------------------ Operations


def test_every_operation_has_a_handler_and_every_handler_an_operation() -> None:
    written = [operation["operationId"] for _, operation in document.operations()]
    assert sorted(handlers.__all__) == sorted(written)


def test_no_two_operations_have_the_same_name() -> None:
    """With duplicates, Connexion would use the last one, and its security."""
    names = Counter(operation["operationId"] for _, operation in document.operations())
    assert set(names.values()) == {1}


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
def test_a_handler_takes_what_the_contract_describes(operation: Operation) -> None:
    parameters = inspect.signature(getattr(handlers, operation.operation_id)).parameters
    by_position = [p.name for p in parameters.values() if p.kind is not p.KEYWORD_ONLY]
    by_name = [p.name for p in parameters.values() if p.kind is p.KEYWORD_ONLY]
    described = [Parameter(each).argument for each in operation.parameters]
    body = ["fields"] if operation.body else []
    who = ["user"] if operation.secured else []
    assert [name.strip("_") for name in by_position] == ["database", *who]
    assert sorted(by_name) == sorted([*described, *body])


def test_an_operation_without_a_handler_prevents_startup(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(handlers, "__all__", ["get_health"])
    with pytest.raises(LookupError, match="'list_tasks'"):
        start()


def start(*, operation_id: str = "list_tasks") -> int:
    """Start a service without a database, and send it a request without a token."""
    service = app_without_database()
    return asyncio.run(request_in_process(service, OPERATIONS[operation_id], None)).status_code


# -------------------------------------------------------------------- Security


def test_every_operation_requires_a_token_unless_the_contract_says_otherwise() -> None:
    assert DOCUMENT["security"] == [{"bearerAuth": []}]
    exceptions = {
        operation["operationId"]: operation["security"]
        for _, operation in document.operations()
        if "security" in operation
    }
    assert exceptions == {"get_health": [], "get_readiness": []}
    assert {operation.operation_id for operation in OPERATIONS.values()} == {
        *exceptions,
        *(operation.operation_id for operation in SECURED),
    }


def test_bearer_auth_is_the_only_scheme() -> None:
    ((name, scheme),) = COMPONENTS["securitySchemes"].items()
    assert (name, scheme["type"], scheme["scheme"]) == ("bearerAuth", "http", "bearer")


def test_without_a_security_function_the_service_does_not_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class WithoutSecurity(ConnexionMiddleware):  # type: ignore[misc]  # untyped
        def __init__(self, *arguments: Any, security_map: Any, **others: Any) -> None:
            assert security_map
            super().__init__(*arguments, **others)

    monkeypatch.setattr(app, "ConnexionMiddleware", WithoutSecurity)
    with pytest.raises(ValueError, match="one scheme that is known"):
        start()


@pytest.mark.parametrize("operation", SECURED, ids=name)
def test_every_secured_operation_returns_401_without_a_token(operation: Operation) -> None:
    assert start(operation_id=operation.operation_id) == 401


@pytest.fixture
def contract(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return the contract's document; the service starts with what a test changes in it."""
    document = yaml.safe_load(CONTRACT.text)
    path = tmp_path / "openapi.yaml"
    load = contracts.load

    def load_changed() -> contracts.Contract:
        path.write_text(yaml.safe_dump(document))
        return load(path)

    monkeypatch.setattr(contracts, "PATH", path)
    monkeypatch.setattr(contracts, "load", load_changed)
    return document


def test_without_global_security_the_service_does_not_start(contract: Any) -> None:
    del contract["security"]
    with pytest.raises(ValueError, match="one scheme that is known"):
        start()


@pytest.mark.parametrize(
    ("security", "complaint"),
    [
        ([{}], "one scheme that is known"),
        ([{"bearerAuth": []}, {}], "one scheme that is known"),
        ([{"cookieAuth": []}], "cookieAuth"),
    ],
)
def test_with_optional_or_unknown_security_the_service_does_not_start(
    security: Any, complaint: str, contract: Any
) -> None:
    contract["paths"]["/api/tasks"]["get"]["security"] = security
    with pytest.raises((ValueError, KeyError), match=complaint):
        start()


def test_an_operation_without_security_of_its_own_requires_a_token(contract: Any) -> None:
    del contract["paths"]["/health"]["get"]["security"]
    assert start(operation_id="get_health") == 401


# ----------------------------------------------------------------------- Links


def test_a_new_task_links_to_every_operation_on_it() -> None:
    linked = [link["operationId"] for link in CREATED["links"].values()]
    assert sorted(linked) == sorted(operation.operation_id for operation in BY_ID)


@pytest.mark.parametrize("relation", CREATED["links"])
def test_a_link_leads_to_the_new_task(relation: str, alice: AuthedClient) -> None:
    link = CREATED["links"][relation]
    operation = OPERATIONS[link["operationId"]]
    created = alice.post("/api/tasks", json={"title": "Water the plants"})
    values = {key: evaluated(value, created) for key, value in link["parameters"].items()}
    assert values.keys() == {p["name"] for p in operation.parameters if p.get("required")}
    response = request_operation(alice, operation, values["task_id"])
    assert response.is_success
    assert response.status_code == 204 or response.json()["id"] == created.json()["id"]


def evaluated(expression: str, response: httpx.Response) -> str:
    """Evaluate an OpenAPI runtime expression of the only form that this contract uses."""
    match = re.fullmatch(r"\$response\.body#/([a-z_]+)", expression)
    assert match, expression
    value: str = response.json()[match[1]]
    return value


# ------------------------------------------------------------------------ CORS

# Scripts can read these without permission (Fetch standard, 2.2.2).
SAFELISTED = {"Cache-Control"}
# The contract describes the one of a 405 in its prose, since no operation responds with it.
IN_PROSE = {"Allow"}


def test_every_documented_header_is_exposed_by_cors(alice: AuthedClient) -> None:
    response = alice.get("/api/tasks", headers={"Origin": "http://localhost:3000"})
    exposed = response.headers["Access-Control-Expose-Headers"].split(", ")
    assert exposed == list(cors.EXPOSED_HEADERS)
    assert set(exposed) == set(COMPONENTS["headers"]) - SAFELISTED | IN_PROSE


def test_the_prose_names_the_headers_that_cors_allows_and_exposes() -> None:
    _, _, prose = DOCUMENT["info"]["description"].partition("\n## CORS\n")
    requests, _, responses = prose.partition("\n## ")[0].partition("Scripts may read")
    named = [re.findall(r"`([A-Za-z-]+)`", text) for text in (requests, responses)]
    allowed = [name for name in named[0] if name != "OPTIONS"]
    exposed = [name for name in named[1] if name != "Access-Control-Allow-Origin"]
    assert (allowed, exposed) == (list(cors.HEADERS), list(cors.EXPOSED_HEADERS))
