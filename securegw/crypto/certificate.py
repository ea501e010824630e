"""A certificate as the gateway sees it: for which addresses it speaks, for what it may be used, until when.

Not the judgement whether to believe it (``chain``), and not the making of one (``authority``). Everything is read once
for each certificate and kept. RFC 5280 4, RFC 8550 3 (which name is an address), RFC 8551 2.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import TypeVar

import attrs
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from securegw.mail.address import Address, parse_address
from securegw.mail.errors import BadAddress, BadKey

MOST_BYTES = 65_536
MOST_ADDRESSES = 100
SHORTEST_RSA = 2048
MAIL_USES = {ExtendedKeyUsageOID.EMAIL_PROTECTION, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE}

PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | ed448.Ed448PublicKey
E = TypeVar("E", bound=x509.ExtensionType)


@attrs.frozen
class Certificate:
    """``addresses`` are exact (RFC 5280 7.5): local part as it stands, domain folded. Times are Unix seconds."""

    der: bytes = attrs.field(repr=False)
    fingerprint: str
    addresses: tuple[str, ...]
    subject: str
    issuer: str
    serial: int
    not_before: float
    not_after: float
    key_kind: str
    is_ca: bool
    may_sign: bool
    may_encrypt: bool


@lru_cache(maxsize=4096)
def read_certificate(der: bytes) -> Certificate:
    """Raises BadKey for anything that is not one whole X.509 certificate."""
    parsed = load(der)
    try:
        return _describe(der, parsed)
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as problem:
        raise BadKey(detail=f"certificate: {problem}") from None


@lru_cache(maxsize=4096)
def load(der: bytes) -> x509.Certificate:
    if len(der) > MOST_BYTES:
        raise BadKey(detail="certificate: too large")
    try:
        return x509.load_der_x509_certificate(der)
    except (ValueError, TypeError) as problem:
        raise BadKey(detail=f"certificate: {problem}") from None


@lru_cache(maxsize=4096)
def public_key(der: bytes) -> PublicKey:
    """The key inside; parsed once, since it is used for each mail."""
    try:
        key = load(der).public_key()
    except Exception as problem:  # the library has many ways to say that it does not know a kind of key
        raise BadKey(detail=f"public key: {problem}") from None
    if not isinstance(key, PublicKey):
        raise BadKey(detail=f"public key of an unknown kind: {type(key).__name__}")
    return key


def key_in(der: bytes) -> bytes:
    """The public key inside as bytes, to compare two certificates."""
    return public_key(der).public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def read_certificates(pem_or_der: bytes) -> list[Certificate]:
    """All certificates of a file: PEM (text around them is ignored) or one in DER."""
    if b"-----BEGIN " not in pem_or_der:
        return [read_certificate(pem_or_der)]
    try:
        found = x509.load_pem_x509_certificates(pem_or_der)
    except ValueError as problem:
        raise BadKey(detail=f"PEM: {problem}") from None
    return [read_certificate(one.public_bytes(serialization.Encoding.DER)) for one in found]


def speaks_for(certificate: Certificate, address: Address) -> bool:
    """True only if the certificate names exactly this address; nothing is trimmed, decoded or guessed."""
    return str(address) in certificate.addresses


def issued_by(der: bytes, authority: bytes) -> bool:
    """Whether one certificate was signed with the key of another, and bears its name."""
    try:
        load(der).verify_directly_issued_by(load(authority))
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _describe(der: bytes, parsed: x509.Certificate) -> Certificate:
    key = _known_key(der)
    basic = _extension(parsed, x509.BasicConstraints)
    usage = _extension(parsed, x509.KeyUsage)
    is_ca = basic is not None and basic.ca
    for_mail = _for_mail(parsed) and not is_ca
    return Certificate(
        der=der,
        fingerprint=parsed.fingerprint(hashes.SHA256()).hex(),
        addresses=_addresses(parsed),
        subject=parsed.subject.rfc4514_string(),
        issuer=parsed.issuer.rfc4514_string(),
        serial=parsed.serial_number,
        not_before=parsed.not_valid_before_utc.timestamp(),
        not_after=parsed.not_valid_after_utc.timestamp(),
        key_kind=kind_of(key),
        is_ca=is_ca,
        may_sign=for_mail and (usage is None or usage.digital_signature or usage.content_commitment),
        may_encrypt=for_mail and _takes_keys(key, usage),
    )


def _known_key(der: bytes) -> PublicKey | None:
    try:
        return public_key(der)
    except BadKey:
        return None


def kind_of(key: object) -> str:
    """One word: rsa-2048, p-256, ed25519; "unknown" for a key that we cannot use."""
    if isinstance(key, rsa.RSAPublicKey | rsa.RSAPrivateKey):
        return f"rsa-{key.key_size}"
    if isinstance(key, ec.EllipticCurvePublicKey | ec.EllipticCurvePrivateKey):
        name = key.curve.name
        return f"p-{key.curve.key_size}" if name.startswith("secp") and name.endswith("r1") else name
    if isinstance(key, ed25519.Ed25519PublicKey | ed25519.Ed25519PrivateKey):
        return "ed25519"
    return "ed448" if isinstance(key, ed448.Ed448PublicKey | ed448.Ed448PrivateKey) else "unknown"


def _takes_keys(key: PublicKey | None, usage: x509.KeyUsage | None) -> bool:
    """RFC 8550 4.4.2: RSA transports a key, an elliptic curve agrees on one."""
    if isinstance(key, rsa.RSAPublicKey):
        return key.key_size >= SHORTEST_RSA and (usage is None or usage.key_encipherment)
    if isinstance(key, ec.EllipticCurvePublicKey):
        return usage is None or usage.key_agreement
    return False


def _for_mail(parsed: x509.Certificate) -> bool:
    """RFC 8550 4.4.4: without extended uses any use is allowed, else mail must be among them."""
    uses = _extension(parsed, x509.ExtendedKeyUsage)
    return uses is None or not MAIL_USES.isdisjoint(uses)


def _addresses(parsed: x509.Certificate) -> tuple[str, ...]:
    """The subjectAltName decides; the old emailAddress counts only where there is none (RFC 8550 3)."""
    names = _extension(parsed, x509.SubjectAlternativeName)
    if names is not None:
        found = names.get_values_for_type(x509.RFC822Name)
    else:
        found = [str(one.value) for one in parsed.subject.get_attributes_for_oid(NameOID.EMAIL_ADDRESS)]
    if len(found) > MOST_ADDRESSES:
        return ()
    return tuple(_strict(found))


def _strict(texts: Iterable[str]) -> Iterable[str]:
    for text in texts:
        try:
            yield str(parse_address(text))
        except BadAddress:
            continue


def _extension(parsed: x509.Certificate, kind: type[E]) -> E | None:
    try:
        return parsed.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None
