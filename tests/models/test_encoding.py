"""Every character is stored: in a database in UTF-8, over connections in UTF-8."""

from collections.abc import Iterator

import pytest

from harness.cluster import Cluster, new_user_id, open_database
from models.backfill import all_user_ids
from models.errors import MigrationFailed
from models.postgres.connect import ConnectError, connect
from models.tasks import create_task


@pytest.fixture(params=["LATIN1", "SQL_ASCII"])
def unsuitable(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """Create a database that cannot hold every character, or does not know what it holds."""
    with cluster.new_database("template0", f"ENCODING '{request.param}' LOCALE 'C'") as created:
        yield created


ADVICE = r"its encoding is (LATIN1|SQL_ASCII); create a database with ENCODING 'UTF8'"


def test_a_database_in_another_encoding_is_not_migrated(unsuitable: Cluster) -> None:
    with pytest.raises(MigrationFailed, match=f"Cannot use {unsuitable.name} .*: {ADVICE}"):
        unsuitable.migrate()
    assert unsuitable.scalar("SELECT to_regnamespace('todo') IS NULL")


@pytest.mark.anyio
async def test_a_database_in_another_encoding_is_not_used(unsuitable: Cluster) -> None:
    with pytest.raises(ConnectError, match=ADVICE):
        await connect(unsuitable.app)


@pytest.fixture(params=["the environment", "the roles"])
def in_latin1(
    scratch_db: Cluster, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Cluster:
    """Have connections in LATIN1 by default."""
    if request.param == "the environment":
        monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
    else:
        for role in ("todo_login", "todo_owner"):
            where = f"{role} IN DATABASE {scratch_db.name}"
            scratch_db.execute(f"ALTER ROLE {where} SET client_encoding = 'LATIN1'")
    return scratch_db


@pytest.mark.anyio
async def test_titles_are_stored_as_written_whatever_the_default_is(in_latin1: Cluster) -> None:
    async with open_database(in_latin1.app) as database:
        await create_task(database, new_user_id(), {"title": "Ω😀"})
    assert in_latin1.scalar("SELECT char_length(title) FROM todo.tasks") == 2


def test_the_owner_reads_utf8_whatever_the_default_is(in_latin1: Cluster) -> None:
    in_latin1.execute(r"INSERT INTO todo.users (id) VALUES (U&'\03A9')")
    assert list(all_user_ids(in_latin1.owner)) == ["Ω"]
