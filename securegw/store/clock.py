"""Whose clock says that a node is alive: the caller's in tests, the database's where several nodes share it.

Only for sessions and claims; every other time is a plain number of the caller.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Double, FunctionElement, bindparam, func
from sqlalchemy.ext.compiler import compiles

from securegw.store.batch import CLOCKS


class DatabaseClock(FunctionElement[float]):
    """Unix time now, as the database sees it."""

    type = Double()
    inherit_cache = True
    name = "database_clock"


@compiles(DatabaseClock, "sqlite")
def _of_sqlite(_element: DatabaseClock, _compiler: Any, **_named: Any) -> str:
    return CLOCKS["sqlite"]


@compiles(DatabaseClock, "postgresql")
def _of_postgresql(_element: DatabaseClock, _compiler: Any, **_named: Any) -> str:
    return CLOCKS["postgresql"]


def moment() -> ColumnElement[float]:
    """The parameter ``now``, or the database's clock where that is None."""
    return func.coalesce(bindparam("now", type_=Double), DatabaseClock())
