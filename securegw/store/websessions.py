"""Web sessions: somebody outside is signed in at the portal, on this browser.

Not the token: the table has its hash, and the private key sealed under a key derived from it, so that who steals the
table is not signed in and reads nothing.
"""

from __future__ import annotations

import attrs
from sqlalchemy import Connection, bindparam, delete, insert, select, update

from securegw.store import schema
from securegw.store.schema import TENANT

_websession = schema.websession
_GET = select(_websession).where(_websession.c.token_hash == bindparam("of"))
_TOUCH = update(_websession).where(_websession.c.token_hash == bindparam("of")).values(seen=bindparam("now"))
_REMOVE = delete(_websession).where(_websession.c.token_hash == bindparam("of"))


@attrs.frozen(kw_only=True)
class WebSession:
    """One browser, signed in."""

    token_hash: bytes
    account: str
    sealed: bytes
    created: float
    seen: float
    language: str = "en"
    csrf_hash: bytes = b""
    tenant: int = TENANT


def add(conn: Connection, session: WebSession) -> None:
    """Note who is signed in."""
    conn.execute(insert(_websession), attrs.asdict(session))


def get(conn: Connection, token_hash: bytes, tenant: int = TENANT) -> WebSession | None:
    """The session of this token; whether it is still young enough is the caller's question."""
    row = conn.execute(_GET.where(_websession.c.tenant == tenant), {"of": token_hash}).one_or_none()
    return None if row is None else WebSession(**row._asdict())


def touch(conn: Connection, token_hash: bytes, now: float) -> bool:
    """Note that it was used; False if it has ended."""
    return conn.execute(_TOUCH, {"of": token_hash, "now": now}).rowcount == 1


def remove(conn: Connection, token_hash: bytes) -> bool:
    """Sign out this browser; False if it had ended."""
    return conn.execute(_REMOVE, {"of": token_hash}).rowcount == 1


def remove_all(conn: Connection, account: str, but: bytes = b"") -> int:
    """Sign out the account everywhere, but for one browser (after a change of the password)."""
    of_account = (_websession.c.account == account) & (_websession.c.token_hash != but)
    return conn.execute(delete(_websession).where(of_account)).rowcount


def prune(conn: Connection, *, created_before: float, seen_before: float) -> int:
    """Remove sessions that are too old, or have not been used for too long."""
    old = (_websession.c.created < created_before) | (_websession.c.seen < seen_before)
    return conn.execute(delete(_websession).where(old)).rowcount
