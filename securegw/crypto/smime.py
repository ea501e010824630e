"""S/MIME as mails: recognised, signed, encrypted and opened again.

Not CMS itself (``cms_write``, ``cms_decrypt``, ``cms_verify``) and not the choice of keys. Only a whole mail is ever
opened: an encrypted part beside anything else stays closed (EFAIL, threats 29). RFC 8551 3, RFC 1847 2.1.
"""

from __future__ import annotations

import binascii
import quopri
import re
import secrets
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Literal

import attrs

from securegw.crypto import cms_write
from securegw.crypto.cms_decrypt import Decrypted, decrypt
from securegw.crypto.cms_read import kind_at_start
from securegw.crypto.cms_verify import Signed, verify
from securegw.crypto.entity import base64_lines, canonical, cut, inside_out, read_entity
from securegw.crypto.seven_bit import seven_bit
from securegw.crypto.verdict import Verdict, weigh
from securegw.mail.address import Address
from securegw.mail.errors import HeaderTooLarge, MailError, NotExamined, SealBroken
from securegw.mail.message import Message, read
from securegw.mail.parameters import Value, read_kind

Kind = Literal["signed", "opaque", "encrypted"]

LAYERS = 5
SIGNATURE_KINDS = ("application/pkcs7-signature", "application/x-pkcs7-signature")
CMS_KINDS = ("application/pkcs7-mime", "application/x-pkcs7-mime")
BY_CONTENT: dict[str, Kind] = {
    "signed": "opaque",
    "enveloped": "encrypted",
    "auth-enveloped": "encrypted",
}
AFTER_DELIMITER = re.compile(rb"(--)?[ \t]*+(?:\r?\n|\Z)")
# Enough to see which kind of CMS it is, whatever the folding.
LOOK = 512


@attrs.frozen
class Opened:
    """A mail as it is delivered, which layers were taken off or checked (outermost first), and the verdict.

    ``certificates`` are (certificate, takes AES-GCM) of the author, to be kept for answers; how far they are trusted is
    what ``verdict.trust`` says. ``links`` are authorities that lead from a trusted signer to his root.
    """

    raw: bytes = attrs.field(repr=False)
    layers: tuple[str, ...] = ()
    verdict: Verdict = attrs.field(factory=Verdict)
    certificates: tuple[tuple[bytes, bool], ...] = ()
    links: tuple[bytes, ...] = ()


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
        return BY_CONTENT.get(kind_at_start(_decoded(message, LOOK)))
    except SealBroken:
        return None


def _kind(message: Message) -> Value:
    return read_kind(message.first("Content-Type") or "")


def _named_p7m(kind: Value) -> bool:
    """Some programs say only what the file is called (RFC 8551 3.9)."""
    return kind.word == "application/octet-stream" and kind.parameters.get("name", "").lower().endswith(".p7m")


def sign(raw: bytes, key_der: bytes, certificate: bytes, chain: Sequence[bytes], at: float) -> bytes:
    """The mail as multipart/signed (RFC 8551 3.5.3): readable everywhere, its signature beside it."""
    outer, entity = cut(read(seven_bit(raw)))
    entity = canonical(entity)
    boundary = b"signed-" + secrets.token_hex(16).encode()
    signature = cms_write.sign_detached(entity, key_der, certificate, chain, at)
    return b"".join(
        (
            outer,
            b'Content-Type: multipart/signed; protocol="application/pkcs7-signature";\r\n'
            b'\tmicalg=sha-256; boundary="' + boundary + b'"\r\n\r\n--' + boundary + b"\r\n",
            entity,
            b"\r\n--" + boundary + b"\r\n"
            b"Content-Type: application/pkcs7-signature; name=smime.p7s\r\n"
            b"Content-Transfer-Encoding: base64\r\n"
            b"Content-Disposition: attachment; filename=smime.p7s\r\n\r\n",
            base64_lines(signature),
            b"--" + boundary + b"--\r\n",
        )
    )


def encrypt(raw: bytes, certificates: Sequence[bytes], *, gcm: bool = False) -> bytes:
    """The mail sealed for these certificates; ``gcm`` only if all of them are known to take AES-GCM."""
    outer, entity = cut(read(raw))
    seal = cms_write.encrypt_gcm if gcm else cms_write.encrypt_cbc
    kind = b"authEnveloped-data" if gcm else b"enveloped-data"
    return b"".join(
        (
            outer,
            b"Content-Type: application/pkcs7-mime; smime-type=" + kind + b"; name=smime.p7m\r\n"
            b"Content-Transfer-Encoding: base64\r\n"
            b"Content-Disposition: attachment; filename=smime.p7m\r\n\r\n",
            base64_lines(seal(canonical(entity), certificates)),
        )
    )


def open(
    raw: bytes,
    keys: Sequence[tuple[bytes, bytes]],
    roots: Sequence[bytes],
    at: float,
    author: Address | None,
    *,
    layers: int = LAYERS,
) -> Opened:
    """Take off what can be taken off. ``keys`` are our (private key, certificate) pairs; never raises on odd mail.

    The outermost signature counts, but for one around an encrypted content, which says nothing about what is read.
    """
    try:
        opening = _Opening(read(raw), keys, roots, at, author)
    except HeaderTooLarge as problem:
        return Opened(raw, verdict=Verdict(reasons=(problem.reason,)))
    for _ in range(layers):
        if not opening.step():
            return opening.result
    return opening.stopped()


class _Opening:
    """One mail while its layers come off; ``result`` is always fit to be delivered."""

    def __init__(
        self,
        message: Message,
        keys: Sequence[tuple[bytes, bytes]],
        roots: Sequence[bytes],
        at: float,
        author: Address | None,
    ) -> None:
        self.result = Opened(message.raw)
        self._message = message
        self._keys, self._roots, self._at, self._author = keys, roots, at, author

    def step(self) -> bool:
        """Take off one layer; False if there is no further one, or it must stay."""
        kind = recognise(self._message)
        if kind is None:
            return False
        if kind == "encrypted":
            return self._decrypt()
        return self._check(kind)

    def stopped(self) -> Opened:
        """Too many layers: what is still closed stays closed."""
        if recognise(self._message) is None:
            return self.result
        return attrs.evolve(self.result, verdict=self._noted("too-many-layers"))

    def _noted(self, *reasons: str) -> Verdict:
        verdict = self.result.verdict
        return attrs.evolve(verdict, reasons=(*verdict.reasons, *reasons))

    def _decrypt(self) -> bool:
        try:
            found = decrypt(_decoded(self._message), self._keys)
            self._go_in(read_entity(found.content), "encrypted", self._opened(found))
        except MailError as problem:
            self._stay(attrs.evolve(self._noted(problem.reason), encrypted="failed"))
            return False
        return True

    def _opened(self, found: Decrypted) -> Verdict:
        """A text that anybody could have changed is still opened, but it is told."""
        reasons = () if found.authenticated else ("unauthenticated-cipher",)
        return attrs.evolve(self._noted(*reasons), encrypted="opened")

    def _check(self, kind: Kind) -> bool:
        try:
            signed, entity = _read_opaque(self._message) if kind == "opaque" else _read_detached(self._message)
            if recognise(entity) == "encrypted":
                return self._ignore_around(kind, entity)
            self._weigh(kind, signed, entity)
        except MailError as problem:
            self._stay(attrs.evolve(self._noted(problem.reason), integrity="bad"), kind)
        return False

    def _weigh(self, kind: Kind, signed: Signed, entity: Message) -> None:
        """A signature beside the content stays for the reader's own program; one around it comes off if it is good."""
        learnt, before = weigh(signed, self._roots, self._at, self._author), self.result.verdict
        verdict = attrs.evolve(
            learnt.verdict,
            encrypted=before.encrypted,
            reasons=(*before.reasons, *learnt.verdict.reasons),
        )
        if kind == "opaque" and verdict.integrity == "good":
            self._go_in(entity, kind, verdict)
        else:
            self._stay(verdict, kind)
        self.result = attrs.evolve(self.result, certificates=learnt.certificates, links=learnt.links)

    def _ignore_around(self, kind: Kind, entity: Message) -> bool:
        """Whoever signs what he cannot read need not be its author: only what is inside counts."""
        before, message = self.result, self._message
        self._go_in(entity, kind, self._noted("signature-around-encryption"))
        if self._decrypt():
            return True
        failed = self.result.verdict
        self.result, self._message = attrs.evolve(before, verdict=failed), message
        return False

    def _stay(self, verdict: Verdict, *layers: str) -> None:
        self.result = attrs.evolve(self.result, layers=(*self.result.layers, *layers), verdict=verdict)

    def _go_in(self, entity: Message, layer: str, verdict: Verdict) -> None:
        self._message = read(inside_out(self._message, entity))
        self.result = attrs.evolve(self.result, raw=self._message.raw)
        self._stay(verdict, layer)


def _read_opaque(message: Message) -> tuple[Signed, Message]:
    signed = verify(_decoded(message), None)
    return signed, read_entity(signed.content)


def _read_detached(message: Message) -> tuple[Signed, Message]:
    content, signature = _two_parts(message)
    if _kind(signature).word not in SIGNATURE_KINDS:
        raise NotExamined(detail="multipart/signed without signature")
    return verify(_decoded(signature), canonical(content)), read(content)


def _two_parts(message: Message) -> tuple[bytes, Message]:
    """The bytes that are signed, and the signature: two parts, no more (RFC 1847 2.1): a third would be shown too."""
    boundary = _kind(message).parameters.get("boundary", "").encode("ascii", "replace")
    if not 0 < len(boundary) <= 70:
        raise NotExamined(detail="no boundary")
    body = message.body
    marks = list(islice(_marks(body, b"--" + boundary), 4))
    if [mark.closing for mark in marks[:3]] != [False, False, True]:
        raise NotExamined(detail="multipart/signed has not two parts")
    first, second, last = marks[:3]
    return _without_line_end(body[first.end : second.start]), read(body[second.end : last.start])


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


def _decoded(message: Message, most: int | None = None) -> bytes:
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
        text = b"".join(text.split())
        text = text[: len(text) // 4 * 4]
    try:
        return binascii.a2b_base64(text)
    except binascii.Error:
        raise SealBroken(detail="base64") from None
