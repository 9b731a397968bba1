"""Schemathesis, run from the command line, fuzzes the running service."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from harness.clients import new_user_id, token
from harness.contract import OPERATIONS
from harness.service import ROOT, Service

CONFIG = Path(__file__).with_name("schemathesis.toml")
RANDOM_PHASES = ("fuzzing", "stateful")
PHASES = ("examples", "coverage", *RANDOM_PHASES)
LIMIT_SECONDS = 600

# A seed decides what the random phases make up; the others send the same with each. Two seeds
# with few examples take less time than one with many, and neither repeats the other; `make
# fuzz` runs as many as one likes.
RUNS = [(1, PHASES), (20261120, RANDOM_PHASES)]

STOCK_EXAMPLES = 10
"""Per operation, of the stock command; its default of 100 takes more than a minute."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make a working directory with the configuration and the tokens of two users."""
    shutil.copy(CONFIG, tmp_path)
    users = [
        {
            "name": name,
            "fixedHeaders": [
                {"name": "Authorization", "value": f"Bearer {token(new_user_id())}"}
            ],
        }
        for name in ("alice", "bob")
    ]
    (tmp_path / "users.json").write_text(json.dumps({"auth": users}))
    return tmp_path


@pytest.mark.parametrize(("seed", "phases"), RUNS, ids=[f"seed {seed}" for seed, _ in RUNS])
def test_schemathesis_finds_no_violation_of_the_contract(
    seed: int, phases: Sequence[str], service: Service, folder: Path
) -> None:
    run_schemathesis(
        *("--config-file", CONFIG.name, "run", f"{service.url}/openapi.yaml"),
        *("--checks", "all", "--seed", str(seed), "--phases", ",".join(phases)),
        phases=phases,
        cwd=folder,  # it also writes its cache there
    )


def test_the_stock_command_finds_nothing(service: Service, tmp_path: Path) -> None:
    """It needs a token, and the configuration that it finds in the repository's root."""
    shutil.copy(ROOT / CONFIG.name, tmp_path)
    report = run_schemathesis(
        *("run", f"{service.url}/openapi.yaml"),
        *("-H", f"Authorization: Bearer {token(new_user_id())}"),
        *("--max-examples", str(STOCK_EXAMPLES)),
        cwd=tmp_path,
    )
    assert str(tmp_path / CONFIG.name) in report.replace("\n", ""), report


def run_schemathesis(*arguments: str, cwd: Path, phases: Sequence[str] = PHASES) -> str:
    """Run Schemathesis on the whole contract; return its report, which has no finding."""
    run = subprocess.run(
        [sys.executable, "-m", "schemathesis.cli", *arguments, "--no-color"],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(ROOT / "tests"), "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        encoding="utf-8",
        timeout=LIMIT_SECONDS,
        check=False,
    )
    report = run.stdout + run.stderr
    assert run.returncode == 0, report
    passed = [phase for phase in PHASES if f"  ✅ {phase.capitalize()}\n" in report]
    assert passed == list(phases), report
    assert f"Tested: {len(OPERATIONS)}\n" in report, report
    assert "will not run" not in report, report
    return report
