"""Which SQLSTATE is an outage, and which is a bug."""

import logging

import psycopg
import pytest

from harness.waiting import time_limit
from models.errors import Unavailable
from models.postgres.database import Database
from models.postgres.statements import Statement

pytestmark = pytest.mark.anyio


def raising(state: str) -> Statement:
    sql = f"DO $$ BEGIN RAISE EXCEPTION 'it happened' USING ERRCODE = '{state}'; END $$"
    return Statement(sql.encode(), (), writes=False)


@pytest.mark.parametrize(
    "state",
    [
        *("08000", "08006", "25001", "25006", "53000", "53300", "57014", "57P01"),
        *("40001", "40P01", "55P03"),
    ],
)
async def test_an_outage_is_unavailable_and_logged(
    state: str, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    async with time_limit():
        with pytest.raises(Unavailable):
            await database.fetch("x", raising(state), {})
    assert caplog.record_tuples == [
        ("todo.database", logging.WARNING, f"{state}: it happened"),
    ]


@pytest.mark.parametrize(
    ("state", "error"),
    [
        ("22012", psycopg.errors.DivisionByZero),
        ("23505", psycopg.errors.UniqueViolation),
        ("40002", psycopg.errors.TransactionIntegrityConstraintViolation),
        ("42501", psycopg.errors.InsufficientPrivilege),
        ("55000", psycopg.errors.ObjectNotInPrerequisiteState),
        ("P0001", psycopg.errors.RaiseException),
    ],
)
async def test_anything_else_is_psycopgs_own_error(
    state: str,
    error: type[psycopg.Error],
    database: Database,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with time_limit():
        with pytest.raises(error, match="it happened"):
            await database.fetch("x", raising(state), {})
    assert caplog.messages == []
