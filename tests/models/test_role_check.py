"""The role check at start: every setup that would break isolation is reported."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.rows import TupleRow

from harness.cluster import Cluster, open_database, run_query, running_cluster, set_user
from models.errors import UnsafeRole
from models.role_check import ROLE_PROBLEMS, check_app_role, check_login

Connection = psycopg.Connection[TupleRow]


@pytest.fixture
def superuser(cluster: Cluster) -> Iterator[Connection]:
    """Connect as superuser, in a transaction that is rolled back."""
    with psycopg.connect(cluster.superuser) as connection:
        yield connection
        connection.rollback()


def problems(superuser: Connection) -> list[str]:
    set_user(superuser, "", writes=False)
    rows = run_query(superuser, ROLE_PROBLEMS.bind({}))
    return [(sentence or b"").decode() for (sentence,) in rows]


@pytest.mark.anyio
async def test_a_migrated_database_is_safe(cluster: Cluster) -> None:
    async with open_database(cluster.app) as database:
        await check_app_role(database)


def test_the_app_role_has_no_problems(superuser: Connection) -> None:
    assert problems(superuser) == []


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("ALTER ROLE todo_serving SUPERUSER", "todo_serving is a superuser"),
        ("ALTER ROLE todo_serving BYPASSRLS", "todo_serving bypasses row security"),
        ("ALTER SCHEMA todo OWNER TO todo_serving", "todo_serving owns schema todo"),
        ("ALTER TABLE todo.users OWNER TO todo_serving", "todo_serving owns table users"),
        (
            "ALTER FUNCTION todo.task_exists OWNER TO todo_serving",
            "todo_serving owns function task_exists",
        ),
        (
            "CREATE ROLE boss ROLE todo_serving; ALTER TABLE todo.tasks OWNER TO boss",
            "todo_serving is a member of boss, which owns table tasks",
        ),
        (
            "GRANT todo_probe TO todo_serving",
            "todo_serving is a member of todo_probe, which sees every id",
        ),
        (
            "CREATE ROLE boss SUPERUSER; GRANT boss TO todo_serving",
            "todo_serving is a member of boss, which is a superuser",
        ),
        (
            "CREATE ROLE boss BYPASSRLS; CREATE ROLE middle ROLE todo_serving IN ROLE boss",
            "todo_serving is a member of boss, which bypasses row security",
        ),
        (
            "ALTER TABLE todo.tasks NO FORCE ROW LEVEL SECURITY",
            "row security is not enabled and forced on table tasks",
        ),
        (
            "ALTER TABLE todo.users DISABLE ROW LEVEL SECURITY",
            "row security is not enabled and forced on table users",
        ),
        (
            "ALTER TABLE todo.deleted_tasks DISABLE ROW LEVEL SECURITY",
            "row security is not enabled and forced on table deleted_tasks",
        ),
        (
            "ALTER TABLE todo.idempotency_keys NO FORCE ROW LEVEL SECURITY",
            "row security is not enabled and forced on table idempotency_keys",
        ),
        (
            "ALTER TABLE todo.blocked_users NO FORCE ROW LEVEL SECURITY",
            "row security is not enabled and forced on table blocked_users",
        ),
        (
            "ALTER TABLE todo.deleted_tasks OWNER TO todo_serving",
            "todo_serving owns table deleted_tasks",
        ),
        (
            "ALTER TABLE todo.tasks RENAME TO gone",
            "row security is not enabled and forced on table tasks",
        ),
    ],
)
def test_each_problem_is_found(change: str, sentence: str, superuser: Connection) -> None:
    superuser.execute(change.encode())
    assert sentence in problems(superuser)


def test_a_server_that_is_too_old_is_found(superuser: Connection) -> None:
    older = ROLE_PROBLEMS.sql.replace(b"150000", b"990000")
    sentences = superuser.execute(older).fetchall()
    assert sentences == [("PostgreSQL is older than 15",)]


@pytest.mark.anyio
async def test_all_problems_are_reported_together(scratch_db: Cluster) -> None:
    scratch_db.execute("ALTER TABLE todo.users DISABLE ROW LEVEL SECURITY")
    scratch_db.execute("ALTER TABLE todo.tasks OWNER TO todo_serving")
    async with open_database(scratch_db.app) as database:
        with pytest.raises(UnsafeRole) as failure:
            await check_app_role(database)
    assert "todo_serving owns table tasks" in str(failure.value)
    assert "row security is not enabled and forced on table users" in str(failure.value)


@pytest.mark.anyio
async def test_a_login_that_cannot_set_the_app_role_is_rejected(
    cluster: Cluster,
) -> None:
    cluster.execute("CREATE ROLE anonymous LOGIN PASSWORD 'x'")
    try:
        async with open_database(
            cluster.with_params(user="anonymous", password="x").app
        ) as database:
            with pytest.raises(UnsafeRole, match="GRANT todo_serving TO"):
                await check_app_role(database)
    finally:
        cluster.execute("DROP ROLE anonymous")


@pytest.fixture
def login(cluster: Cluster) -> Iterator[Cluster]:
    """Return the database as a new login that may take on the app role."""
    cluster.execute("CREATE ROLE privileged NOLOGIN BYPASSRLS")
    cluster.execute("CREATE ROLE newcomer LOGIN NOINHERIT PASSWORD 'x' IN ROLE todo_serving")
    yield cluster.with_params(user="newcomer", password="x")
    cluster.execute("DROP ROLE newcomer, privileged")


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ("ALTER ROLE newcomer SUPERUSER", "is a superuser"),
        ("ALTER ROLE newcomer BYPASSRLS", "bypasses row security"),
        ("GRANT privileged TO newcomer",
         "is a member of privileged, which bypasses row security"),
        ("CREATE ROLE middle ROLE newcomer IN ROLE privileged",
         "is a member of privileged, which bypasses row security"),
        ("GRANT postgres TO newcomer", "is a member of postgres, which is a superuser"),
    ],
)  # fmt: skip
async def test_a_login_that_row_security_does_not_restrict_is_rejected(
    change: str, problem: str, login: Cluster, cluster: Cluster
) -> None:
    cluster.execute(change)
    try:
        async with open_database(login.app) as database:
            await check_app_role(database)
            with pytest.raises(UnsafeRole, match=f"logs in as newcomer, which {problem}: row"):
                await check_login(database)
    finally:
        cluster.execute("DROP ROLE IF EXISTS middle")


@pytest.mark.anyio
async def test_an_ordinary_login_and_the_owner_are_accepted(
    login: Cluster, cluster: Cluster
) -> None:
    for url in (login.app, cluster.app, cluster.owner):
        async with open_database(url) as database:
            await check_login(database)


@pytest.mark.anyio
async def test_an_unmigrated_server_is_rejected(tmp_path: Path) -> None:
    with running_cluster(tmp_path) as cluster:
        async with open_database(cluster.app) as database:
            with pytest.raises(UnsafeRole, match="migrated first"):
                await check_app_role(database)
