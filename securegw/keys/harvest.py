"""Learns certificates from good signatures, and only from those (product row R7, threats 5.5.36).

The certificate kept is the signer's own, never another one that merely lies in the mail (2026-29140). A new key for
a known address stands beside the old one and is told as an event: it replaces nothing in silence (SEC5).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from securegw.crypto.certificate import Certificate, read_certificate, speaks_for
from securegw.store import events, keystore

LINK = ""  # authorities have no address in the keystore: a link of a chain, never its beginning

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from securegw.crypto.smime import Opened
    from securegw.mail.address import Address


def learn(opened: Opened, author: Address | None, now: float) -> tuple[keystore.Held, ...]:
    """The rows worth keeping from an opened mail: none unless integrity, trust and identity are all good."""
    if author is None or not opened.verdict.signed_ok:
        return ()
    rows = []
    for der, gcm in opened.certificates:
        read = read_certificate(der)
        if read.may_encrypt and speaks_for(read, author):
            rows.append(_row(read, author.key, gcm, now))
    return (*rows, *(_row(read_certificate(der), LINK, False, now) for der in opened.links if rows))


def _row(read: Certificate, address: str, gcm: bool, now: float) -> keystore.Held:
    return keystore.Held(
        address=address,
        der=read.der,
        fingerprint=read.fingerprint,
        source="harvested",
        trust="unknown",
        gcm=gcm,
        not_before=read.not_before,
        not_after=read.not_after,
        created=now,
    )


def keep(connection: Connection, learned: tuple[str, keystore.Held]) -> None:
    """A step: keep a learned certificate that is not here yet, and say so; ``learned`` is (trace, row)."""
    trace, row = learned
    known = keystore.find(connection, row.address)
    if any(other.fingerprint == row.fingerprint for other in known):
        return
    keystore.add(connection, row)
    detail = {"fingerprint": row.fingerprint, "known_before": len(known)}
    told = events.Event(
        time=row.created, kind="certificate-learned", actor="gateway", trace=trace, address=row.address, detail=detail
    )
    events.record(connection, told)
