"""Recipients: the addresses inside that exist, for domains whose list is kept here.

Not the people of the house with their rights: those are users. A key is the folded address, as everywhere.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, bindparam, delete, func, select

from securegw.store import schema
from securegw.store.clock import moment
from securegw.store.rows import insert_into
from securegw.store.schema import TENANT

_recipient = schema.recipient
_KNOWN = select(_recipient.c.key).where(_recipient.c.tenant == bindparam("whose"), _recipient.c.key == bindparam("of"))
_REMOVE = delete(_recipient).where(_recipient.c.tenant == bindparam("whose"), _recipient.c.key == bindparam("of"))

_COUNTED = {"preserve_rowcount": True}  # else SQLAlchemy does not ask, after an INSERT of many


def known(conn: Connection, key: str, tenant: int = TENANT) -> bool:
    """True if the address is in the list."""
    return conn.scalar(_KNOWN, {"whose": tenant, "of": key}) is not None


def add(conn: Connection, keys: Iterable[str], now: float | None = None, tenant: int = TENANT) -> int:
    """Add addresses; those that are here already stay as they are. How many are new."""
    statement = insert_into(conn, _recipient).values(tenant=bindparam("whose"), key=bindparam("of"), created=moment())
    return _each(conn, statement.on_conflict_do_nothing(), keys, tenant, now=now)


def remove(conn: Connection, keys: Iterable[str], tenant: int = TENANT) -> int:
    """Take addresses out; how many were in."""
    return _each(conn, _REMOVE, keys, tenant)


def list_recipients(
    conn: Connection, like: str = "", after: str = "", limit: int = 100, tenant: int = TENANT
) -> list[str]:
    """Keys in order; ``like`` is a part of them, ``after`` the last one seen."""
    query = (
        select(_recipient.c.key)
        .where(_recipient.c.tenant == tenant, _recipient.c.key > after)
        .order_by(_recipient.c.key)
        .limit(limit)
    )
    if like:
        query = query.where(_recipient.c.key.icontains(like, autoescape=True))
    return list(conn.scalars(query))


def count(conn: Connection, tenant: int = TENANT) -> int:
    """How many addresses the list has."""
    return conn.scalar(select(func.count()).select_from(_recipient).where(_recipient.c.tenant == tenant)) or 0


def _each(conn: Connection, statement: Any, keys: Iterable[str], tenant: int, **more: Any) -> int:
    rows = [{"whose": tenant, "of": key, **more} for key in dict.fromkeys(keys)]
    return conn.execute(statement, rows, execution_options=_COUNTED).rowcount if rows else 0
