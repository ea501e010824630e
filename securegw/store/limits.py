"""Limits: how often something went wrong for a name - an account, a source - so that the next try must wait.

Not how long: that is the rule of ``accounts``. The count is shared by all nodes and survives a restart.
"""

from __future__ import annotations

import attrs
from sqlalchemy import Connection, bindparam, case, delete, select

from securegw.store import schema
from securegw.store.rows import insert_into

_tries = schema.tries
_GET = select(_tries.c.count, _tries.c.last).where(_tries.c.key == bindparam("of"))
_MOST = 30_000  # a SMALLINT; who reaches it waits the longest time anyhow


@attrs.frozen
class Tries:
    """So many failures, the last one at this time."""

    count: int = 0
    last: float = 0.0


def failed(conn: Connection, key: str, now: float, forget: float = 86400.0) -> Tries:
    """Count a failure; the count begins again if the last one is longer ago than ``forget``.

    Count before the password is checked and ``clear`` after it was right: then a thousand tries at once are counted
    as a thousand.
    """
    again = _tries.c.last + forget < now
    more = case((_tries.c.count < _MOST, _tries.c.count + 1), else_=_MOST)
    statement = (
        insert_into(conn, _tries)
        .values(key=key, count=1, last=now)
        .on_conflict_do_update(index_elements=[_tries.c.key], set_={"count": case((again, 1), else_=more), "last": now})
        .returning(_tries.c.count, _tries.c.last)
    )
    return Tries(*conn.execute(statement).one())


def standing(conn: Connection, key: str) -> Tries:
    """The failures so far."""
    row = conn.execute(_GET, {"of": key}).one_or_none()
    return Tries() if row is None else Tries(*row)


def clear(conn: Connection, key: str) -> None:
    """It went well: forget the failures."""
    conn.execute(delete(_tries).where(_tries.c.key == key))


def prune(conn: Connection, before: float) -> int:
    """Forget failures older than this."""
    return conn.execute(delete(_tries).where(_tries.c.last < before)).rowcount
