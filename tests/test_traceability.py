"""The tables in tests/README.md name the tests that verify each requirement."""

import ast
import re
from pathlib import Path

TESTS = Path(__file__).parent
TABLE = (TESTS / "README.md").read_text()

NUMBERS = [
    *(f"F{number}" for number in range(1, 37)),
    *(f"S{number}" for number in range(1, 13)),
    *(f"E{number}" for number in range(1, 8)),
]


def rows() -> dict[str, str]:
    return dict(re.findall(r"^\| ([FSE]\d+) \|(.*)$", TABLE, re.MULTILINE))


def names(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in tree.body if isinstance(node, functions)}


def test_every_requirement_is_in_the_table() -> None:
    assert list(rows()) == NUMBERS


def test_every_requirement_names_a_test_or_a_benchmark() -> None:
    for number, row in rows().items():
        assert "::" in row or "`benchmarks/`" in row, number


def test_every_test_that_is_named_exists() -> None:
    for path, name in re.findall(r"`([\w/]+\.py)::(\w+)`", TABLE):
        assert name in names(TESTS / path), f"{path} has no {name}"
