"""Fixtures for all tests, and the order of the files."""

import gc
import os
import shutil
import signal
from functools import cache
from pathlib import Path

import psutil
import pytest

pytest_plugins = ("harness.browser", "harness.databases", "harness.fixtures")

# What takes longest starts first, so that all workers of pytest-xdist end at the same time.
# It sorts files by their number of tests, unless it is told --no-loadscope-reorder.
LONGEST = (
    "contract/test_schemathesis.py",
    "browser/test_docs.py",
    "faults/",
    "cli/",
    "better_auth/",
    "test_outcome_unknown.py",
    "models/test_plans.py",
    "clients/",
    "test_ledger.py",
    "browser/",
    "models/",
    "test_backup.py",
    "test_wheel.py",
)

# A shell makes background jobs ignore SIGINT, as `nohup` does SIGHUP; the services that the
# tests start and then signal would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)


# The databases of the tests are kept in memory where there is room: they need up to 4 GiB,
# and with a disk the tests take 8 % longer.
MEMORY, ROOM = Path("/dev/shm"), 8 * 2**30
if (
    MEMORY.is_dir()
    and min(shutil.disk_usage(MEMORY).free, psutil.virtual_memory().available) > ROOM
):
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))


@pytest.hookimpl(trylast=True)  # after pytest-randomly, whose order is kept otherwise
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Move the files that take longest to the front."""
    items.sort(key=lambda item: _rank(item.nodeid.partition("::")[0]))


def pytest_collection_finish() -> None:
    """Exclude what exists now, thousands of tests, from garbage collection."""
    gc.freeze()


@cache
def _rank(file: str) -> int:
    name = file.removeprefix("tests/")
    ranks = (rank for rank, prefix in enumerate(LONGEST) if name.startswith(prefix))
    return next(ranks, len(LONGEST))
