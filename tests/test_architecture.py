"""The rules of the house, read off its source: who imports whom, and what is explained."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import settings

ROOT = Path(__file__).parents[1]
ROOMS = {"app", "cli", "handlers", "migrations", "models", "openapi", "settings"}

MAY_IMPORT = {
    "settings": set[str](),
    "openapi": {"openapi"},
    "models": {"models"},
    "migrations": {"models"},
    "handlers": {"handlers", "models", "openapi"},
    "app": {"handlers", "models", "openapi", "settings"},
    "cli": {"app", "handlers", "models", "settings"},
}

MUST_NOT_IMPORT = {
    "models": {"connexion", "starlette", "jwt", "uvicorn", "httpx"},
    "openapi": {"connexion", "starlette", "jwt", "psycopg", "sqlalchemy", "sqlmodel"},
    "handlers": {"psycopg", "psycopg_pool", "sqlalchemy", "sqlmodel", "alembic"},
    "settings": {"connexion", "starlette", "psycopg", "sqlalchemy", "sqlmodel"},
}


def modules(room: str) -> list[Path]:
    folder = ROOT / room
    return sorted(folder.rglob("*.py")) if folder.is_dir() else [ROOT / f"{room}.py"]


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.partition(".")[0]


@pytest.mark.parametrize("room", sorted(ROOMS))
def test_imports_run_one_way(room: str) -> None:
    paths = modules(room)
    assert paths
    for path in paths:
        from_house = set(imports(path)) & ROOMS
        assert from_house <= MAY_IMPORT[room], path


@pytest.mark.parametrize("room", sorted(MUST_NOT_IMPORT))
def test_each_room_keeps_to_its_own_trade(room: str) -> None:
    for path in modules(room):
        assert not set(imports(path)) & MUST_NOT_IMPORT[room], path


def test_handlers_contain_no_sql() -> None:
    for path in modules("handlers"):
        text = path.read_text()
        assert not re.search(r"\b(SELECT|INSERT|UPDATE|DELETE) (FROM|INTO|\w+ SET)", text), path


def test_every_setting_is_explained_in_env_example() -> None:
    lines = (ROOT / ".env.example").read_text().splitlines()
    explained = [line.partition("=")[0] for line in lines if re.match(r"[A-Z_]+=", line)]
    assert sorted(explained) == sorted(settings.NAMES)
    for number, line in enumerate(lines):
        if re.match(r"[A-Z_]+=", line):
            group = "\n".join(lines[max(0, number - 4) : number])
            assert "# " in group, f"{line} has no explanation above it"


def test_the_defaults_in_env_example_are_the_defaults() -> None:
    text = (ROOT / ".env.example").read_text()
    examples = dict(re.findall(r"^([A-Z_]+)=(.*)$", text, re.MULTILINE))
    assert settings.load(examples) == settings.load({})
