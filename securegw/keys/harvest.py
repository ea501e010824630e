"""Learns certificates from good signatures, and only from those (product row R7, threats 5.5.36).

The certificate kept is the signer's own, never another one that merely lies in the mail (2026-29140). A new key for
a known address stands beside the old one and is told as an event: it replaces nothing in silence (SEC5).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from securegw.crypto.certificate import Certificate, found_by, read_certificate, speaks_for
from securegw.store import events, keystore

QUARANTINED = "quarantined"
MOST_QUARANTINED = 5  # of one address: a stranger can sign in a name as often as he likes
DAY = 86400.0
LONG_AGO = 1.0  # before every signature, and behind what was never announced
LINK = ""  # authorities have no address in the keystore: a link of a chain, never its beginning

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from securegw.crypto.smime import Opened
    from securegw.mail.address import Address


def learn(opened: Opened, author: Address | None, now: float) -> tuple[keystore.Held, ...]:
    """The rows worth keeping from an opened mail.

    None unless the mail is whole and the signer is its author. If nobody whom we trust stands behind him, his
    certificate is put into quarantine: an administrator may decide, and until then it is used for nothing (R9).
    """
    verdict = opened.verdict
    if author is None or verdict.integrity != "good" or verdict.identity != "good" or verdict.trust == "bad":
        return ()
    trust = "unknown" if verdict.signed_ok else QUARANTINED
    rows = []
    for der in opened.certificates:
        read = read_certificate(der)
        if read.may_encrypt and speaks_for(read, author):
            rows.append(_announcing(_row(read, author.key, now, trust), opened, now))
    links = opened.links if rows and verdict.signed_ok else ()
    return (*rows, *(_row(read_certificate(der), LINK, now, "unknown") for der in links))


def _announcing(row: keystore.Held, opened: Opened, now: float) -> keystore.Held:
    """With what the signer's program announced; who does not say when he signed has said it before everybody else."""
    if not opened.announced:
        return row
    return attrs.evolve(
        row, announced=" ".join(opened.announced), announced_at=min(now, opened.signed_at or LONG_AGO)
    )


def _row(read: Certificate, address: str, now: float, trust: str) -> keystore.Held:
    return keystore.Held(
        address=address,
        der=read.der,
        fingerprint=read.fingerprint,
        source="harvested",
        trust=trust,
        not_before=read.not_before,
        not_after=read.not_after,
        created=now,
        names=found_by(read.der) if address else "",
    )


def keep(connection: Connection, learned: tuple[str, keystore.Held]) -> None:
    """A step: keep a learned certificate that is not here yet, and say so; ``learned`` is (trace, row).

    Where an administrator has decided for another certificate of this address, one by another issuer is suspicious.
    """
    trace, row = learned
    known = keystore.find(connection, row.address)
    same = next((other for other in known if other.fingerprint == row.fingerprint), None)
    if same is not None:
        if same.trust == QUARANTINED and row.trust == "unknown":  # somebody whom we trust stands behind it by now
            keystore.set_trust(connection, same.id, row.trust)
            _tell(connection, trace, row, "certificate-learned", len(known) - 1)
        if _is_news(row, same):
            keystore.add(connection, row)
        return
    if row.address and row.trust != QUARANTINED and _is_suspicious(row, known):
        row = attrs.evolve(row, trust=QUARANTINED)
    if row.trust == QUARANTINED and sum(other.trust == QUARANTINED for other in known) >= MOST_QUARANTINED:
        return
    keystore.add(connection, row)
    kind = "certificate-quarantined" if row.trust == QUARANTINED else "certificate-learned"
    _tell(connection, trace, row, kind, len(known))


def _is_news(row: keystore.Held, same: keystore.Held) -> bool:
    """Its owner has another program by now; that it is still the same one is written down once a day."""
    later = row.announced_at - same.announced_at
    return later > (DAY if row.announced == same.announced else 0.0)


def _is_suspicious(row: keystore.Held, known: list[keystore.Held]) -> bool:
    decided = [read_certificate(other.der).issuer for other in known if other.trust == "trusted"]
    return bool(decided) and read_certificate(row.der).issuer not in decided


def _tell(connection: Connection, trace: str, row: keystore.Held, kind: str, before: int) -> None:
    detail = {"fingerprint": row.fingerprint, "known_before": before}
    told = events.Event(
        time=row.created, kind=kind, actor="gateway", trace=trace, address=row.address, detail=detail
    )
    events.record(connection, told)
