"""Seals a mail for a mailbox: a fresh key for each mail, sealed for the mailbox's public key, and the mail in parts.

Not the mailbox's own key pair (``seal``) and not its password (``passwords``). HPKE (RFC 9180) seals the mail's key;
AES-256-GCM (NIST SP 800-38D) each part. A part is bound to its mailbox, its mail, its number and their count, so that
whoever can write to the database cannot swap, drop, double or mix them, and one part is opened without the others.
"""

from __future__ import annotations

import os
import struct

import attrs
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from securegw.crypto.seal import PART, PrivateKey, seal
from securegw.mail.errors import SealBroken

KEY = 32
_INFO = b"securegw mailbox mail 1"


@attrs.frozen
class Label:
    """Which mail it is: the ids of the mailbox and of the mail, and into how many parts it was cut."""

    mailbox: str
    mail: str
    parts: int
    size: int

    def bound(self) -> bytes:
        """The label as bytes; the ids have a fixed length each, as they are written in hexadecimal."""
        names = self.mailbox.encode("ascii") + b"/" + self.mail.encode("ascii")
        return _INFO + struct.pack(">IQ", self.parts, self.size) + names


@attrs.frozen
class SealedMail:
    """A mail that only the holder of the mailbox's key reads."""

    label: Label
    key: bytes
    parts: tuple[bytes, ...]


def seal_mail(public: bytes, mailbox: str, mail: str, raw: bytes, part: int = PART) -> SealedMail:
    """Seal a mail."""
    starts = range(0, len(raw), part) or range(1)
    label = Label(mailbox, mail, len(starts), len(raw))
    bound, key = label.bound(), os.urandom(KEY)
    cipher, view = AESGCM(key), memoryview(raw)
    parts = tuple(
        cipher.encrypt(_nonce(number), view[start : start + part], bound) for number, start in enumerate(starts)
    )
    return SealedMail(label, seal(public, bound, key), parts)


@attrs.frozen
class MailKey:
    """What opens the parts of one mail."""

    label: Label
    secret: bytes = attrs.field(repr=False)

    def open_part(self, number: int, sealed: bytes) -> bytes:
        """One part; SealBroken if it is not this part of this mail."""
        if not 0 <= number < self.label.parts:
            raise SealBroken(detail=f"mail {self.label.mail} has no part {number}")
        try:
            return AESGCM(self.secret).decrypt(_nonce(number), sealed, self.label.bound())
        except InvalidTag:
            raise SealBroken(detail=f"part {number} of mail {self.label.mail}") from None


def open_key(private: PrivateKey, label: Label, sealed: bytes) -> MailKey:
    """The key of a mail."""
    secret = private.open(label.bound(), sealed)
    if len(secret) != KEY:
        raise SealBroken(detail=f"the key of mail {label.mail}")
    return MailKey(label, secret)


def _nonce(number: int) -> bytes:
    """A counter: no nonce comes twice, for the key is of this mail alone (SP 800-38D 8.2.1)."""
    return number.to_bytes(12, "big")
