"""Users, as far as tasks need them: Better Auth owns accounts, and keeps the rest."""

from datetime import datetime
from typing import ClassVar

from sqlalchemy import CheckConstraint, Text, bindparam, func
from sqlalchemy.dialects.postgresql import Insert, insert
from sqlmodel import Field

from models.schema import Base


class User(Base, table=True):
    """A person who has written something; `id` is the `sub` of their token."""

    __tablename__: ClassVar[str] = "users"
    __table_args__ = (CheckConstraint("char_length(id) BETWEEN 1 AND 255", name="id_length"),)

    id: str = Field(sa_type=Text, primary_key=True)
    created_at: datetime = Field(sa_column_kwargs={"server_default": func.now()})


def upsert() -> Insert:
    """Add the caller's row unless it is there; for use inside the statement that needs it.

    Safe when many requests are a person's first at once: all but one do nothing.
    """
    return insert(User).values(id=bindparam("user_id", type_=Text)).on_conflict_do_nothing()
