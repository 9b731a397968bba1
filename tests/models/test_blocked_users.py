"""Blocked users: who can see them in the database, and the copy that a process keeps."""

import asyncio
import logging
from collections.abc import Iterator

import psycopg
import pytest
from psycopg.errors import CheckViolation, InsufficientPrivilege
from psycopg.rows import TupleRow

from harness.cluster import Cluster, identity_query, new_user_id, open_database, run_query
from harness.waiting import poll_until
from models import blocked_users
from models.blocked_users import BlockedUsers, block_user, unblock_user
from models.errors import Unavailable
from models.postgres.database import NO_USER, Database

Connection = psycopg.Connection[TupleRow]


@pytest.fixture
def superuser(cluster: Cluster) -> Iterator[Connection]:
    """Connect as superuser, in a transaction with a blocked user that is rolled back."""
    with psycopg.connect(cluster.superuser) as connection:
        connection.execute("INSERT INTO todo.blocked_users (user_id) VALUES ('mallory')")
        yield connection
        connection.rollback()


def visible(connection: Connection) -> list[TupleRow]:
    return connection.execute("SELECT user_id FROM todo.blocked_users").fetchall()


def test_only_a_transaction_of_no_user_sees_who_is_blocked(superuser: Connection) -> None:
    run_query(superuser, identity_query(NO_USER))
    assert ("mallory",) in visible(superuser)


@pytest.mark.parametrize("user", ["alice", "mallory"])
def test_a_user_sees_no_blocked_user_and_can_neither_block_nor_unblock(
    user: str, superuser: Connection
) -> None:
    run_query(superuser, identity_query(user))
    assert visible(superuser) == []
    assert superuser.execute("DELETE FROM todo.blocked_users").rowcount == 0
    with pytest.raises(InsufficientPrivilege, match="row-level security"):
        superuser.execute("INSERT INTO todo.blocked_users (user_id) VALUES ('bob')")


@pytest.mark.parametrize("role", ["todo_serving", "todo_owner"])
def test_without_an_identity_not_even_the_owner_sees_who_is_blocked(
    role: str, superuser: Connection
) -> None:
    superuser.execute(f"SET LOCAL ROLE {role}".encode())
    assert visible(superuser) == []


def test_the_login_role_and_the_probe_have_no_access(
    superuser: Connection, cluster: Cluster
) -> None:
    superuser.execute("SET LOCAL ROLE todo_probe")
    with pytest.raises(InsufficientPrivilege):
        visible(superuser)
    with psycopg.connect(cluster.app) as login, pytest.raises(InsufficientPrivilege):
        visible(login)


def test_the_app_role_cannot_change_a_block(superuser: Connection) -> None:
    run_query(superuser, identity_query(NO_USER))
    with pytest.raises(InsufficientPrivilege, match="permission denied"):
        superuser.execute("UPDATE todo.blocked_users SET blocked_at = now()")


@pytest.mark.parametrize("user_id", ["", 256 * "x"])
def test_only_what_can_be_a_user_id_is_blocked(user_id: str, superuser: Connection) -> None:
    with pytest.raises(CheckViolation, match="ck_blocked_users_id_length"):
        superuser.execute("INSERT INTO todo.blocked_users (user_id) VALUES (%s)", [user_id])


@pytest.mark.anyio
async def test_the_copy_follows_the_table(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocked_users, "REFRESH_INTERVAL", 0.01)
    early, late = f'"{new_user_id()}"\\', f"Ωmega 😀 {new_user_id()}"
    blocked = BlockedUsers(database)
    assert await block_user(database, early)
    assert not await block_user(database, early)
    assert early not in blocked
    async with blocked.running():
        assert early in blocked
        assert late not in blocked
        assert await block_user(database, late)

        async def contains(*expected: str) -> bool:
            return [user for user in (early, late) if user in blocked] == [*expected]

        await poll_until(lambda: contains(early, late))
        assert late.lower() not in blocked
        assert await unblock_user(database, early)
        assert not await unblock_user(database, early)
        await poll_until(lambda: contains(late))
        await unblock_user(database, late)
        await poll_until(contains)


@pytest.mark.anyio
async def test_a_copy_that_cannot_be_refreshed_is_kept(
    scratch_db: Cluster, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(blocked_users, "REFRESH_INTERVAL", 0.01)
    caplog.set_level(logging.WARNING, "todo.database")

    async def is_reported() -> bool:
        return "The blocked users cannot be read" in caplog.text

    async def is_unblocked() -> bool:
        return "mallory" not in blocked

    async with open_database(scratch_db.app) as database:
        await block_user(database, "mallory")
        blocked = BlockedUsers(database)
        async with blocked.running():
            scratch_db.execute("ALTER TABLE todo.blocked_users RENAME TO away")
            await poll_until(is_reported)
            monkeypatch.setattr(blocked_users, "REFRESH_INTERVAL", 1000)  # after a success
            await asyncio.sleep(0.3)  # until it has failed again
            assert "mallory" in blocked
            scratch_db.execute("DELETE FROM todo.away")
            scratch_db.execute("ALTER TABLE todo.away RENAME TO blocked_users")
            await poll_until(is_unblocked)
    assert caplog.text.count("cannot be read") == 1


@pytest.mark.anyio
async def test_nothing_is_served_before_the_table_has_been_read(cluster: Cluster) -> None:
    async with open_database(cluster.app) as database:
        pass
    with pytest.raises(Unavailable):
        async with BlockedUsers(database).running():
            pytest.fail("it is running")
