"""Sessions of nodes: who is alive, and may therefore hold items of the queue.

Not the sessions of web pages. A session lives until ``alive_until``; who finds its own dead has lost all its claims
and opens a new one. A dead session is never revived, and its number never comes back.
"""

from __future__ import annotations

import attrs
from sqlalchemy import ColumnElement, Connection, bindparam, delete, exists, insert, select, update

from securegw.store import schema
from securegw.store.clock import moment
from securegw.store.rows import number_of

_session = schema.session
_item = schema.item

_OPEN = insert(_session).values(node=bindparam("node"), opened=moment(), alive_until=moment() + bindparam("seconds"))
_RENEW = (
    update(_session)
    .where(_session.c.id == bindparam("session"), _session.c.alive_until > moment())
    .values(alive_until=moment() + bindparam("seconds"))
)
_DEAD = select(_session.c.id).where(_session.c.alive_until <= moment())
_ALIVE = select(_session).where(_session.c.alive_until > moment()).order_by(_session.c.id)
_FREE = update(_item).where(_item.c.session == bindparam("of")).values(session=None)
_CLOSE = delete(_session).where(_session.c.id == bindparam("of"))


@attrs.frozen
class Session:
    """A run of a node."""

    id: int
    node: str
    opened: float
    alive_until: float


def alive(session: ColumnElement[int] | ColumnElement[int | None]) -> ColumnElement[bool]:
    """The condition that this session is alive (parameter ``now``)."""
    return exists().where(_session.c.id == session, _session.c.alive_until > moment())


def open_session(conn: Connection, node: str, now: float | None, seconds: float) -> int:
    """A new session, alive for so many seconds; ``now`` None is the database's clock."""
    return number_of(conn.execute(_OPEN, {"node": node, "now": now, "seconds": seconds}))


def renew(conn: Connection, session: int, now: float | None, seconds: float) -> bool:
    """Live on for so many seconds from now; False if the session is dead, and then stays so."""
    return conn.execute(_RENEW, {"session": session, "now": now, "seconds": seconds}).rowcount == 1


def close_session(conn: Connection, session: int) -> int:
    """End the session; how many items it gives back."""
    given_back = conn.execute(_FREE, {"of": session}).rowcount
    conn.execute(_CLOSE, {"of": session})
    return given_back


def reap(conn: Connection, now: float | None = None) -> int:
    """Remove dead sessions and the claims that were made with them; how many items they gave back.

    For tidiness only: what a dead or unknown session holds can be claimed as it is.
    """
    return sum(close_session(conn, session) for session in conn.scalars(_DEAD, {"now": now}).all())


def list_sessions(conn: Connection, now: float | None = None) -> list[Session]:
    """Who is alive."""
    return [Session(*row) for row in conn.execute(_ALIVE, {"now": now})]
