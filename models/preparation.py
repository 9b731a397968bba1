"""What makes a new link fast: statements that PostgreSQL has parsed and planned before."""

import asyncio

from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGresult

from models.identity import become
from models.link import Link, Trip
from models.statements import OFTEN, Query

_WHO = Query(b"SELECT pg_backend_pid()", ())
_SETTINGS = (
    # Who a statement runs for changes its rows, not its plan, which needn't be made anew.
    Query(b"SET plan_cache_mode = force_generic_plan", ()),
    # Parsed as the role that will run it: the login itself sees nothing.
    become("", writes=False, statement_timeout=2),
)
# Not everywhere to be had; so that PostgreSQL stops what nobody waits for any more.
_ATTENTION = Query(b"SET client_connection_check_interval = '1s'", ())


async def prepare(link: Link) -> None:
    """Have PostgreSQL parse every statement that is run often. Raises Unavailable.

    Not behind a pooler, where the next transaction may be on another server, and the next
    client on this one. A pooler makes up the process id that it tells its clients.
    """
    (who,) = await _trip(link, _WHO)
    if who.get_value(0, 0) != str(link.pid).encode():
        return
    await _trip(link, _ATTENTION)
    statements = [Query(statement.sql, None, statement.name) for statement in OFTEN]
    results = await _trip(link, *_SETTINGS, *statements)
    # Before its first migration, a database knows neither the role nor the tables.
    if all(result.status != ExecStatus.FATAL_ERROR for result in results):
        link.prepared = frozenset(statement.name for statement in statements)


async def _trip(link: Link, *queries: Query) -> list[PGresult]:
    trip = Trip(queries, asyncio.get_running_loop().create_future())
    link.send(trip)
    return await trip.answer
