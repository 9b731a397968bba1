"""The types in openapi/types.py are those of the contract; mypy checks the code with them."""

import subprocess
import sys
from itertools import product
from pathlib import Path
from typing import get_args

from models import queries
from openapi.types import SortKey, SortOrder, StatusFilter

ROOT = Path(__file__).parents[2]


def test_the_types_are_generated_from_the_current_contract(tmp_path: Path) -> None:
    generated = tmp_path / "types.py"
    command = [sys.executable, "-m", "datamodel_code_generator", "--output", str(generated)]
    subprocess.run(command, cwd=ROOT, check=True)
    assert generated.read_bytes() == (ROOT / "openapi" / "types.py").read_bytes()


def test_every_order_of_the_contract_has_a_statement() -> None:
    plain = set(product(get_args(StatusFilter), get_args(SortKey)))
    filtered = set(product(get_args(SortKey), get_args(SortOrder)))
    assert set(queries.LIST) < plain
    assert set(queries.FILTERED_LIST) == filtered
