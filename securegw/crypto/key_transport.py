"""Keys for a content, sealed by RSA: KeyTransRecipientInfo, written and opened.

RFC 5652 6.2.1, RFC 3370 4.2.1 (PKCS #1 v1.5), RFC 3560 and RFC 4055 4 (OAEP).
All failures look the same: a wrong block gives a random key that fails only at the content, so that whoever changes a
mail and watches learns nothing (RFC 3218; threats 31).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from types import MappingProxyType

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from securegw.crypto import ber, der, oids
from securegw.crypto.algorithms import Algorithm, algorithm, digest_of, mask
from securegw.crypto.identifiers import issuer_and_serial
from securegw.crypto.keyfile import PrivateKey
from securegw.mail.errors import BadKey, NotExamined

PKCS1_IDENTIFIER = der.algorithm(oids.RSA, der.NULL)
OAEP_IDENTIFIER = der.algorithm(oids.RSA_OAEP, der.sequence(mask(oids.SHA256)))
_PKCS1 = padding.PKCS1v15()
_OAEP = padding.OAEP(mgf=padding.MGF1(hashes.SHA256()), algorithm=hashes.SHA256(), label=None)


def transport(certificate: bytes, public: rsa.RSAPublicKey, key: bytes, *, oaep: bool) -> bytes:
    """The RecipientInfo; its identifier was cut out of the certificate once."""
    how, scheme = (OAEP_IDENTIFIER, _OAEP) if oaep else (PKCS1_IDENTIFIER, _PKCS1)
    sealed = public.encrypt(key, scheme)
    return der.sequence(der.integer(0), issuer_and_serial(certificate), how, der.octets(sealed))


def transported(info: ber.Element, private: PrivateKey, length: int) -> bytes:
    """The key inside, or a random one of the right length."""
    how, sealed = info.parts(4, 4)[2:]
    if not isinstance(private, rsa.RSAPrivateKey):
        raise BadKey("None of our keys opens this.", detail="another kind of key")
    scheme, instead = _scheme(algorithm(how)), os.urandom(length)
    try:
        key = private.decrypt(sealed.octets(), scheme)
    except ValueError:
        return instead
    return key if len(key) == length else instead


def _scheme(how: Algorithm) -> padding.AsymmetricPadding:
    read = SCHEMES.get(how.kind)
    if read is None:
        raise NotExamined(detail="CMS: unknown key transport")
    return read(how)


def _read_oaep(how: Algorithm) -> padding.AsymmetricPadding:
    return padding.OAEP(
        mgf=padding.MGF1(digest_of(how.parameters, 0xA1, inside=True)),
        algorithm=digest_of(how.parameters, 0xA0),
        label=_label(how),
    )


def _label(how: Algorithm) -> bytes | None:
    """RFC 4055 4.1: hardly anybody uses one; without it the label is empty."""
    fields = how.parameters.parts(0, 3) if how.parameters else []
    found = next((one for one in fields if one.tag == 0xA2), None)
    if found is None:
        return None
    source = algorithm(found.parts(1, 1)[0])
    if source.kind != oids.P_SPECIFIED:
        raise NotExamined(detail="CMS: unknown source of the label")
    return source.needed(der.OCTETS).content or None


SCHEMES: Mapping[bytes, Callable[[Algorithm], padding.AsymmetricPadding]] = MappingProxyType(
    {oids.RSA: lambda _: _PKCS1, oids.RSA_OAEP: _read_oaep}
)
