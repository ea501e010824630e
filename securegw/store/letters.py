"""Letters: that one was sealed for an account, and when it was first read - nothing of what it says.

No subject and no content: the letter itself is in the recipient's mailbox.
"""

from __future__ import annotations

import attrs
from sqlalchemy import Connection, bindparam, insert, select, update

from securegw.store import schema
from securegw.store.schema import TENANT

_letter = schema.letter
_ADD = insert(_letter)
_GET = select(_letter).where(_letter.c.tenant == bindparam("whose"), _letter.c.id == bindparam("of"))
_OPENED = (
    update(_letter)
    .where(_letter.c.tenant == bindparam("whose"), _letter.c.id == bindparam("of"), _letter.c.first_read.is_(None))
    .values(first_read=bindparam("now"))
)
_REVOKE = (
    update(_letter)
    .where(_letter.c.tenant == bindparam("whose"), _letter.c.id == bindparam("of"), _letter.c.revoked.is_(None))
    .values(revoked=bindparam("now"))
)


@attrs.frozen
class Letter:
    """One sealed letter; ``id`` is opaque. ``sender`` is the address of the user who wrote it."""

    id: str
    account: str
    sender: str
    message_id: str
    created: float
    first_read: float | None = None
    revoked: float | None = None
    tenant: int = TENANT


def add(conn: Connection, letter: Letter) -> None:
    """Note a letter."""
    conn.execute(_ADD, attrs.asdict(letter))


def get(conn: Connection, id: str, tenant: int = TENANT) -> Letter | None:
    """The note of this letter."""
    row = conn.execute(_GET, {"whose": tenant, "of": id}).one_or_none()
    return None if row is None else Letter(**row._asdict())


def opened(conn: Connection, id: str, now: float, tenant: int = TENANT) -> bool:
    """Note that it was read; True the first time."""
    return conn.execute(_OPENED, {"whose": tenant, "of": id, "now": now}).rowcount == 1


def revoke(conn: Connection, id: str, now: float, tenant: int = TENANT) -> bool:
    """Let it not be opened again; True the first time."""
    return conn.execute(_REVOKE, {"whose": tenant, "of": id, "now": now}).rowcount == 1


def list_letters(conn: Connection, account: str, limit: int = 100, tenant: int = TENANT) -> list[Letter]:
    """The letters of an account, newest first."""
    query = (
        select(_letter)
        .where(_letter.c.tenant == tenant, _letter.c.account == account)
        .order_by(_letter.c.created.desc(), _letter.c.id)
        .limit(limit)
    )
    return [Letter(**row._asdict()) for row in conn.execute(query)]
