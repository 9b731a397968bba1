"""The statement that stores JSON again; it is not prepared, since the service never runs it."""

from models.queries.parameters import writing
from models.queries.representation import REPRESENTATION_VERSION, STORED, json_of

BATCH = 1_000
"""How many tasks it stores at most."""

# Tasks that are being written are skipped: that stores their JSON, and waiting for them while
# holding others could be a deadlock. No revision changes, since no response does.
_STORE_JSON = f"""
    WITH outdated AS MATERIALIZED (
        SELECT t.id FROM todo.tasks t
        WHERE t.user_id = :user_id
            AND t.representation_version IS DISTINCT FROM {REPRESENTATION_VERSION}
        LIMIT {BATCH} FOR UPDATE SKIP LOCKED)
    UPDATE todo.tasks t SET
        representation = {json_of(STORED)},
        representation_version = {REPRESENTATION_VERSION}
    FROM outdated WHERE t.user_id = :user_id AND t.id = outdated.id
    RETURNING 1"""

STORE_JSON = writing("store_json", _STORE_JSON)
