"""Checks of the texts in problem documents."""

import re
from typing import Any

import httpx

# Names of internals: useless to a client, and some are useful to an attacker.
FORBIDDEN_WORDS = re.compile(
    r"traceback|exception|\w+error\b|\.py\b|python|nonetype|\b(dict|str|int)\b|0x"
    r"|connexion|starlette|uvicorn|orjson|jsonschema|\bregex|\^\["
    r"|does not match|is not of type|is not valid under"
    r"|psycopg|postgres|sqlalchemy|sqlstate|\b(select|insert|join|relation)\b",
    re.IGNORECASE,
)
ERROR_DETAIL = re.compile(r"(is|must|cannot|ended) [^.]+")


def check_wording(problem: dict[str, Any]) -> None:
    """Fail unless the texts of a problem are sentences that name no internals."""
    details = [error["detail"] for error in problem.get("errors", ())]
    for text in (problem["title"], problem["detail"], *details):
        assert not FORBIDDEN_WORDS.search(text), text
    assert re.fullmatch(r".*[^.]\.", problem["detail"], re.DOTALL), problem["detail"]
    for detail in details:
        assert ERROR_DETAIL.fullmatch(detail), detail


def validation_errors(response: httpx.Response) -> dict[str, str]:
    """Return the details of the errors of a 400, by pointer or parameter name."""
    assert response.status_code == 400, response.text
    return {
        error.get("pointer", error.get("parameter")): error["detail"]
        for error in response.json()["errors"]
    }
