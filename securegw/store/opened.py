"""Which mails came sealed and were opened here, by their Message-IDs: what cites them must not leave in clear (5.5.33).

Not the mails, and not even their Message-IDs: a key made of each is enough to know it again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import attrs
from sqlalchemy import Connection, bindparam, delete, select

from securegw.store import schema
from securegw.store.batch import Batch
from securegw.store.schema import TENANT

_opened = schema.opened
_KNOWN = (
    select(_opened.c.key)
    .where(_opened.c.tenant == bindparam("whose"), _opened.c.key.in_(bindparam("keys", expanding=True)))
    .limit(1)
)
_NOTE = Batch(
    (_opened.c.tenant, _opened.c.key, _opened.c.time),
    "INSERT INTO opened ({names}) VALUES {rows} ON CONFLICT (tenant, key) DO UPDATE SET time = excluded.time",
)


@attrs.frozen
class Seen:
    """The Message-IDs of a mail that was opened, and when."""

    ids: tuple[str, ...]
    time: float
    tenant: int = TENANT


def key_of(message_id: str) -> str:
    return hashlib.sha256(message_id.strip().encode("utf-8", "replace")).hexdigest()[:32]


def note(conn: Connection, seen: Sequence[Seen]) -> None:
    """Remember; one that comes again counts from then."""
    rows = {
        (mail.tenant, key_of(each)): (mail.tenant, key_of(each), mail.time)
        for mail in seen
        for each in mail.ids
        if each.strip()
    }
    _NOTE.run(conn, [rows[key] for key in sorted(rows)])


def any_known(conn: Connection, ids: Iterable[str], tenant: int = TENANT) -> bool:
    """Whether one of these was opened here."""
    keys = sorted({key_of(each) for each in ids})
    return bool(keys) and conn.execute(_KNOWN, {"whose": tenant, "keys": keys}).first() is not None


def prune(conn: Connection, before: float) -> int:
    """Forget what is older."""
    return conn.execute(delete(_opened).where(_opened.c.time < before)).rowcount
