"""Schemathesis fuzzes the running service against the contract, from its command line."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.people import someone, token
from harness.service import ROOT, Service

CONTRACT = ROOT / "openapi" / "openapi.yaml"
SEEDS = (1, 20261120, 4711)
MAX_EXAMPLES = 25
LIMIT_SECONDS = 300

CONFIG = """
[auth.wfc]
path = "{users}"
peers = ["alice", "bob"]

[warnings]
fail-on = true

[checks.positive_data_acceptance]
# The defaults, and two answers to well-formed conditions: an unchanged answer
# (304), a task that has changed (412).
expected-statuses = ["2xx", "304", "401", "403", "404", "412", "5xx"]
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Write a configuration with two users, who must not see each other's tasks."""
    users = tmp_path / "users.json"
    entries = [
        {
            "name": name,
            "fixedHeaders": [
                {"name": "Authorization", "value": f"Bearer {token(someone())}"},
            ],
        }
        for name in ("alice", "bob")
    ]
    users.write_text(json.dumps({"auth": entries}))
    config = tmp_path / "schemathesis.toml"
    config.write_text(CONFIG.format(users=users))
    return config


@pytest.mark.parametrize("seed", SEEDS)
def test_no_request_that_schemathesis_makes_up_breaks_the_contract(
    seed: int, service: Service, config: Path
) -> None:
    run = subprocess.run(
        [
            *(
                sys.executable,
                "-m",
                "schemathesis.cli",
                f"--config-file={config}",
                "run",
                ROOT / "openapi" / "openapi.yaml",
            ),
            *("--url", service.url, "--checks", "all", "--seed", str(seed), "--no-color"),
            *("--max-examples", str(MAX_EXAMPLES), "--request-timeout", "20"),
        ],
        cwd=ROOT,
        env={**os.environ, "SCHEMATHESIS_HOOKS": "harness.formats", "PYTHONPATH": "tests"},
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    for phase in ("Examples", "Coverage", "Fuzzing", "Stateful"):
        assert f"✅ {phase}" in run.stdout, run.stdout
    assert "object_level_authorization" not in run.stdout
    assert "Tested: 9" in run.stdout, run.stdout
