"""Rows: the one "insert or replace" that SQLite and PostgreSQL share, the number of a new row, JSON lists as tuples.

Not an object mapper.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, CursorResult, Table
from sqlalchemy.dialects import sqlite


def number_of(result: CursorResult[Any]) -> int:
    """The number that the database gave to the inserted row."""
    key = result.inserted_primary_key
    assert key is not None
    return int(key[0])


def insert_into(conn: Connection, table: Table) -> Any:
    """An INSERT of this database's dialect: both know ``on_conflict_do_nothing`` and ``on_conflict_do_update``."""
    if conn.dialect.name == "sqlite":
        return sqlite.insert(table)
    from sqlalchemy.dialects import postgresql  # 3 MB that a gateway with SQLite does not need

    return postgresql.insert(table)


def texts(values: Iterable[str]) -> tuple[str, ...]:
    """A list of texts that was kept as JSON."""
    return tuple(values)
