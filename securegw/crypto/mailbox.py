"""Seals a mail for a mailbox: a key for each mail from the mailbox's ladder of keys, and the mail in parts.

Not the mailbox's own key pair (``seal``), not its password (``passwords``) and not the ladder (``ladder``).
AES-256-GCM (NIST SP 800-38D) seals each part. A part is bound to its mailbox, its mail, its number and their count, so
that whoever can write to the database cannot swap, drop, double or mix them, and one part is opened without the others.
"""

from __future__ import annotations

import struct

import attrs
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from securegw.crypto.ladder import KEY, Ladders, Rung
from securegw.crypto.seal import PART, PrivateKey
from securegw.mail.errors import SealBroken

ALONE = 1120 + KEY + 16  # bytes of a key that was sealed for its mail alone, as it was before there were ladders
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


def seal_mail(rung: Rung, mailbox: str, mail: str, raw: bytes, part: int = PART) -> SealedMail:
    """Seal a mail under the key of a rung; no other mail may get that rung."""
    starts = range(0, len(raw), part) or range(1)
    label = Label(mailbox, mail, len(starts), len(raw))
    bound, view = label.bound(), memoryview(raw)
    cipher = AESGCM(rung.key_for(bound))
    parts = tuple(
        cipher.encrypt(_nonce(number), view[start : start + part], bound) for number, start in enumerate(starts)
    )
    return SealedMail(label, rung.written(), parts)


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


class MailboxKey:
    """The private key of a mailbox, for its owner's session: opens the keys of mails."""

    def __init__(self, private: bytes, mailbox: str) -> None:
        self._private = PrivateKey(private)
        self._ladders = Ladders(self._private, mailbox)

    def open_key(self, label: Label, sealed: bytes) -> MailKey:
        """The key of a mail."""
        bound = label.bound()
        if len(sealed) == ALONE:
            return MailKey(label, self._private.open(bound, sealed))
        return MailKey(label, self._ladders.rung(sealed).key_for(bound))


def _nonce(number: int) -> bytes:
    """A counter: no nonce comes twice, for the key is of this mail alone (SP 800-38D 8.2.1)."""
    return number.to_bytes(12, "big")
