"""CMS in shapes that we never write ourselves: built by hand for the tests."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Sequence

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from securegw.crypto import ber, der, oids
from securegw.crypto.authority import key_bytes, make_key
from securegw.crypto.certificate import public_key
from securegw.crypto.entity import base64_lines
from securegw.crypto.identifiers import issuer_and_serial
from securegw.crypto.keyfile import load_key
from tests.crypto.people import NOW, Authority


def content_info(kind: bytes, content: bytes) -> bytes:
    return der.sequence(kind, der.tlv(0xA0, content))


def compressed(content: bytes, *, packed: bytes | None = None, how: bytes = oids.ZLIB) -> bytes:
    """CompressedData (RFC 3274); ``packed`` if it shall not be what zlib makes of the content."""
    text = zlib.compress(content) if packed is None else packed
    inside = der.sequence(oids.DATA, der.tlv(0xA0, der.octets(text)))
    return content_info(oids.COMPRESSED_DATA, der.sequence(der.integer(0), der.algorithm(how), inside))


def undetermined(tag: int, *parts: bytes) -> bytes:
    """A value that does not say how long it is (X.690 8.1.3.6)."""
    return bytes((tag, 0x80)) + b"".join(parts) + b"\0\0"


def in_pieces(tag: int, content: bytes, size: int) -> bytes:
    """A string in pieces of told length within one of untold length, as streaming programs write it."""
    return undetermined(tag, *(der.octets(content[at : at + size]) for at in range(0, len(content), size)))


# Mails around CMS

HEADER = b"From: ann@inside.test\r\nTo: bob@outside.test\r\nSubject: outer\r\nMIME-Version: 1.0\r\n"
ENTITY = b"Content-Type: text/plain\r\n\r\nThe blood count is fine.\r\n"


def cms_mail(cms: bytes, header: bytes = HEADER) -> bytes:
    """A mail that is CMS and nothing else, without a word about its kind."""
    fields = b"Content-Type: application/pkcs7-mime; name=smime.p7m\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    return header + fields + base64_lines(cms)


def beside(cms: bytes, entity: bytes = ENTITY, header: bytes = HEADER, boundary: bytes = b"b") -> bytes:
    """A mail with its signature beside it."""
    return (
        header
        + b'Content-Type: multipart/signed; protocol="application/pkcs7-signature"; micalg=sha-256; boundary='
        + boundary
        + b"\r\n\r\n--"
        + boundary
        + b"\r\n"
        + entity
        + b"\r\n--"
        + boundary
        + b"\r\nContent-Type: application/pkcs7-signature\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        + base64_lines(cms)
        + b"--"
        + boundary
        + b"--\r\n"
    )


# SignedData

SHA256 = der.algorithm(oids.SHA256)
RSA_SHA256 = der.algorithm(oids.RSA_SHA256, der.NULL)


def attribute(kind: bytes, *values: bytes) -> bytes:
    return der.sequence(kind, der.tlv(der.SET, *values))


def usual_attributes(entity: bytes = ENTITY) -> tuple[bytes, bytes]:
    digest = hashlib.sha256(entity).digest()
    return attribute(oids.CONTENT_TYPE, oids.DATA), attribute(oids.MESSAGE_DIGEST, der.octets(digest))


def signer_info(
    key: bytes,
    certificate: bytes,
    *attributes: bytes,
    digest: bytes = SHA256,
    how: bytes = RSA_SHA256,
    over: bytes | None = None,
    value: bytes | None = None,
) -> bytes:
    """A SignerInfo with just these attributes, its RSA signature always right for what it is over."""
    signed = der.tlv(der.SET, *attributes) if over is None else over
    if value is None:
        private = load_key(key)
        assert isinstance(private, rsa.RSAPrivateKey)
        value = private.sign(signed, padding.PKCS1v15(), hashes.SHA256())
    return der.sequence(
        der.integer(1),
        issuer_and_serial(certificate),
        digest,
        *([der.tlv(0xA0, *attributes)] if attributes else []),
        how,
        der.octets(value),
    )


def signed_data(
    *infos: bytes,
    certificates: Sequence[bytes] = (),
    content: bytes | None = None,
    digests: bytes | None = None,
    kind: bytes = oids.DATA,
) -> bytes:
    inside = [der.tlv(0xA0, der.octets(content))] if content is not None else []
    body = der.sequence(
        der.integer(1),
        der.tlv(der.SET, SHA256 if digests is None else digests),
        der.sequence(kind, *inside),
        *([der.tlv(0xA0, *certificates)] if certificates else []),
        der.tlv(der.SET, *infos),
    )
    return content_info(oids.SIGNED_DATA, body)


# Certificates

ECDSA = der.algorithm(oids.ECDSA_SHA256)
MAIL_USE = der.oid("1.3.6.1.5.5.7.3.4")
SERVER_USE = der.oid("1.3.6.1.5.5.7.3.1")


def extension(dotted: str, value: bytes, *, critical: bool = False) -> bytes:
    flag = [b"\x01\x01\xff"] if critical else []
    return der.sequence(der.oid(dotted), *flag, der.octets(value))


def mailbox(text: bytes) -> bytes:
    """The name rfc822Name, whatever is in it."""
    return der.tlv(0x81, text)


def utf8_mailbox(text: str) -> bytes:
    """The name SmtpUTF8Mailbox (RFC 9598)."""
    value = der.tlv(0xA0, der.tlv(0x0C, text.encode()))
    return der.tlv(0xA0, der.oid("1.3.6.1.5.5.7.8.9"), value)


def common_name(text: str) -> bytes:
    return der.sequence(der.tlv(der.SET, der.sequence(der.oid("2.5.4.3"), der.tlv(0x0C, text.encode()))))


def rsa_spki(modulus: int, exponent: int) -> bytes:
    key = der.sequence(der.integer(modulus), der.integer(exponent))
    return der.sequence(der.algorithm(oids.RSA, der.NULL), der.tlv(der.BITS, b"\0", key))


def certificate(
    issuer: Authority,
    spki: bytes,
    *names: bytes,
    subject: bytes | None = None,
    uses: Sequence[bytes] = (MAIL_USE,),
    key_usage: int = 0b10100000,
    authority: bytes | None = None,
    more: Sequence[bytes] = (),
    since: float = NOW - 86_400,
    until: float = NOW + 300 * 86_400,
    serial: int = 77,
    issuer_name: bytes | None = None,
) -> bytes:
    """A certificate with just these names and uses, signed by an authority whose key is on P-256.

    ``authority`` is the content of BasicConstraints; without it this is an end certificate.
    """
    extensions = [
        extension("2.5.29.19", der.sequence() if authority is None else authority, critical=True),
        extension("2.5.29.15", der.tlv(der.BITS, b"\0", bytes((key_usage,))), critical=True),
        *([extension("2.5.29.37", der.sequence(*uses))] if uses else []),
        *([extension("2.5.29.17", der.sequence(*names))] if names else []),
        *more,
    ]
    tbs = der.sequence(
        der.tlv(0xA0, der.integer(2)),
        der.integer(serial),
        ECDSA,
        subject_of(issuer.der) if issuer_name is None else issuer_name,
        der.sequence(der.time(since), der.time(until)),
        common_name("somebody") if subject is None else subject,
        spki,
        der.tlv(0xA3, der.sequence(*extensions)),
    )
    private = load_key(issuer.key)
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    return der.sequence(tbs, ECDSA, der.tlv(der.BITS, b"\0", private.sign(tbs, ec.ECDSA(hashes.SHA256()))))


def subject_of(certificate: bytes) -> bytes:
    return ber.whole(certificate).parts(3)[0].parts(6)[5].raw


CERTIFIES, ANY_DEPTH = 0b00000110, b"\x30\x03\x01\x01\xff"


def root(name: str) -> Authority:
    """An authority that may have others below it."""
    key, subject = make_key("p-256"), common_name(name)
    spki = key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    maker = Authority(key_bytes(key), b"")
    own = certificate(
        maker, spki, subject=subject, issuer_name=subject, uses=(), key_usage=CERTIFIES, authority=ANY_DEPTH
    )
    return Authority(maker.key, own)


def below(issuer: Authority, name: str, *, basic: bytes = ANY_DEPTH, more: Sequence[bytes] = ()) -> Authority:
    """An authority below another one."""
    made = root(name)
    link = certificate(
        issuer,
        spki_of(made.der),
        subject=subject_of(made.der),
        uses=(),
        key_usage=CERTIFIES,
        authority=basic,
        more=more,
    )
    return Authority(made.key, link)


def only_for(*domains: bytes) -> bytes:
    """Name constraints: mail addresses of these hosts alone (RFC 5280 4.2.1.10)."""
    trees = [der.sequence(der.tlv(0x81, domain)) for domain in domains]
    return extension("2.5.29.30", der.sequence(der.tlv(0xA0, *trees)), critical=True)


def spki_of(certificate: bytes) -> bytes:
    return public_key(certificate).public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
