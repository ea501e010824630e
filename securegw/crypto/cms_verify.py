"""Checks the signatures of CMS SignedData against the content.

Not a judge of who signed (``chain``, ``certificate.speaks_for``): a signature here is good, bad or of a kind that we do
not know. RFC 5652 5.4 to 5.6 and 11, RFC 4056 (RSA-PSS), RFC 5754 (SHA-2, ECDSA), RFC 8419 (Ed25519).
"""

from __future__ import annotations

import calendar
import hmac
import time
from collections.abc import Iterator, Sequence
from typing import Literal

import attrs
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from securegw.crypto import ber, der
from securegw.crypto.certificate import PublicKey, public_key
from securegw.crypto.cms_read import DIGESTS, Algorithm, Digest, algorithm, content_info, digest_of, named
from securegw.mail.errors import MailError, NotExamined

MOST_CERTIFICATES = 50
MOST_CERTIFICATE_BYTES = 65_536
MOST_SIGNERS = 10

State = Literal["good", "bad", "unknown"]

# Signature algorithms that name their hash, and must name the one that is used (RFC 5754 3.2, 3.3).
NAMED_DIGESTS = {
    der.RSA_SHA256: der.SHA256,
    der.RSA_SHA384: der.SHA384,
    der.RSA_SHA512: der.SHA512,
    der.ECDSA_SHA256: der.SHA256,
    der.ECDSA_SHA384: der.SHA384,
    der.ECDSA_SHA512: der.SHA512,
}
RSA_KINDS = (der.RSA, der.RSA_SHA256, der.RSA_SHA384, der.RSA_SHA512)
ECDSA_KINDS = (der.ECDSA_SHA256, der.ECDSA_SHA384, der.ECDSA_SHA512)


@attrs.frozen
class Signature:
    """One signer's signature; ``reason`` is a word for what is wrong with it, ``signed_at`` what he says."""

    state: State
    reason: str
    certificate: bytes | None = None
    signed_at: float | None = None
    gcm: bool = False


@attrs.frozen
class Signed:
    """``content`` is what was signed, ``certificates`` what came along, in the order in which they came."""

    content: bytes = attrs.field(repr=False)
    signatures: tuple[Signature, ...]
    certificates: tuple[bytes, ...]


@attrs.frozen
class _Attributes:
    """The signed attributes that we use, and the bytes over which the signature goes."""

    signed: bytes
    content_type: bytes | None
    digest: bytes | None
    signed_at: float | None
    gcm: bool


def verify(data: bytes, content: bytes | None) -> Signed:
    """Check all signatures: over ``content`` if it is given (detached), else over the content inside.

    Raises NotExamined if this is not SignedData at all; whatever is wrong with one signature is told by its state.
    """
    kind, signed_data = content_info(data)
    if kind != "signed":
        raise NotExamined(detail="CMS: not signed")
    _version, _digests, encapsulated, *others = signed_data.parts(4)
    content_type, *inside = encapsulated.expect(der.SEQUENCE).parts(1, 2)
    if content is not None and inside:
        # Two contents: one that is checked and one that is shown could differ.
        return Signed(content, (Signature("bad", "two-contents"),), ())
    if content is None:
        if not inside:
            raise NotExamined(detail="CMS: no content")
        content = inside[0].expect(0xA0).parts(1, 1)[0].octets()
    certificates = tuple(_certificates(others))
    checker = _Checker(content_type.raw, content, certificates)
    infos = others[-1].expect(der.SET).parts(0, MOST_SIGNERS)
    return Signed(content, tuple(checker.check(info) for info in infos), certificates)


def _certificates(fields: Sequence[ber.Element]) -> Iterator[bytes]:
    """The X.509 certificates that came along; more than 50 or oversized ones are not looked at."""
    found = next((one for one in fields if one.tag == 0xA0), None)
    if found is None:
        return
    for number, child in enumerate(found.children()):
        if number == MOST_CERTIFICATES:
            return
        if child.tag == der.SEQUENCE and child.end - child.begin <= MOST_CERTIFICATE_BYTES:
            yield child.raw


class _Checker:
    """Checks the signers of one content, which is hashed once for each kind of digest."""

    def __init__(self, content_type: bytes, content: bytes, certificates: Sequence[bytes]) -> None:
        self._content_type = content_type
        self._content = content
        self._certificates = certificates
        self._digests: dict[bytes, bytes] = {}

    def check(self, info: ber.Element) -> Signature:
        try:
            return self._check(info)
        except (MailError, UnsupportedAlgorithm):
            return Signature("unknown", "not-understood")
        except ValueError:
            return Signature("bad", "malformed")

    def _check(self, info: ber.Element) -> Signature:
        version, identifier, digest_field, *others = info.expect(der.SEQUENCE).parts(5, 7)
        if version.number() not in (1, 3):
            raise ValueError("unknown version")
        attributes = None
        if others[0].tag == 0xA0:
            attributes = _attributes(others[0])
            others = others[1:]
        how, value = algorithm(others[0]), others[1].expect(der.OCTETS).content
        certificate = named(identifier, self._certificates)
        if certificate is None:
            return Signature("unknown", "no-certificate")
        digest = algorithm(digest_field).kind
        about = _about(certificate, attributes)
        if digest not in DIGESTS:
            return attrs.evolve(about, state="bad", reason="weak-digest")
        wrong = self._wrong_content(attributes, digest)
        if wrong:
            return attrs.evolve(about, state="bad", reason=wrong)
        over = attributes.signed if attributes else self._content
        state, reason = _check_value(public_key(certificate), how, digest, value, over)
        return attrs.evolve(about, state=state, reason=reason)

    def _wrong_content(self, attributes: _Attributes | None, digest: bytes) -> str:
        if attributes is None:
            # Without attributes only plain data may be signed (RFC 5652 5.3), and data that could itself be taken for
            # attributes never: it may be the attributes of another mail's signature.
            plain = self._content_type == der.DATA and self._content[:1] != b"\x31"
            return "" if plain else "no-attributes"
        if attributes.content_type != self._content_type:
            return "content-type"
        if not hmac.compare_digest(attributes.digest or b"", self._digest(digest)):
            return "changed"
        return ""

    def _digest(self, kind: bytes) -> bytes:
        if kind not in self._digests:
            work = hashes.Hash(DIGESTS[kind])
            work.update(self._content)
            self._digests[kind] = work.finalize()
        return self._digests[kind]


def _about(certificate: bytes, attributes: _Attributes | None) -> Signature:
    if attributes is None:
        return Signature("bad", "", certificate)
    return Signature("bad", "", certificate, attributes.signed_at, attributes.gcm)


def _attributes(field: ber.Element) -> _Attributes:
    """RFC 5652 11: each at most once, content type and digest with exactly one value."""
    if not field.definite:
        raise ValueError("signed attributes must be DER")
    found: dict[bytes, ber.Element] = {}
    for attribute in field.parts(1, 64):
        kind, values = attribute.expect(der.SEQUENCE).parts(2, 2)
        if kind.raw in found:
            raise ValueError("an attribute twice")
        found[kind.raw] = values.expect(der.SET)
    signed_at = _only(found, der.SIGNING_TIME)
    capabilities = _only(found, der.CAPABILITIES)
    content_type, digest = _only(found, der.CONTENT_TYPE), _only(found, der.MESSAGE_DIGEST)
    return _Attributes(
        # The signature goes over the SET, not over the [0] that is sent (RFC 5652 5.4).
        signed=b"\x31" + field.raw[1:],
        content_type=content_type.raw if content_type else None,
        digest=digest.octets() if digest else None,
        signed_at=_read_time(signed_at) if signed_at else None,
        gcm=capabilities is not None and _takes_gcm(capabilities),
    )


def _only(found: dict[bytes, ber.Element], kind: bytes) -> ber.Element | None:
    values = found.get(kind)
    return values.parts(1, 1)[0] if values else None


def _read_time(element: ber.Element) -> float:
    text = element.content.decode("ascii")
    form = {0x17: "%y%m%d%H%M%SZ", 0x18: "%Y%m%d%H%M%SZ"}.get(element.tag)
    if form is None:
        raise ValueError("not a time")
    parsed = time.strptime(text, form)
    # Two digits are 1950 to 2049 (RFC 5652 11.3); the standard library parts them at 1969.
    year = parsed.tm_year - 100 if element.tag == 0x17 and parsed.tm_year >= 2050 else parsed.tm_year
    return calendar.timegm((year, *parsed[1:6]))


def _takes_gcm(capabilities: ber.Element) -> bool:
    try:
        return any(algorithm(one).kind == der.AES256_GCM for one in capabilities.parts(0, 64))
    except NotExamined:
        return False


def _check_value(key: PublicKey, how: Algorithm, digest: bytes, value: bytes, over: bytes) -> tuple[State, str]:
    if NAMED_DIGESTS.get(how.kind, digest) != digest:
        return "bad", "two-digests"
    if how.kind != der.RSA_PSS and how.parameters is not None and how.parameters.raw != der.NULL:
        return "bad", "malformed"
    try:
        known = _verify_by_kind(key, how, DIGESTS[digest], value, over)
    except InvalidSignature:
        return "bad", "wrong-signature"
    return ("good", "") if known else ("unknown", "unknown-algorithm")


def _verify_by_kind(key: PublicKey, how: Algorithm, digest: Digest, value: bytes, over: bytes) -> bool:
    """Raises InvalidSignature; False if key and algorithm are no pair that we know."""
    if isinstance(key, rsa.RSAPublicKey) and how.kind in RSA_KINDS:
        key.verify(value, over, padding.PKCS1v15(), digest)
    elif isinstance(key, rsa.RSAPublicKey) and how.kind == der.RSA_PSS:
        scheme, named_digest = _pss(how)
        key.verify(value, over, scheme, named_digest)
    elif isinstance(key, ec.EllipticCurvePublicKey) and how.kind in ECDSA_KINDS:
        key.verify(value, over, ec.ECDSA(digest))
    elif isinstance(key, ed25519.Ed25519PublicKey) and how.kind == der.ED25519:
        key.verify(value, over)
    else:
        return False
    return True


def _pss(how: Algorithm) -> tuple[padding.PSS, hashes.HashAlgorithm]:
    """RFC 4056 3; SHA-1, which the parameters mean when they are absent, is never good."""
    digest = digest_of(how.parameters, 0xA0)
    mask = digest_of(how.parameters, 0xA1, inside=True)
    if isinstance(digest, hashes.SHA1) or isinstance(mask, hashes.SHA1):
        raise InvalidSignature
    fields = how.needed(der.SEQUENCE).parts(0, 4)
    salt = next((one.parts(1, 1)[0].number() for one in fields if one.tag == 0xA2), 20)
    if not 0 <= salt <= 512:
        raise InvalidSignature
    return padding.PSS(padding.MGF1(mask), salt), digest
