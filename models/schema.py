"""The names that tables, migrations and statements share."""

from typing import ClassVar

from sqlalchemy import MetaData
from sqlmodel import SQLModel

SCHEMA = "todo"
"""The PostgreSQL schema of everything here: Better Auth's tables may live beside it."""

SERVING_ROLE = "todo_serving"
"""The role that every statement runs as. It owns nothing; row security binds it."""

PROBE_ROLE = "todo_probe"
"""The role that may see which ids exist, and nothing else; `task_exists` runs as it."""

USER_SETTING = "app.user_id"
"""The setting by which row security knows who asks."""

OLDEST_VERSION = 150_000
"""The oldest PostgreSQL that will do, as `server_version_num` has it."""


class Base(SQLModel):
    """What every table has: the schema, and one way of naming constraints and indexes."""

    metadata: ClassVar[MetaData] = MetaData(
        schema=SCHEMA,
        naming_convention={
            "pk": "pk_%(table_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        },
    )
