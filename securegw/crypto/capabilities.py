"""What a mail program says that it can open, read and written: the attribute SMIMECapabilities.

Only a wish: nothing here is trusted before the signature over it is good and its signer is known. RFC 8551 2.5.2,
RFC 5084 3 (AES-GCM), RFC 3560 5 (RSA-OAEP), RFC 5753 7.2 and RFC 8418 5 (elliptic curves).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from functools import lru_cache
from types import MappingProxyType

from cryptography.hazmat.primitives.asymmetric import rsa

from securegw.crypto import ber, der, oids
from securegw.crypto.algorithms import Algorithm, algorithm, digest_of
from securegw.crypto.certificate import public_key, read_certificate
from securegw.crypto.key_agreement import Agreement, default_agreement
from securegw.crypto.key_transport import OAEP_IDENTIFIER
from securegw.mail.errors import BadKey, NotExamined

MOST, MOST_BYTES = 64, 4_096
OAEP = "rsa-oaep"
WORDS: Mapping[bytes, str] = MappingProxyType(
    {
        oids.AES256_GCM: "aes-256-gcm",
        oids.AES128_GCM: "aes-128-gcm",
        oids.AES256_CBC: "aes-256-cbc",
        oids.AES128_CBC: "aes-128-cbc",
        oids.DES3_CBC: "3des-cbc",
        oids.CHACHA20_POLY1305: "chacha20-poly1305",
        oids.RSA_OAEP: OAEP,
    }
)
DERIVES: Mapping[bytes, str] = MappingProxyType(
    {
        oids.ECDH_SHA256: "ecdh-sha256",
        oids.ECDH_SHA384: "ecdh-sha384",
        oids.ECDH_SHA512: "ecdh-sha512",
        oids.HKDF_SHA256: "hkdf-sha256",
        oids.HKDF_SHA384: "hkdf-sha384",
        oids.HKDF_SHA512: "hkdf-sha512",
    }
)
# The wrap stands behind the agreement, but for the one that is meant where nothing stands.
WRAPS: Mapping[bytes, str] = MappingProxyType(
    {oids.AES256_WRAP: "", oids.AES192_WRAP: "+aes-192-wrap", oids.AES128_WRAP: "+aes-128-wrap"}
)
AGREEMENT_WORDS: Mapping[str, Agreement] = MappingProxyType(
    {
        word + behind: Agreement(derive, wrap)
        for derive, word in DERIVES.items()
        for wrap, behind in WRAPS.items()
    }
)
# What we open, best first. 3DES is opened too, but nobody shall be invited to use it.
CIPHERS = tuple(
    der.algorithm(kind)
    for kind in (oids.AES256_GCM, oids.AES128_GCM, oids.CHACHA20_POLY1305, oids.AES256_CBC, oids.AES128_CBC)
)


@lru_cache(maxsize=1024)
def announcement(certificate: bytes) -> bytes:
    """The capabilities of who signs with this certificate: ways to send him a key only if it takes keys."""
    if not read_certificate(certificate).may_encrypt:
        return der.sequence(*CIPHERS)
    return der.sequence(*CIPHERS, *_ways(certificate))


def _ways(certificate: bytes) -> Iterator[bytes]:
    key = public_key(certificate)
    if isinstance(key, rsa.RSAPublicKey):
        yield OAEP_IDENTIFIER
        return
    with contextlib.suppress(BadKey):  # a key that only signs
        yield default_agreement(key).identifier


def read_capabilities(element: ber.Element) -> tuple[str, ...]:
    """The words of what we know in the list, in its order; a broken or an endless list says nothing."""
    return _words(element.raw) if element.end - element.begin <= MOST_BYTES else ()


@lru_cache(maxsize=256)
def _words(raw: bytes) -> tuple[str, ...]:
    """Kept, since each program says the same in all of its mails."""
    try:
        found = [algorithm(one) for one in ber.whole(raw).parts(0, MOST)]
        words = (_agreement(one) if one.kind in DERIVES else _word(one) for one in found)
        return tuple(dict.fromkeys(word for word in words if word))
    except NotExamined:
        return ()


def _word(found: Algorithm) -> str:
    known = WORDS.get(found.kind, "")
    return "" if known == OAEP and not _is_ours(found) else known


def _agreement(found: Algorithm) -> str:
    """RFC 5753 7.2: the parameter is the wrap."""
    if found.bare or found.parameters is None:
        return DERIVES[found.kind]
    behind = WRAPS.get(algorithm(found.parameters).kind)
    return "" if behind is None else DERIVES[found.kind] + behind


def _is_ours(found: Algorithm) -> bool:
    """OAEP counts only with the digest that we use: some programs open it with SHA-1 alone."""
    hashed, masked = digest_of(found.parameters, 0xA0), digest_of(found.parameters, 0xA1, inside=True)
    return hashed.name == masked.name == "sha256"
