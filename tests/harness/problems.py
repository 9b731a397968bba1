"""What a refusal says, and what it must never say."""

import re
from typing import Any

import httpx

# Words of the machine room: none of them helps a client, and some help an attacker.
FORBIDDEN_WORDS = re.compile(
    r"traceback|exception|\w+error\b|\.py\b|python|nonetype|\b(dict|str|int)\b|0x"
    r"|connexion|starlette|uvicorn|orjson|jsonschema|\bregex|\^\["
    r"|does not match|is not of type|is not valid under"
    r"|psycopg|postgres|sqlalchemy|sqlstate|\b(select|insert|join|relation)\b",
    re.IGNORECASE,
)
ERROR_DETAIL = re.compile(r"(is|must|cannot|ended) [^.]+")


def check_wording(problem: dict[str, Any]) -> None:
    """Fail unless a problem is put in sentences for people."""
    details = [fault["detail"] for fault in problem.get("errors", ())]
    for text in (problem["title"], problem["detail"], *details):
        assert not FORBIDDEN_WORDS.search(text), text
    assert re.fullmatch(r".*[^.]\.", problem["detail"], re.DOTALL), problem["detail"]
    for detail in details:
        assert ERROR_DETAIL.fullmatch(detail), detail


def validation_errors(response: httpx.Response) -> dict[str, str]:
    """Return what a 400 finds wrong, by pointer or name of the parameter."""
    assert response.status_code == 400, response.text
    return {
        fault.get("pointer", fault.get("parameter")): fault["detail"]
        for fault in response.json()["errors"]
    }
