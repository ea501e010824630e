"""A certificate as the gateway sees it: for what it may be used, until when, and for which addresses it speaks.

Not the judgement whether to believe it (``chain``), and not the making of one (``authority``). Everything is read once
for each certificate and kept. RFC 5280 4, RFC 8550 4, RFC 4055 1.2, RFC 8410 (Curve25519, Curve448).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import TypeVar

import attrs
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa, x448, x25519
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, PublicKeyAlgorithmOID

from securegw.crypto import ber, oids
from securegw.crypto import der as encode
from securegw.crypto.certified_addresses import certified_addresses
from securegw.mail.address import Address
from securegw.mail.errors import BadKey, MailError

MOST_BYTES = 65_536
MOST_NAMES = 300  # letters of names by which somebody is found
# How many stay parsed; strangers send some of them, and may send large ones.
KEPT = 1_024
SHORTEST_RSA, SHORTEST_CURVE = 2048, 224
MAIL_USES = {ExtendedKeyUsageOID.EMAIL_PROTECTION, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE}

PublicKey = (
    rsa.RSAPublicKey
    | ec.EllipticCurvePublicKey
    | ed25519.Ed25519PublicKey
    | ed448.Ed448PublicKey
    | x25519.X25519PublicKey
    | x448.X448PublicKey
)
SIGNING_KEYS = (
    rsa.RSAPublicKey,
    ec.EllipticCurvePublicKey,
    ed25519.Ed25519PublicKey,
    ed448.Ed448PublicKey,
)
AGREEING_KEYS = (ec.EllipticCurvePublicKey, x25519.X25519PublicKey, x448.X448PublicKey)
# RFC 4055 1.2: keys that are bound to one scheme.
PSS_ONLY = PublicKeyAlgorithmOID.RSASSA_PSS
OAEP_ONLY = x509.ObjectIdentifier("1.2.840.113549.1.1.7")
# What the library says about certificates that are none; it reads some of their parts only when they are asked for.
ODD = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)
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


@lru_cache(maxsize=KEPT)
def read_certificate(der: bytes) -> Certificate:
    """Raises BadKey for anything that is not one whole X.509 certificate."""
    parsed = load(der)
    try:
        return _describe(der, parsed)
    except (*ODD, MailError) as problem:
        raise BadKey(detail=f"certificate: {problem}") from None


@lru_cache(maxsize=KEPT)
def load(der: bytes) -> x509.Certificate:
    if len(der) > MOST_BYTES:
        raise BadKey(detail="certificate: too large")
    try:
        return x509.load_der_x509_certificate(der)
    except ODD as problem:
        raise BadKey(detail=f"certificate: {problem}") from None


@lru_cache(maxsize=KEPT)
def public_key(der: bytes) -> PublicKey:
    """The key inside; parsed once, since it is used for each mail."""
    parsed = load(der)
    try:
        key = _oaep_key(der) if parsed.public_key_algorithm_oid == OAEP_ONLY else parsed.public_key()
    except Exception as problem:  # the library has many ways to say that it does not know a kind of key
        raise BadKey(detail=f"public key: {problem}") from None
    if not isinstance(key, PublicKey):
        raise BadKey(detail=f"public key of an unknown kind: {type(key).__name__}")
    return key


def _oaep_key(der: bytes) -> object:
    """A key that is bound to OAEP; the library knows it under its general name only (RFC 4055 4)."""
    fields = ber.whole(der).parts(3)[0].parts(6)
    spki = fields[6 if fields[0].tag == 0xA0 else 5]
    bits = spki.parts(2, 2)[1].expect(encode.BITS)
    return serialization.load_der_public_key(encode.sequence(encode.algorithm(oids.RSA, encode.NULL), bits.raw))


def bound_to(der: bytes) -> str:
    """The one scheme in which the key of the certificate may be used: pss, oaep, or an empty word for any."""
    kind = load(der).public_key_algorithm_oid
    return "pss" if kind == PSS_ONLY else "oaep" if kind == OAEP_ONLY else ""


def names_of(der: bytes) -> tuple[str, str, str]:
    """Common name, given name and surname in the subject."""
    subject = load(der).subject
    found = [subject.get_attributes_for_oid(oid) for oid in (NameOID.COMMON_NAME, NameOID.GIVEN_NAME, NameOID.SURNAME)]
    common, given, surname = (str(one[0].value) if one else "" for one in found)
    return common, given, surname


def found_by(der: bytes) -> str:
    """These names as somebody searches for them: small letters, single blanks, each on a line; none if unreadable."""
    try:
        folded = [_folded(name) for name in names_of(der)]
    except (ValueError, MailError):  # a stranger has written them
        return ""
    return "\n".join(dict.fromkeys(name for name in folded if name))[:MOST_NAMES]


def _folded(name: str) -> str:
    return " ".join("".join(letter if letter.isprintable() else " " for letter in name).lower().split())


def key_in(der: bytes) -> bytes:
    """The public key inside as bytes, to compare two certificates."""
    return public_key(der).public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def read_certificates(pem_or_der: bytes) -> list[Certificate]:
    """All certificates of a file: PEM (text around them is ignored) or one in DER."""
    if b"-----BEGIN " not in pem_or_der:
        return [read_certificate(pem_or_der)]
    try:
        found = x509.load_pem_x509_certificates(pem_or_der)
    except ODD as problem:
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
        addresses=certified_addresses(parsed),
        subject=parsed.subject.rfc4514_string(),
        issuer=parsed.issuer.rfc4514_string(),
        serial=parsed.serial_number,
        not_before=parsed.not_valid_before_utc.timestamp(),
        not_after=parsed.not_valid_after_utc.timestamp(),
        key_kind=kind_of(key),
        is_ca=is_ca,
        may_sign=for_mail and bound_to(der) != "oaep" and _signs(key, usage),
        may_encrypt=for_mail and bound_to(der) != "pss" and _takes_keys(key, usage),
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
    return next((word for word, kinds in FIXED_KINDS.items() if isinstance(key, kinds)), "unknown")


FIXED_KINDS: Mapping[str, tuple[type, ...]] = MappingProxyType(
    {
        "ed25519": (ed25519.Ed25519PublicKey, ed25519.Ed25519PrivateKey),
        "ed448": (ed448.Ed448PublicKey, ed448.Ed448PrivateKey),
        "x25519": (x25519.X25519PublicKey, x25519.X25519PrivateKey),
        "x448": (x448.X448PublicKey, x448.X448PrivateKey),
    }
)


def _signs(key: PublicKey | None, usage: x509.KeyUsage | None) -> bool:
    if key is not None and not isinstance(key, SIGNING_KEYS):
        return False
    return usage is None or usage.digital_signature or usage.content_commitment


def _takes_keys(key: PublicKey | None, usage: x509.KeyUsage | None) -> bool:
    """RFC 8550 4.4.2: RSA transports a key, an elliptic curve agrees on one."""
    if isinstance(key, rsa.RSAPublicKey):
        return key.key_size >= SHORTEST_RSA and (usage is None or usage.key_encipherment)
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.key_size < SHORTEST_CURVE:
        return False
    return isinstance(key, AGREEING_KEYS) and (usage is None or usage.key_agreement)


def _for_mail(parsed: x509.Certificate) -> bool:
    """RFC 8550 4.4.4: without extended uses any use is allowed, else mail must be among them."""
    uses = _extension(parsed, x509.ExtendedKeyUsage)
    return uses is None or not MAIL_USES.isdisjoint(uses)


def _extension(parsed: x509.Certificate, kind: type[E]) -> E | None:
    try:
        return parsed.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None
