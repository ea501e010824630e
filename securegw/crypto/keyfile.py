"""Reads and writes the files in which keys travel: PEM, PKCS #8 and PKCS #12.

Not the store: there private keys lie sealed. RFC 5958, RFC 7292, RFC 7468.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from functools import lru_cache

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa, x448, x25519
from cryptography.hazmat.primitives.serialization import pkcs12

from securegw.crypto.certificate import Certificate, load, public_key, read_certificate
from securegw.crypto.key_bags import keys_in
from securegw.mail.errors import BadKey

SigningKey = (
    rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey
)
PrivateKey = SigningKey | x25519.X25519PrivateKey | x448.X448PrivateKey
DER = serialization.Encoding.DER


@lru_cache(maxsize=256)
def load_key(key_der: bytes) -> PrivateKey:
    """The parsed private key; parsing and checking RSA takes as long as using it, so it is kept."""
    try:
        key = serialization.load_der_private_key(key_der, None)
    except Exception as problem:  # wrong form, wrong kind, encrypted: the library has an error for each
        raise BadKey(detail=f"private key: {type(problem).__name__}") from None
    return _usable(key)


def load_signing_key(key_der: bytes) -> SigningKey:
    """The same for what only signs; raises BadKey for a key that can merely agree on another one."""
    key = load_key(key_der)
    if not isinstance(key, SigningKey):
        raise BadKey("This kind of key cannot sign.")
    return key


def read_private_key(data: bytes, password: bytes | None = None) -> bytes:
    """A PEM or DER private key as PKCS #8 in DER."""
    read = serialization.load_pem_private_key if b"-----BEGIN " in data else serialization.load_der_private_key
    try:
        key = read(data, password)
    except TypeError:
        raise BadKey("The key file needs a password." if not password else "It has no password.") from None
    except Exception as problem:
        raise BadKey(detail=f"private key: {type(problem).__name__}") from None
    return key_bytes(_usable(key))


def key_bytes(key: PrivateKey) -> bytes:
    return key.private_bytes(DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def read_pkcs12(data: bytes, password: str | None) -> tuple[bytes, Certificate, tuple[Certificate, ...]]:
    """The private key (PKCS #8), its certificate, and the others of the file."""
    try:
        key, certificate, others = pkcs12.load_key_and_certificates(data, (password or "").encode() or None)
    except Exception as problem:
        raise BadKey(
            "The PKCS #12 file cannot be opened: damaged, or another password.", detail=type(problem).__name__
        ) from None
    if key is None or certificate is None:
        raise BadKey("The PKCS #12 file must hold a private key and its certificate.")
    key_der, der = key_bytes(_usable(key)), certificate.public_bytes(DER)
    if not fits(key_der, der):
        raise BadKey("The private key in the PKCS #12 file does not belong to its certificate.")
    return key_der, read_certificate(der), tuple(read_certificate(one.public_bytes(DER)) for one in others)


def pairs_in_pkcs12(data: bytes, password: str | None) -> dict[bytes, bytes]:
    """All private keys of a file that ``read_pkcs12`` has read, each under its certificate (DER)."""
    key, own, others = read_pkcs12(data, password)
    found = {own.der: key}
    for one in map(key_bytes, map(_usable, keys_in(data, password))):
        found |= {each.der: one for each in others if fits(one, each.der)}
    return found


def write_pkcs12(key_der: bytes, der: bytes, chain: Sequence[bytes], *, name: str, password: str) -> bytes:
    """AES-256 and PBKDF2, which every mail program of the last ten years reads."""
    if not password:
        raise BadKey("A PKCS #12 file needs a password.")
    key = load_key(key_der)
    if isinstance(key, x25519.X25519PrivateKey | x448.X448PrivateKey):
        raise BadKey("A key of this kind does not go into a PKCS #12 file.")
    return pkcs12.serialize_key_and_certificates(
        name.encode(),
        key,
        load(der),
        [load(one) for one in chain],
        serialization.BestAvailableEncryption(password.encode()),
    )


def fits(key_der: bytes, der: bytes) -> bool:
    """True if the private key is the one of the certificate."""
    ours, theirs = load_key(key_der).public_key(), public_key(der)
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return hmac.compare_digest(ours.public_bytes(DER, form), theirs.public_bytes(DER, form))


def _usable(key: object) -> PrivateKey:
    if not isinstance(key, PrivateKey):
        raise BadKey(detail=f"private key of an unknown kind: {type(key).__name__}")
    return key
