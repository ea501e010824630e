"""How CMS names a certificate: by issuer and serial number, or by key identifier; cut out of the certificate as it is.

Not a comparison of names as people write them: bytes are equal or not (RFC 5652 10.2.4 and 6.2.1).
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from securegw.crypto import ber, der
from securegw.crypto.certificate import KEPT, ODD, load, public_key


@lru_cache(maxsize=KEPT)
def issuer_and_serial(certificate: bytes) -> bytes:
    """The SEQUENCE of issuer and serial number (RFC 5652 10.2.4)."""
    tbs = ber.whole(certificate).parts(3)[0]
    fields = tbs.parts(6)
    at = 1 if fields[0].tag == 0xA0 else 0
    return der.sequence(fields[at + 2].raw, fields[at].raw)


@lru_cache(maxsize=KEPT)
def key_identifier(certificate: bytes) -> bytes:
    """The subjectKeyIdentifier; without one, what most authorities would have put there (RFC 5280 4.2.1.2)."""
    try:
        found = load(certificate).extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
        return found.value.digest
    except (x509.ExtensionNotFound, *ODD):
        spki = public_key(certificate).public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        bits = ber.whole(spki).parts(2)[1].content[1:]
        return hashlib.sha1(bits, usedforsecurity=False).digest()
