"""Makes a mail safe to sign: parts that travel as 8-bit or binary become quoted-printable or base64.

Not a re-writing of the mail: parts that are safe stay byte for byte. A server on the way may re-encode 8-bit text, and
then the signature would be broken (RFC 8551 3.1.3, RFC 2045 6, RFC 1847 2.1).
"""

from __future__ import annotations

import binascii
from collections.abc import Iterator

from securegw.crypto.entity import base64_lines
from securegw.mail.errors import NotExamined
from securegw.mail.message import Message, with_field
from securegw.mail.mime import Part, parse

AS_IS = ("", "7bit", "8bit", "binary")
# What is in these may itself be signed; its bytes are not ours to change.
SEALED = ("multipart/signed", "multipart/encrypted")


def seven_bit(raw: bytes) -> bytes:
    """The mail in ASCII alone, or as it is if that would take another's signature apart."""
    if raw.isascii():
        return raw
    try:
        parts = list(_in_order(parse(raw)))
    except NotExamined:
        return raw
    if any(part.kind in SEALED or part.ambiguous for part in parts):
        return raw
    pieces, at = [], 0
    for part in parts:
        changed = _changed(part)
        if changed is not None:
            pieces += [raw[at : part.start], *changed]
            at = part.body_at if part.children else part.end
    return b"".join((*pieces, raw[at:]))


def _in_order(part: Part) -> Iterator[Part]:
    yield part
    for child in part.children:
        yield from _in_order(child)


def _changed(part: Part) -> tuple[bytes, ...] | None:
    """The new header and body of a leaf, the new header of a whole of several parts, or None if it stays."""
    if part.encoding not in AS_IS:
        return None
    if part.children:
        return (_labelled(part, "7bit"),) if part.encoding in ("8bit", "binary") else None
    body = part.whole[part.body_at : part.end]
    if body.isascii() or part.kind.startswith("message/"):
        return None
    if part.kind.startswith("text/") and b"\0" not in body:
        return _labelled(part, "quoted-printable"), binascii.b2a_qp(body, istext=True)
    return _labelled(part, "base64"), base64_lines(body)


def _labelled(part: Part, encoding: str) -> bytes:
    header = part.whole[part.start : part.body_at]
    return with_field(Message(header, part.fields, len(header)), "Content-Transfer-Encoding", encoding)
