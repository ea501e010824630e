"""Reprocess: mails that could not be opened when they came, sent back in by their reader once the key is there (R10).

A user of ours sends what he has to ``reprocess@`` any of our domains: as it is, as attached mails, as files, or as the
sealed file alone. What can be opened comes back to him as if it came only now; of the rest he is told. Not a way to
read the mail of others: only his own keys are tried. Plain functions for a process: strangers have made this.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from securegw.crypto import methods
from securegw.mail import message as messages
from securegw.mail.errors import HeaderTooLarge, NotExamined
from securegw.mail.mime import Part, parse

if TYPE_CHECKING:
    from securegw.mail.address import Address
    from securegw.mail.message import Message

LOCAL = "reprocess"
MOST = 20

NOTHING_THERE = "There is no sealed or signed message in it. Attach the message that could not be opened."
NOT_OPENED = "A message in it could still not be opened: there is no key for it here that is yours."

# Of a mail that carries nothing but the sealed file these fields are kept; its author is not known any more.
_KEPT = (b"from", b"to", b"cc", b"subject", b"date", b"message-id")
_KINDS = ("application/pkcs7-mime", "application/x-pkcs7-mime")


def is_asked(address: Address) -> bool:
    """Whether an address of ours is the one that opens again."""
    return address.local.lower() == LOCAL


def attached(raw: bytes) -> tuple[bytes, ...]:
    """The mails to be opened again; raises nothing on odd mail."""
    message = messages.read(raw)
    if methods.recognise(message) is not None:
        return (raw,)
    try:
        found = list(_mails(parse(raw), message))
    except NotExamined:
        return ()
    return tuple(found[:MOST])


def _mails(part: Part, around: Message) -> Iterator[bytes]:
    if part.kind in ("message/rfc822", "message/global"):
        yield part.content()
    elif part.kind in _KINDS or (part.filename or "").lower().endswith(".p7m"):
        yield _alone(part, around)
    elif (part.filename or "").lower().endswith(".eml"):
        yield part.content()
    else:
        for child in part.children:
            yield from _mails(child, around)


def _alone(part: Part, around: Message) -> bytes:
    """A mail around a sealed file, with the outer fields of the mail that brings it."""
    fields = b"".join(field.raw for field in around.fields if field.name.lower() in _KEPT)
    kind = b'MIME-Version: 1.0\r\nContent-Type: application/pkcs7-mime; name="smime.p7m"\r\n'
    encoding = f"Content-Transfer-Encoding: {part.encoding or '7bit'}\r\n\r\n".encode()
    return fields + kind + encoding + part.whole[part.body_at : part.end]


def openable(raw: bytes) -> bool:
    """Whether it is a mail at all that somebody could open or verify."""
    try:
        return methods.recognise(messages.read(raw)) is not None
    except HeaderTooLarge:
        return False
