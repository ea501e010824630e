"""Statements that are run for every mail, for all mails that wait together in one go.

Not for anything else: other statements are SQLAlchemy Core. These are text, because each call of a driver gives the
interpreter away and has to get it back, so that a statement a mail costs more than what the database does for it; and
because SQLite and PostgreSQL read the same text, but for how a parameter is written.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Any

from sqlalchemy import Column, Connection, Dialect
from sqlalchemy.dialects import registry
from sqlalchemy.exc import DBAPIError

MOST = 400  # rows in one call: SQLite takes 32,766 parameters
_KEEP_COUNT = {"preserve_rowcount": True}

to_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class Batch:
    """A statement with a place for many rows.

    In ``text``, ``{names}`` becomes the names of ``columns``, ``{rows}`` becomes ``(?, ?), (?, ?)`` with a parameter
    for each of them, ``{row}`` the same without brackets for a single column, ``{clock}`` the database's clock, and
    each ``:bigint`` or ``:double precision`` a further parameter. Values are handed over as the driver takes them:
    JSON as text.
    """

    def __init__(self, columns: Sequence[Column[Any]], *text: str) -> None:
        self._columns = tuple(columns)
        self._text = " ".join(text)

    def run(self, conn: Connection, rows: Sequence[tuple[Any, ...]], *more: Any) -> int:
        """Run it for these rows; how many rows of the table it has changed."""
        changed = 0
        for start in range(0, len(rows), MOST):
            some = rows[start : start + MOST]
            values = tuple([value for row in some for value in row]) + more
            changed += _changed(conn, self._written(conn.dialect.name, len(some)), values)
        return changed

    @lru_cache(maxsize=4 * MOST)  # noqa: B019 - there are a few batches, and they live as long as the module
    def _written(self, dialect: str, count: int) -> str:
        marks = [_mark(dialect, column) for column in self._columns]
        row = ", ".join(marks)
        text = self._text.replace("{rows}", ", ".join([f"({row})"] * count)).replace("{row}", ", ".join([row] * count))
        names = ", ".join(column.name for column in self._columns)
        text = text.replace("{names}", names).replace("{clock}", CLOCKS[dialect])
        for name in ("bigint", "double precision"):
            text = text.replace(f":{name}", f"%s::{name}" if dialect == "postgresql" else "?")
        return text


def _changed(conn: Connection, text: str, values: tuple[Any, ...]) -> int:
    """How many rows it has changed. SQLite's driver is asked without ado: what is done around a statement takes longer
    than most of these."""
    if conn.dialect.name != "sqlite":
        return conn.exec_driver_sql(text, values, _KEEP_COUNT).rowcount
    driver: Any = conn.connection.dbapi_connection
    try:
        count: int = driver.execute(text, values).rowcount
    except sqlite3.Error as error:
        raise DBAPIError.instance(text, values, error, sqlite3.Error, dialect=conn.dialect) from error
    return count


# PostgreSQL: not now(), the start of the transaction; not clock_timestamp(), which no index can be searched with.
CLOCKS = {
    "sqlite": "((julianday('now') - 2440587.5) * 86400.0)",
    "postgresql": "CAST(EXTRACT(EPOCH FROM statement_timestamp()) AS double precision)",
}


def _mark(dialect: str, column: Column[Any]) -> str:
    return f"%s::{column.type.compile(dialect=_postgresql())}" if dialect == "postgresql" else "?"


@cache
def _postgresql() -> Dialect:
    made: Dialect = registry.load("postgresql")()
    return made
