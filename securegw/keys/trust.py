"""Judges whose certificate may be used for whom (SEC5).

Not the mathematics of chains (crypto/certificate): here stands what we make of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from securegw.crypto.certificate import read_certificate, speaks_for
from securegw.crypto.chain import judge

if TYPE_CHECKING:
    from collections.abc import Sequence

    from securegw.mail.address import Address
    from securegw.store.keystore import Held


def may_encrypt_to(
    row: Held, address: Address, between: Sequence[bytes], roots: Sequence[bytes], at: float
) -> tuple[bool, str]:
    """Whether a kept certificate may be used to encrypt for an address now, and why not.

    ``between`` are learned authorities: links of a chain, never its beginning.
    """
    if row.trust == "refused":
        return False, "refused by the administrator"
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
