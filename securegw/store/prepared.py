"""Statements that are run for every mail: written in SQLAlchemy Core like all others, turned into text once.

Not for anything else: turning a statement into text and its values into the driver's costs more time than SQLite
needs to run it, and the queue has five for each mail. Values are handed over in the form that the driver takes.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Delete, Insert, Update

_KEEP_COUNT = {"preserve_rowcount": True}

to_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class Prepared:
    """A statement whose rows are tuples of the values called ``names``, in that order."""

    def __init__(self, statement: Insert | Update | Delete, names: Sequence[str]) -> None:
        self._statement = statement
        self._names = tuple(names)
        self._texts: dict[str, _Text] = {}

    def run(self, conn: Connection, rows: Sequence[tuple[Any, ...]]) -> int:
        """Run it for each row; how many rows of the table were changed by all of them."""
        text = self._texts.get(conn.dialect.name) or self._prepare(conn)
        return conn.exec_driver_sql(text.sql, [text.values(row) for row in rows], _KEEP_COUNT).rowcount

    def _prepare(self, conn: Connection) -> _Text:
        inserted = self._names if isinstance(self._statement, Insert) else ()
        compiled: Any = self._statement.compile(dialect=conn.dialect, column_keys=inserted or None)
        text = _Text(str(compiled), compiled.positiontup, dict(compiled.params), self._names)
        self._texts[conn.dialect.name] = text
        return text


class _Text:
    """A statement in one dialect, and how a row becomes its parameters: by place, or by name."""

    def __init__(self, sql: str, places: list[str] | None, fixed: dict[str, Any], names: tuple[str, ...]) -> None:
        unknown = set(names) - fixed.keys()
        if unknown:
            raise ValueError(f"not in the statement: {sorted(unknown)}")
        self.sql = sql
        self._names = names
        self._fixed = {name: value for name, value in fixed.items() if name not in names}
        self._places = places
        self._straight = places is not None and tuple(places) == names

    def values(self, row: tuple[Any, ...]) -> Any:
        if self._straight:
            return row
        named = {**self._fixed, **dict(zip(self._names, row, strict=True))}
        return named if self._places is None else tuple([named[name] for name in self._places])
