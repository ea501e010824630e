"""The table of signature algorithms: which kind of key signs how, and how each is checked.

Not the structure around them (``cms_write``, ``cms_verify``). RFC 8017 and RFC 5754 3.2 (RSA), RFC 4056 (PSS),
RFC 5753 2.1 and RFC 5754 3.3 (ECDSA), RFC 8419 (Ed25519, Ed448).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Literal

import attrs
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa

from securegw.crypto import der, oids
from securegw.crypto.algorithms import DIGESTS, OLD_DEFAULT, Algorithm, Digest, digest_of, mask
from securegw.crypto.certificate import PublicKey
from securegw.crypto.keyfile import PrivateKey
from securegw.mail.errors import BadKey, NotExamined

Scheme = Literal["pkcs1", "pss"]
State = Literal["good", "bad", "unknown"]
# Shorter ones anybody can break; how long a key must be to be trusted is for ``chain`` to say.
SHORTEST_RSA = 1024
LONGEST_SALT = 512
SALT = 32


@attrs.frozen
class Signing:
    """How a key signs: its digest, the algorithm as CMS names it, and the work."""

    digest: Digest
    identifier: bytes
    sign: Callable[[Any, bytes], bytes]


def _ecdsa(digest: bytes, kind: bytes) -> Signing:
    chosen = ec.ECDSA(DIGESTS[digest].hash)
    return Signing(DIGESTS[digest], der.algorithm(kind), lambda key, data: key.sign(data, chosen))


_PKCS1 = padding.PKCS1v15()
_PSS = padding.PSS(padding.MGF1(hashes.SHA256()), SALT)
_SHA256 = DIGESTS[oids.SHA256]

RSA_SIGNING: Mapping[Scheme, Signing] = MappingProxyType(
    {
        "pkcs1": Signing(
            _SHA256,
            der.algorithm(oids.RSA, der.NULL),
            lambda key, data: key.sign(data, _PKCS1, hashes.SHA256()),
        ),
        "pss": Signing(
            _SHA256,
            # RFC 4056 2.2: the salt is as long as the digest, MGF1 uses the same digest.
            der.algorithm(
                oids.RSA_PSS, der.sequence(mask(oids.SHA256), der.tlv(0xA2, der.integer(SALT)))
            ),
            lambda key, data: key.sign(data, _PSS, hashes.SHA256()),
        ),
    }
)
# The digest that fits the size of the curve (RFC 8551 2.1 and 2.2).
CURVE_SIGNING = (
    (256, _ecdsa(oids.SHA256, oids.ECDSA_SHA256)),
    (384, _ecdsa(oids.SHA384, oids.ECDSA_SHA384)),
    (521, _ecdsa(oids.SHA512, oids.ECDSA_SHA512)),
)
# RFC 8419 3.1: which digest goes with which curve is not a choice.
EDWARDS_SIGNING: Mapping[type, Signing] = MappingProxyType(
    {
        ed25519.Ed25519PrivateKey: Signing(
            DIGESTS[oids.SHA512], der.algorithm(oids.ED25519), lambda key, data: key.sign(data)
        ),
        ed448.Ed448PrivateKey: Signing(
            DIGESTS[oids.SHAKE256_512], der.algorithm(oids.ED448), lambda key, data: key.sign(data)
        ),
    }
)


def signing_of(key: PrivateKey, scheme: Scheme = "pkcs1") -> Signing:
    """How this key signs; ``scheme`` is a choice that only RSA has. Raises BadKey for a key that does not sign."""
    if isinstance(key, rsa.RSAPrivateKey):
        return RSA_SIGNING[scheme]
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return next((row for size, row in CURVE_SIGNING if key.curve.key_size <= size), CURVE_SIGNING[-1][1])
    found = next((row for kind, row in EDWARDS_SIGNING.items() if isinstance(key, kind)), None)
    if found is None:
        raise BadKey(detail="this kind of key does not sign mail here")
    return found


@attrs.frozen
class Checking:
    """How a signature algorithm is checked: the kind of key it needs, the digest it names itself, and the work.

    A digest that is named must be the one that is used (RFC 5754 3.2, 3.3).
    """

    key: type
    digest: bytes | None
    verify: Callable[[Any, Algorithm, Digest, bytes, bytes], None]


def _by_rsa(key: rsa.RSAPublicKey, how: Algorithm, digest: Digest, value: bytes, over: bytes) -> None:
    _bare(how)
    key.verify(value, over, _PKCS1, digest.hash)


def _by_pss(key: rsa.RSAPublicKey, how: Algorithm, digest: Digest, value: bytes, over: bytes) -> None:
    """RFC 4056 3; SHA-1, which the parameters mean when they are absent, is never good."""
    chosen, masking = digest_of(how.parameters, 0xA0), digest_of(how.parameters, 0xA1, inside=True)
    # The digest of the content must be that of the signature too (RFC 4056 3).
    if OLD_DEFAULT in (chosen, masking) or chosen.name != digest.hash.name:
        raise InvalidSignature
    fields = how.needed(der.SEQUENCE).parts(0, 4)
    salt = next((one.parts(1, 1)[0].number() for one in fields if one.tag == 0xA2), 20)
    if not 0 <= salt <= LONGEST_SALT:
        raise InvalidSignature
    key.verify(value, over, padding.PSS(padding.MGF1(masking), salt), chosen)


def _by_curve(key: ec.EllipticCurvePublicKey, how: Algorithm, digest: Digest, value: bytes, over: bytes) -> None:
    _bare(how)
    key.verify(value, over, ec.ECDSA(digest.hash))


def _by_edwards(
    key: ed25519.Ed25519PublicKey | ed448.Ed448PublicKey, how: Algorithm, _: Digest, value: bytes, over: bytes
) -> None:
    _bare(how)
    key.verify(value, over)


def _bare(how: Algorithm) -> None:
    if not how.bare:
        raise NotExamined(detail="CMS: parameters where there are none")


CHECKING: Mapping[bytes, Checking] = MappingProxyType(
    {
        oids.RSA: Checking(rsa.RSAPublicKey, None, _by_rsa),
        oids.RSA_SHA256: Checking(rsa.RSAPublicKey, oids.SHA256, _by_rsa),
        oids.RSA_SHA384: Checking(rsa.RSAPublicKey, oids.SHA384, _by_rsa),
        oids.RSA_SHA512: Checking(rsa.RSAPublicKey, oids.SHA512, _by_rsa),
        oids.RSA_PSS: Checking(rsa.RSAPublicKey, None, _by_pss),
        oids.ECDSA_SHA256: Checking(ec.EllipticCurvePublicKey, oids.SHA256, _by_curve),
        oids.ECDSA_SHA384: Checking(ec.EllipticCurvePublicKey, oids.SHA384, _by_curve),
        oids.ECDSA_SHA512: Checking(ec.EllipticCurvePublicKey, oids.SHA512, _by_curve),
        oids.ED25519: Checking(ed25519.Ed25519PublicKey, None, _by_edwards),
        oids.ED448: Checking(ed448.Ed448PublicKey, None, _by_edwards),
    }
)


def check_value(key: PublicKey, how: Algorithm, digest: bytes, value: bytes, over: bytes) -> tuple[State, str]:
    """State and reason of one signature value: good, bad, or unknown if key and algorithm are no pair that we know."""
    row = CHECKING.get(how.kind)
    if row is None or not isinstance(key, row.key):
        return "unknown", "unknown-algorithm"
    if row.digest not in (None, digest):
        return "bad", "two-digests"
    if isinstance(key, rsa.RSAPublicKey) and key.key_size < SHORTEST_RSA:
        return "bad", "weak-key"
    try:
        row.verify(key, how, DIGESTS[digest], value, over)
    except InvalidSignature:
        return "bad", "wrong-signature"
    except NotExamined:
        return "bad", "malformed"
    return "good", ""
