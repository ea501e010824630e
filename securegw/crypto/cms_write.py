"""Writes CMS: detached signatures and encrypted contents, its DER by hand.

Not the mail around it (``smime``). What stays the same for a certificate is made once and kept. RFC 5652 5 and 6,
RFC 5083 (AuthEnvelopedData), RFC 5084 (AES-GCM), RFC 5753 (elliptic curves), RFC 5035 (signing certificate),
RFC 8551 2.5.2 (capabilities).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from functools import lru_cache

import attrs
from cryptography.hazmat.primitives import hashes, keywrap, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.x963kdf import X963KDF

from securegw.crypto import der
from securegw.crypto.certificate import load, public_key
from securegw.crypto.identifiers import issuer_and_serial
from securegw.crypto.keyfile import PrivateKey, load_key
from securegw.mail.errors import BadKey, NoProtection

SHA256_ALGORITHM = der.algorithm(der.SHA256)
RSA_ALGORITHM = der.algorithm(der.RSA, der.NULL)
ECDSA_ALGORITHM = der.algorithm(der.ECDSA_SHA256)
WRAP_ALGORITHM = der.algorithm(der.AES256_WRAP)
TAG = 16


def attribute(kind: bytes, value: bytes) -> bytes:
    return der.sequence(kind, der.tlv(der.SET, value))


CONTENT_TYPE = attribute(der.CONTENT_TYPE, der.DATA)
# What we can open, best first (RFC 8551 2.5.2).
CAPABILITIES = attribute(
    der.CAPABILITIES,
    der.sequence(*(der.algorithm(kind) for kind in (der.AES256_GCM, der.AES128_GCM, der.AES256_CBC, der.AES128_CBC))),
)


@attrs.frozen
class _Signer:
    """What a signer's certificate contributes to each of his signatures."""

    identifier: bytes
    certificates: bytes
    certificate_attribute: bytes


@lru_cache(maxsize=1024)
def _signer(certificate: bytes, chain: tuple[bytes, ...]) -> _Signer:
    load(certificate)
    by_hash = der.sequence(der.octets(hashlib.sha256(certificate).digest()))
    return _Signer(
        identifier=issuer_and_serial(certificate),
        certificates=der.tlv(0xA0, *sorted({certificate, *chain})),
        certificate_attribute=attribute(der.SIGNING_CERTIFICATE, der.sequence(der.sequence(by_hash))),
    )


def sign_detached(content: bytes, key_der: bytes, certificate: bytes, chain: Sequence[bytes], at: float) -> bytes:
    """SignedData without the content, over its SHA-256. RSA keys sign by PKCS #1 v1.5, P-256 keys by ECDSA."""
    signer = _signer(certificate, tuple(chain))
    attributes = sorted(
        (
            CONTENT_TYPE,
            CAPABILITIES,
            signer.certificate_attribute,
            attribute(der.SIGNING_TIME, der.time(at)),
            attribute(der.MESSAGE_DIGEST, der.octets(hashlib.sha256(content).digest())),
        )
    )
    # What is signed is the SET; what is sent is the same with the tag [0] (RFC 5652 5.4).
    algorithm, signature = _sign(load_key(key_der), der.tlv(der.SET, *attributes))
    info = der.sequence(
        der.integer(1),
        signer.identifier,
        SHA256_ALGORITHM,
        der.tlv(0xA0, *attributes),
        algorithm,
        der.octets(signature),
    )
    return _content_info(
        der.SIGNED_DATA,
        der.integer(1),
        der.tlv(der.SET, SHA256_ALGORITHM),
        der.sequence(der.DATA),
        signer.certificates,
        der.tlv(der.SET, info),
    )


def _sign(key: PrivateKey, attributes: bytes) -> tuple[bytes, bytes]:
    if isinstance(key, rsa.RSAPrivateKey):
        return RSA_ALGORITHM, key.sign(attributes, padding.PKCS1v15(), hashes.SHA256())
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return ECDSA_ALGORITHM, key.sign(attributes, ec.ECDSA(hashes.SHA256()))
    raise BadKey(detail="this kind of key does not sign mail here")


def encrypt_cbc(content: bytes, certificates: Sequence[bytes]) -> bytes:
    """EnvelopedData with AES-256-CBC, which every S/MIME program opens."""
    key, iv = os.urandom(32), os.urandom(16)
    fill = 16 - len(content) % 16
    cipher = Cipher(algorithms.AES256(key), modes.CBC(iv)).encryptor()
    sealed = cipher.update(content) + cipher.update(bytes((fill,)) * fill) + cipher.finalize()
    version, recipients = _recipients(key, certificates)
    return _content_info(
        der.ENVELOPED_DATA,
        version,
        recipients,
        _encrypted(der.algorithm(der.AES256_CBC, der.octets(iv)), sealed),
    )


def encrypt_gcm(content: bytes, certificates: Sequence[bytes]) -> bytes:
    """AuthEnvelopedData with AES-256-GCM: a change on the way is noticed (RFC 5083, RFC 5084)."""
    key, nonce = os.urandom(32), os.urandom(12)
    sealed = AESGCM(key).encrypt(nonce, content, None)
    _version, recipients = _recipients(key, certificates)
    parameters = der.sequence(der.octets(nonce), der.integer(TAG))
    return _content_info(
        der.AUTH_ENVELOPED_DATA,
        der.integer(0),
        recipients,
        _encrypted(der.algorithm(der.AES256_GCM, parameters), sealed[:-TAG]),
        der.octets(sealed[-TAG:]),
    )


def _content_info(kind: bytes, *parts: bytes) -> bytes:
    return der.sequence(kind, der.tlv(0xA0, der.sequence(*parts)))


def _encrypted(algorithm: bytes, sealed: bytes) -> bytes:
    return der.sequence(der.DATA, algorithm, der.tlv(0x80, sealed))


def _recipients(key: bytes, certificates: Sequence[bytes]) -> tuple[bytes, bytes]:
    """The version of EnvelopedData (RFC 5652 6.1) and the SET of RecipientInfo."""
    if not certificates:
        raise NoProtection(detail="no certificate to encrypt to")
    infos = {certificate: _recipient(key, certificate) for certificate in certificates}
    agreed = any(info[0] == 0xA1 for info in infos.values())
    return der.integer(2 if agreed else 0), der.set_of(*infos.values())


def _recipient(key: bytes, certificate: bytes) -> bytes:
    public = public_key(certificate)
    if isinstance(public, rsa.RSAPublicKey):
        sealed = public.encrypt(key, padding.PKCS1v15())
        return der.sequence(der.integer(0), issuer_and_serial(certificate), RSA_ALGORITHM, der.octets(sealed))
    if isinstance(public, ec.EllipticCurvePublicKey):
        return _agreed_recipient(key, certificate, public)
    raise BadKey(detail="this kind of key cannot be encrypted to")


def _agreed_recipient(key: bytes, certificate: bytes, public: ec.EllipticCurvePublicKey) -> bytes:
    """KeyAgreeRecipientInfo with a key pair for this mail alone (RFC 5753 3.1.1)."""
    once = ec.generate_private_key(public.curve)
    wrapping = agreed_key(once.exchange(ec.ECDH(), public), WRAP_ALGORITHM, 32, hashes.SHA256())
    point = once.public_key().public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
    originator = der.tlv(0xA1, der.algorithm(der.EC_KEY), der.tlv(der.BITS, b"\0", point))
    wrapped = der.octets(keywrap.aes_key_wrap(wrapping, key))
    return der.tlv(
        0xA1,
        der.integer(3),
        der.tlv(0xA0, originator),
        der.algorithm(der.ECDH_SHA256, WRAP_ALGORITHM),
        der.sequence(der.sequence(issuer_and_serial(certificate), wrapped)),
    )


def agreed_key(
    shared: bytes, wrap: bytes, length: int, digest: hashes.HashAlgorithm, ukm: bytes | None = None
) -> bytes:
    """The key that wraps the content's key, from the shared secret (RFC 5753 7.2, ECC-CMS-SharedInfo)."""
    about = der.sequence(
        wrap,
        *([der.tlv(0xA0, der.octets(ukm))] if ukm is not None else []),
        der.tlv(0xA2, der.octets((length * 8).to_bytes(4, "big"))),
    )
    return X963KDF(algorithm=digest, length=length, sharedinfo=about).derive(shared)
