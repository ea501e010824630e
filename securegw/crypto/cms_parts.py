"""CMS as MIME carries it: which kind a mail is, its decoded bytes, the two halves of multipart/signed.

Not CMS itself and not a verdict. What two readers could see differently is not recognised (threats 23). RFC 8551 3.2,
3.5 and 3.9, RFC 1847 2.1, RFC 2046 5.1.1.
"""

from __future__ import annotations

import binascii
import quopri
import re
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice
from typing import Literal

import attrs

from securegw.crypto.cms_read import kind_at_start
from securegw.mail.errors import NotExamined, SealBroken
from securegw.mail.message import Message, read
from securegw.mail.parameters import Value, read_kind

Kind = Literal["signed", "opaque", "encrypted", "compressed"]

SIGNATURE_KINDS = ("application/pkcs7-signature", "application/x-pkcs7-signature")
CMS_KINDS = ("application/pkcs7-mime", "application/x-pkcs7-mime")
BY_CONTENT: dict[str, Kind] = {
    "signed": "opaque",
    "enveloped": "encrypted",
    "auth-enveloped": "encrypted",
    "compressed": "compressed",
}
AFTER_DELIMITER = re.compile(rb"(--)?[ \t]*+(?:\r?\n|\Z)")
NOT_BASE64 = bytes(set(range(256)) - set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="))
# Enough to see which kind of CMS it is, whatever the folding.
LOOK = 512


def recognise(message: Message) -> Kind | None:
    """What the whole mail is. Two readings of its type are none (threats 23)."""
    kind = _kind(message)
    if kind.doubled or message.count("Content-Type") != 1 or message.count("Content-Transfer-Encoding") > 1:
        return None
    if kind.word == "multipart/signed":
        return "signed" if kind.parameters.get("protocol", "").lower() in SIGNATURE_KINDS else None
    return _cms_kind(message) if kind.word in CMS_KINDS or _named_p7m(kind) else None


def _cms_kind(message: Message) -> Kind | None:
    """What it is by its first bytes: the parameter smime-type is often missing and sometimes wrong."""
    if _kind(message).parameters.get("smime-type", "").lower() == "certs-only":
        return None
    try:
        return BY_CONTENT.get(kind_at_start(decoded(message, LOOK)))
    except SealBroken:
        return None


def _kind(message: Message) -> Value:
    return _read_kind(message.first("Content-Type") or "")


_read_kind = lru_cache(maxsize=8)(read_kind)  # each layer is asked a few times


def _named_p7m(kind: Value) -> bool:
    """Some programs say only what the file is called (RFC 8551 3.9)."""
    name = kind.parameters.get("name", "").lower()
    return kind.word == "application/octet-stream" and name.endswith((".p7m", ".p7z"))


def two_halves(message: Message) -> tuple[bytes, Message]:
    """The bytes that are signed, and the signature: two parts, no more (RFC 1847 2.1): a third would be shown too."""
    boundary = _kind(message).parameters.get("boundary", "").encode("ascii", "replace")
    if not 0 < len(boundary) <= 70:
        raise NotExamined(detail="no boundary")
    body = message.body
    marks = list(islice(_marks(body, b"--" + boundary), 4))
    if [mark.closing for mark in marks[:3]] != [False, False, True]:
        raise NotExamined(detail="multipart/signed has not two parts")
    first, second, last = marks[:3]
    signature = read(body[second.end : last.start])
    if _kind(signature).word not in SIGNATURE_KINDS:
        raise NotExamined(detail="multipart/signed without signature")
    return _without_line_end(body[first.end : second.start]), signature


@attrs.frozen
class _Mark:
    """A boundary line: from where to where it goes, and whether it closes the whole."""

    start: int
    end: int
    closing: bool


def _marks(body: bytes, delimiter: bytes) -> Iterator[_Mark]:
    at = body.find(delimiter)
    while at >= 0:
        rest = AFTER_DELIMITER.match(body, at + len(delimiter))
        if rest is not None and body[at - 1 : at] in (b"", b"\n"):
            yield _Mark(at, rest.end(), rest[1] is not None)
        at = body.find(delimiter, at + len(delimiter))


def _without_line_end(part: bytes) -> bytes:
    """The line end before a boundary belongs to the boundary (RFC 2046 5.1.1)."""
    return part[:-2] if part.endswith(b"\r\n") else part[:-1] if part.endswith(b"\n") else part


def decoded(message: Message, most: int | None = None) -> bytes:
    """The body without its transfer encoding, or its beginning; raises SealBroken."""
    encoding = (message.first("Content-Transfer-Encoding") or "7bit").strip().lower()
    body = message.raw[message.body_at : None if most is None else message.body_at + most]
    if encoding == "base64":
        return _from_base64(body, whole=most is None)
    if encoding == "quoted-printable":
        return quopri.decodestring(body)
    if encoding in ("7bit", "8bit", "binary"):
        return body
    raise SealBroken(detail="unknown transfer encoding")


def _from_base64(text: bytes, *, whole: bool) -> bytes:
    if not whole:
        text = text.translate(None, NOT_BASE64)
        text = text[: len(text) // 4 * 4]
    try:
        return binascii.a2b_base64(text)
    except binascii.Error:
        raise SealBroken(detail="base64") from None
