"""Keys for a content, wrapped by a key on which both sides agree: KeyAgreeRecipientInfo, written and opened.

RFC 5652 6.2.2, RFC 5753 3 and 7 (elliptic curves), RFC 8418 (X25519, X448). The sender's half is a key pair for one
mail alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import attrs
from cryptography.hazmat.primitives import hashes, keywrap, serialization
from cryptography.hazmat.primitives.asymmetric import ec, x448, x25519
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.x963kdf import X963KDF

from securegw.crypto import ber, der, oids
from securegw.crypto.algorithms import Algorithm, algorithm
from securegw.crypto.certificate import PublicKey
from securegw.crypto.identifiers import issuer_and_serial
from securegw.crypto.keyfile import PrivateKey
from securegw.mail.errors import BadKey, NotExamined, SealBroken

WRAPS: Mapping[bytes, int] = MappingProxyType({oids.AES128_WRAP: 16, oids.AES192_WRAP: 24, oids.AES256_WRAP: 32})
_SHA1 = hashes.SHA1()  # noqa: S303 - only to derive a key, where collisions do not matter

Derive = Callable[[bytes, bytes, int, bytes | None], bytes]


def _x963(digest: hashes.HashAlgorithm) -> Derive:
    """RFC 5753 7.2: the keying material of the sender stands in the shared information alone."""
    return lambda shared, about, length, _: X963KDF(digest, length, about).derive(shared)


def _hkdf(digest: hashes.HashAlgorithm) -> Derive:
    """RFC 8418 2.2: the keying material of the sender is the salt as well."""
    return lambda shared, about, length, ukm: HKDF(digest, length, ukm, about).derive(shared)


# The curves that we know have the cofactor 1, so both forms of agreement come to the same.
AGREEMENTS: Mapping[bytes, Derive] = MappingProxyType(
    {
        oids.ECDH_SHA1: _x963(_SHA1),
        oids.ECDH_SHA256: _x963(hashes.SHA256()),
        oids.ECDH_SHA384: _x963(hashes.SHA384()),
        oids.ECDH_SHA512: _x963(hashes.SHA512()),
        oids.COFACTOR_SHA1: _x963(_SHA1),
        oids.COFACTOR_SHA256: _x963(hashes.SHA256()),
        oids.COFACTOR_SHA384: _x963(hashes.SHA384()),
        oids.COFACTOR_SHA512: _x963(hashes.SHA512()),
        oids.HKDF_SHA256: _hkdf(hashes.SHA256()),
        oids.HKDF_SHA384: _hkdf(hashes.SHA384()),
        oids.HKDF_SHA512: _hkdf(hashes.SHA512()),
    }
)



@attrs.frozen
class Agreement:
    """A way to agree on a key as it is written: how the key is derived, and the wrap of the content's key."""

    derive: bytes
    wrap: bytes = oids.AES256_WRAP

    @property
    def identifier(self) -> bytes:
        return der.algorithm(self.derive, der.algorithm(self.wrap))


@attrs.frozen
class Curve:
    """A family of curves: how a sender's key is made, written, read again, and used with the other half.

    ``best`` derives a key as it fits the size of the curve, ``takes`` are all ways that we write for the family.
    """

    private: type
    public: type
    best: Callable[[Any], bytes]
    takes: tuple[bytes, ...]
    make: Callable[[Any], Any]
    key_identifier: bytes
    write: Callable[[Any], bytes]
    read: Callable[[Any, bytes], Any]
    exchange: Callable[[Any, Any], bytes]


# What is written; RFC 8418 2 has both for its two curves, RFC 5753 7 only the older one for the others.
X963 = (oids.ECDH_SHA256, oids.ECDH_SHA384, oids.ECDH_SHA512)
HKDFS = (oids.HKDF_SHA256, oids.HKDF_SHA384, oids.HKDF_SHA512)
# The digest that fits the size of the curve (RFC 5753 8).
BY_SIZE = ((256, oids.ECDH_SHA256), (384, oids.ECDH_SHA384), (521, oids.ECDH_SHA512))


def _fitting(public: ec.EllipticCurvePublicKey) -> bytes:
    size = public.curve.key_size
    return next((agreement for most, agreement in BY_SIZE if size <= most), oids.ECDH_SHA512)


def _write_point(public: ec.EllipticCurvePublicKey) -> bytes:
    return public.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)


def _write_raw(public: x25519.X25519PublicKey | x448.X448PublicKey) -> bytes:
    return public.public_bytes_raw()


CURVES = (
    Curve(
        ec.EllipticCurvePrivateKey,
        ec.EllipticCurvePublicKey,
        _fitting,
        X963,
        lambda public: ec.generate_private_key(public.curve),
        # RFC 5753 3.1.1: the curve is that of the recipient's certificate and need not be named again.
        der.algorithm(oids.EC_KEY),
        _write_point,
        lambda private, point: ec.EllipticCurvePublicKey.from_encoded_point(private.curve, point),
        lambda private, public: private.exchange(ec.ECDH(), public),
    ),
    Curve(
        x25519.X25519PrivateKey,
        x25519.X25519PublicKey,
        lambda _: oids.HKDF_SHA256,
        (*HKDFS, *X963),
        lambda _: x25519.X25519PrivateKey.generate(),
        der.algorithm(oids.X25519),
        _write_raw,
        lambda _, raw: x25519.X25519PublicKey.from_public_bytes(raw),
        lambda private, public: private.exchange(public),
    ),
    Curve(
        x448.X448PrivateKey,
        x448.X448PublicKey,
        lambda _: oids.HKDF_SHA512,
        (*HKDFS, *X963),
        lambda _: x448.X448PrivateKey.generate(),
        der.algorithm(oids.X448),
        _write_raw,
        lambda _, raw: x448.X448PublicKey.from_public_bytes(raw),
        lambda private, public: private.exchange(public),
    ),
)


def agree(certificate: bytes, public: PublicKey, agreement: Agreement, key: bytes) -> bytes:
    """The RecipientInfo with a key pair for this mail alone (RFC 5753 3.1.1); raises BadKey for other kinds of key."""
    curve = _curve_of(public)
    once, wrap = curve.make(public), der.algorithm(agreement.wrap)
    wrapping = agreed_key(curve.exchange(once, public), agreement.derive, wrap, WRAPS[agreement.wrap])
    originator = der.tlv(0xA1, curve.key_identifier, der.tlv(der.BITS, b"\0", curve.write(once.public_key())))
    wrapped = der.octets(keywrap.aes_key_wrap(wrapping, key))
    return der.tlv(
        0xA1,
        der.integer(3),
        der.tlv(0xA0, originator),
        agreement.identifier,
        der.sequence(der.sequence(issuer_and_serial(certificate), wrapped)),
    )


def default_agreement(public: PublicKey) -> Agreement:
    """How a key is agreed on with an owner of this one of whom nothing is known; raises BadKey if it agrees on none."""
    return Agreement(_curve_of(public).best(public))


def takes(public: PublicKey, agreement: Agreement) -> bool:
    """Whether a key can be agreed on with the owner of this one in this way."""
    return agreement.derive in _curve_of(public).takes


def _curve_of(public: PublicKey) -> Curve:
    found = next((one for one in CURVES if isinstance(public, one.public)), None)
    if found is None:
        raise BadKey(detail="this kind of key cannot be encrypted to")
    return found


def agreed_key(shared: bytes, agreement: bytes, wrap: bytes, length: int, ukm: bytes | None = None) -> bytes:
    """The key that wraps the content's key, from the shared secret (RFC 5753 7.2, ECC-CMS-SharedInfo)."""
    about = der.sequence(
        wrap,
        *([der.tlv(0xA0, der.octets(ukm))] if ukm is not None else []),
        der.tlv(0xA2, der.octets((length * 8).to_bytes(4, "big"))),
    )
    return AGREEMENTS[agreement](shared, about, length, ukm)


@attrs.frozen
class Agreed:
    """A KeyAgreeRecipientInfo as it came: the sender's half, his keying material, how, and a wrapped key for each."""

    originator: ber.Element
    ukm: bytes | None
    how: Algorithm
    sealed_keys: ber.Element


def read_agreed(info: ber.Element) -> Agreed:
    _version, originator, *others = info.parts(4, 5)
    ukm = others[0].parts(1, 1)[0].octets() if others[0].tag == 0xA1 else None
    return Agreed(originator, ukm, algorithm(others[-2]), others[-1])


def unwrap(agreed: Agreed, wrapped: bytes, private: PrivateKey, length: int) -> bytes:
    """The content's key. Raises SealBroken if the sender's half is none or the wrapping does not fit."""
    wrap = agreed.how.needed(der.SEQUENCE)
    size = WRAPS.get(algorithm(wrap).kind)
    curve = next((one for one in CURVES if isinstance(private, one.private)), None)
    if size is None or agreed.how.kind not in AGREEMENTS or curve is None:
        raise NotExamined(detail="CMS: unknown key agreement")
    try:
        public = curve.read(private, _sender_key(agreed.originator))
        shared = curve.exchange(private, public)
        wrapping = agreed_key(shared, agreed.how.kind, wrap.raw, size, agreed.ukm)
        key = keywrap.aes_key_unwrap(wrapping, wrapped)
    except (ValueError, keywrap.InvalidUnwrap):  # not on our curve, of small order, or not wrapped by this
        raise SealBroken from None
    if len(key) != length:
        raise SealBroken
    return key


def _sender_key(originator: ber.Element) -> bytes:
    """The sender's public key for this mail alone (OriginatorPublicKey)."""
    [key] = originator.expect(0xA0).parts(1, 1)
    _algorithm, bits = key.expect(0xA1).parts(2, 2)
    return bits.expect(der.BITS).content[1:]
