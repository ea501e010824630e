"""Tidying the keystore: learned certificates that expired or were replaced go; what is ours and what was decided stays.

Not a judgement of trust. With a private key even an expired certificate stays, because old mail must be opened; and
what an administrator has imported, trusted or refused is his to remove.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from securegw.crypto.certificate import key_in, read_certificate
from securegw.mail.errors import BadKey
from securegw.store import events, keystore

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

    from securegw.store.keystore import Held

DAY = 86400.0
PAGE = 500


def superfluous(conn: Connection, now: float, days: float) -> list[tuple[Held, str]]:
    """The rows that may go, each with the reason."""
    found: list[tuple[Held, str]] = []
    best: dict[tuple[str, str, bytes], Held] = {}
    for row in _learned(conn):
        if row.not_after < now - days * DAY:
            found.append((row, "expired"))
        elif row.trust == "quarantined" and row.created < now - days * DAY:
            found.append((row, "never decided"))
        elif row.address:
            key = (row.address, row.trust, _key_of(row))
            other = best.get(key)
            if other is not None:
                older, newer = sorted((row, other), key=lambda each: (each.not_after, each.id))
                found.append((older, "replaced"))
                best[key] = newer
            else:
                best[key] = row
    return found


def _learned(conn: Connection) -> Iterator[Held]:
    after = 0
    private = keystore.ids_with_private(conn)
    while page := keystore.list_held(conn, source="harvested", after=after, limit=PAGE):
        yield from (row for row in page if row.id not in private and row.trust in ("unknown", "quarantined"))
        after = page[-1].id


def _key_of(row: Held) -> bytes:
    """Two certificates of one key and one issuer: the longer one is enough."""
    try:
        return key_in(row.der) + read_certificate(row.der).issuer.encode()
    except BadKey:
        return row.der


def tidy(conn: Connection, now: float, days: float, actor: str = "gateway") -> list[tuple[Held, str]]:
    """Remove them, each with its event."""
    gone = superfluous(conn, now, days)
    for row, reason in gone:
        keystore.remove(conn, row.id)
        detail = {"fingerprint": row.fingerprint, "reason": reason}
        told = events.Event(time=now, kind="key-tidied", actor=actor, address=row.address, detail=detail)
        events.record(conn, told)
    return gone
