"""The architecture, checked by reading the source: imports, SQL, settings."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import settings

ROOT = Path(__file__).parents[1]

OPENAPI = {
    "openapi.contract",
    "openapi.errors",
    "openapi.requests",
    "openapi.schemas.parse_instant",
    "openapi.types",
}
ERRORS = {"handlers.auth", "handlers.auth.jwks", "handlers.auth.verifier"}
RESPONSES = {f"handlers.api.{name}" for name in ("responses", "conditional", "pagination")}
DATABASE = "models.postgres.database"
MODELS = {
    "models.errors",
    "models.changes.SyncState",
    "models.lists.Position",
    "models.lists.TaskPage",
    "models.queries.REPRESENTATION_VERSION",
}

MAY_IMPORT = {
    "settings": {"settings"},
    "openapi": {"openapi"},
    "models": {"models", "openapi.types"},
    "models.postgres": {"models.postgres", "models.errors"},
    "models.embedded": {"models.embedded", "models.errors"},
    "migrations": {"models", "settings"},
    "handlers": {"handlers.changes", "handlers.health", "handlers.tasks"},
    "handlers.changes": {*RESPONSES, "models", DATABASE},
    "handlers.health": {*RESPONSES, "models.errors", DATABASE},
    "handlers.tasks": {*RESPONSES, "models", DATABASE, "openapi.types"},
    "handlers.api": {"handlers.api", *ERRORS, *MODELS, *OPENAPI},
    "handlers.auth": {"handlers.auth"},
    "handlers.middleware": set[str](),
    "handlers.observability": {
        "handlers.observability",
        "handlers.middleware.request_context",
    },
    "handlers.site": {"handlers.site", "handlers.api", *OPENAPI},
    "handlers.server": {
        "handlers.server",
        "handlers.api",
        "handlers.middleware.cors",
        *OPENAPI,
    },
    "app": {"app", "handlers", "models", "openapi", "settings"},
    "cli": {"cli", "app", "handlers", "models", "settings"},
}
"""The packages and modules of this project that each package may import."""

MUST_NOT_IMPORT = {
    "models": {
        *{"connexion", "starlette", "jwt", "uvicorn", "httpx"},
        *{"prometheus_client", "opentelemetry"},
    },
    "openapi": {"connexion", "starlette", "jwt", "psycopg", "sqlalchemy", "sqlmodel"},
    "handlers": {"psycopg", "psycopg_pool", "sqlalchemy", "sqlmodel", "alembic"},
    "settings": {"connexion", "starlette", "psycopg", "sqlalchemy", "sqlmodel"},
}


def modules(package: str) -> list[Path]:
    """Return the modules of a package, without those that have their own rule."""
    path = ROOT / package.replace(".", "/")
    found = path.rglob("*.py") if path.is_dir() else [path.with_suffix(".py")]
    return sorted(module for module in found if owner(name_of(module)) == package)


def name_of(path: Path) -> str:
    """Return the name by which a module is imported."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def owner(module: str) -> str:
    """Return the package whose rule applies to a module: the longest prefix."""
    return max((name for name in MAY_IMPORT if is_in(module, {name})), key=len)


def is_in(module: str, packages: set[str]) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in packages)


def imports(path: Path) -> Iterator[str]:
    """Yield everything that a module imports, including the names of `from` imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def source_files(package: str) -> list[Path]:
    path = ROOT / package
    return sorted(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")]


@pytest.mark.parametrize("package", sorted(MAY_IMPORT))
def test_imports_run_one_way(package: str) -> None:
    paths = modules(package)
    assert paths
    top_level = {name.partition(".")[0] for name in MAY_IMPORT}
    for path in paths:
        own = {name for name in imports(path) if is_in(name, top_level)}
        assert {name for name in own if not is_in(name, MAY_IMPORT[package])} == set(), path


@pytest.mark.parametrize("package", sorted(MUST_NOT_IMPORT))
def test_each_package_keeps_to_its_own_libraries(package: str) -> None:
    for path in source_files(package):
        imported = {name.partition(".")[0] for name in imports(path)}
        assert not imported & MUST_NOT_IMPORT[package], path


def test_handlers_contain_no_sql() -> None:
    for path in source_files("handlers"):
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
