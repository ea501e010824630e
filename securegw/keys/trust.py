"""Judges whose certificate may be used for whom (SEC5).

Not the mathematics of chains (crypto/certificate): here stands what we make of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from securegw.crypto.certificate import Certificate, issued_by, read_certificate, speaks_for
from securegw.crypto.chain import DEPTH, judge
from securegw.mail.errors import BadKey

if TYPE_CHECKING:
    from collections.abc import Sequence

    from securegw.mail.address import Address
    from securegw.store.keystore import Held


# Trust words under which a certificate is used for nothing new.
NEVER = {
    "refused": "refused by the administrator",
    "revoked": "revoked",
    "quarantined": "waits for the administrator",
}


def may_encrypt_to(
    row: Held, address: Address, between: Sequence[bytes], roots: Sequence[bytes], at: float
) -> tuple[bool, str]:
    """Whether a kept certificate may be used to encrypt for an address now, and why not.

    ``between`` are learned authorities: links of a chain, never its beginning.
    """
    if row.trust in NEVER:
        return False, NEVER[row.trust]
    read = read_certificate(row.der)
    if not speaks_for(read, address):
        return False, "made for another address"
    if not read.may_encrypt:
        return False, "not made for encryption"
    if not read.not_before <= at <= read.not_after:
        return False, "expired or not yet valid"
    if row.trust == "trusted":
        return True, "trusted by the administrator" if row.source == "imported" else f"trusted ({row.source})"
    judged = judge(read, between, roots, at, use="encrypt")
    return judged.good, judged.reason


def chain_of(der: bytes, authorities: Sequence[Held]) -> tuple[bytes, ...]:
    """The certificates that go along with one of ours: its issuer and those above, as far as they are known here.

    A root of somebody else's stays out: whoever believes it has it. Our own goes along, so that it can be looked at.
    """
    above: list[bytes] = []
    below = read_certificate(der)
    while len(above) < DEPTH:
        issuer = next((one for one in authorities if _has_issued(one, below) and one.der not in above), None)
        if issuer is None or issuer.der == below.der:
            break
        below = read_certificate(issuer.der)
        if below.issuer == below.subject and issuer.source != "authority":
            break
        above.append(issuer.der)
    return tuple(above)


def _has_issued(authority: Held, below: Certificate) -> bool:
    try:
        return issued_by(below.der, authority.der)
    except BadKey:
        return False
