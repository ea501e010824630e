"""Checks the signatures of CMS SignedData against the content.

Not a judge of who signed (``chain``, ``certificate.speaks_for``): a signature here is good, bad or of a kind that we
do not know; the table of algorithms is in ``signatures``. RFC 5652 5.4 to 5.6 and 11, RFC 5035 5.4 (which
certificate), RFC 6211 3 (which algorithms).
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import attrs
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes

from securegw.crypto import ber, der, oids
from securegw.crypto.algorithms import DIGESTS, Algorithm, algorithm
from securegw.crypto.capabilities import read_capabilities
from securegw.crypto.certificate import bound_to, public_key
from securegw.crypto.cms_read import content_info, named
from securegw.crypto.signatures import State, check_value
from securegw.mail.errors import MailError, NotExamined

MOST_CERTIFICATES = 50
MOST_CERTIFICATE_BYTES = 65_536
MOST_SIGNERS = 10
TIME = re.compile(rb"(\d\d)?(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z")


@attrs.frozen
class Signature:
    """One signer's signature; ``reason`` is a word for what is wrong with it, ``signed_at`` what he says.

    ``announced`` is what his program says that it opens, in the words of ``capabilities``.
    """

    state: State
    reason: str
    certificate: bytes | None = None
    signed_at: float | None = None
    announced: tuple[str, ...] = ()


@attrs.frozen
class Signed:
    """``content`` is what was signed, ``certificates`` what came along, in its order, and what was known before."""

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
    announced: tuple[str, ...]
    certificate: bytes | None
    algorithms: tuple[Algorithm, Algorithm] | None


def verify(data: bytes, content: bytes | None, known: Sequence[bytes] = ()) -> Signed:
    """Check all signatures: over ``content`` if it is given (detached), else over the content inside.

    ``known`` are certificates that need not come along. Raises NotExamined if this is not SignedData at all; whatever
    is wrong with one signature is told by its state.
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
    certificates = (*_certificates(others), *known)
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
        if len(others) < 2:
            raise ValueError("no signature")
        how, value = algorithm(others[0]), others[1].expect(der.OCTETS).content
        certificate = named(identifier, self._certificates)
        if certificate is None:
            return Signature("unknown", "no-certificate")
        digest = algorithm(digest_field).kind
        about = _about(certificate, attributes)
        if digest not in DIGESTS:
            return attrs.evolve(about, state="bad", reason="weak-digest")
        wrong = self._wrong_content(attributes, digest) or _wrong_certificate(certificate, attributes, how.kind)
        wrong = wrong or _wrong_algorithms(attributes, algorithm(digest_field), how)
        if wrong:
            return attrs.evolve(about, state="bad", reason=wrong)
        over = attributes.signed if attributes else self._content
        state, reason = check_value(public_key(certificate), how, digest, value, over)
        return attrs.evolve(about, state=state, reason=reason)

    def _wrong_content(self, attributes: _Attributes | None, digest: bytes) -> str:
        if self._content_type != oids.DATA:  # a mail is data and nothing else (RFC 8551 2.4.2)
            return "content-type"
        if attributes is None:
            # Data that could itself be taken for attributes: it may be those of another mail's signature.
            return "no-attributes" if self._content[:1] == b"\x31" else ""
        if attributes.content_type != self._content_type:
            return "content-type"
        if not hmac.compare_digest(attributes.digest or b"", self._digest(digest)):
            return "changed"
        return ""

    def _digest(self, kind: bytes) -> bytes:
        if kind not in self._digests:
            work = hashes.Hash(DIGESTS[kind].hash)
            work.update(self._content)
            self._digests[kind] = work.finalize()
        return self._digests[kind]


def _wrong_certificate(certificate: bytes, attributes: _Attributes | None, how: bytes) -> str:
    """A key that is bound to PSS signs no other way (RFC 4055 1.2); the certificate may be named once more inside."""
    if bound_to(certificate) == "pss" and how != oids.RSA_PSS:
        return "wrong-scheme"
    named_inside = attributes.certificate if attributes else None
    if named_inside is not None and not hmac.compare_digest(named_inside, hashlib.sha256(certificate).digest()):
        return "other-certificate"
    return ""


def _wrong_algorithms(attributes: _Attributes | None, digest: Algorithm, how: Algorithm) -> str:
    """What is named outside of the signature must be what the signer has named inside, if he has (RFC 6211 3)."""
    if attributes is None or attributes.algorithms is None:
        return ""
    inside = [one.essence for one in attributes.algorithms]
    return "" if inside == [digest.essence, how.essence] else "other-algorithm"


def _about(certificate: bytes, attributes: _Attributes | None) -> Signature:
    if attributes is None:
        return Signature("bad", "", certificate)
    return Signature("bad", "", certificate, attributes.signed_at, attributes.announced)


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
    signed_at = _only(found, oids.SIGNING_TIME)
    capabilities = _only(found, oids.CAPABILITIES)
    content_type, digest = _only(found, oids.CONTENT_TYPE), _only(found, oids.MESSAGE_DIGEST)
    certificate, algorithms = _only(found, oids.SIGNING_CERTIFICATE_V2), _only(found, oids.ALGORITHM_PROTECTION)
    return _Attributes(
        # The signature goes over the SET, not over the [0] that is sent (RFC 5652 5.4).
        signed=b"\x31" + field.raw[1:],
        content_type=content_type.raw if content_type else None,
        digest=digest.octets() if digest else None,
        signed_at=_read_time(signed_at) if signed_at else None,
        announced=read_capabilities(capabilities) if capabilities else (),
        certificate=_certificate_hash(certificate) if certificate else None,
        algorithms=_algorithms(algorithms) if algorithms else None,
    )


def _only(found: dict[bytes, ber.Element], kind: bytes) -> ber.Element | None:
    values = found.get(kind)
    return values.parts(1, 1)[0] if values else None


def _read_time(element: ber.Element) -> float:
    """UTCTime or GeneralizedTime in the one form that DER has (RFC 5652 11.3)."""
    found = TIME.fullmatch(element.content)
    if found is None or element.tag != (0x17 if found[1] is None else 0x18):
        raise ValueError("not a time")
    year, month, day, hour, minute, second = (int(digits) for digits in found.groups()[1:])
    # Two digits are 1950 to 2049.
    century = int(found[1]) if found[1] else 20 if year < 50 else 19
    return datetime(century * 100 + year, month, day, hour, minute, second, tzinfo=UTC).timestamp()


def _algorithms(attribute: ber.Element) -> tuple[Algorithm, Algorithm]:
    """CMSAlgorithmProtection (RFC 6211 2): the digest, and at [1] the signature."""
    digest, how = attribute.expect(der.SEQUENCE).parts(2, 2)
    return algorithm(digest), algorithm(how.expect(0xA1)._replace(tag=der.SEQUENCE))


def _certificate_hash(attribute: ber.Element) -> bytes | None:
    """ESSCertIDv2 of the signer (RFC 5035 4): its hash if that is SHA-256, which is meant where none is named."""
    signers = attribute.expect(der.SEQUENCE).parts(1, 2)[0].expect(der.SEQUENCE)
    fields = signers.parts(1)[0].expect(der.SEQUENCE).parts(1, 3)
    if fields[0].tag == der.SEQUENCE:
        if algorithm(fields[0]).kind != oids.SHA256:
            return None
        fields = fields[1:]
    if not fields:
        raise NotExamined(detail="CMS: no certificate hash")
    return fields[0].expect(der.OCTETS).content
