"""The private keys in a PKCS #12 file that holds several: many authorities give one to sign and one to decrypt.

Not the reading of the file, which has been proven whole before (``keyfile.read_pkcs12``): the library finds one key in
it alone. RFC 7292 4; a bag that lies inside an encrypted heap of others is not looked for.
"""

from __future__ import annotations

from collections.abc import Iterator

from cryptography.hazmat.primitives import serialization

from securegw.crypto import ber, der, oids
from securegw.mail.errors import BadKey, NotExamined

KEY_BAG, SHROUDED_BAG = der.oid("1.2.840.113549.1.12.10.1.1"), der.oid("1.2.840.113549.1.12.10.1.2")
MOST = 100


def keys_in(data: bytes, password: str | None) -> Iterator[object]:
    """Each private key that lies in the file by itself, if there are several; raises BadKey if one stays closed."""
    try:
        bags = list(_bags(data))
    except NotExamined:
        return
    if len(bags) < 2:  # the library has read it already
        return
    for kind, value in bags:
        secret = (password or "").encode() if kind == SHROUDED_BAG else None
        try:
            yield serialization.load_der_private_key(value, secret)
        except Exception as problem:  # wrong form, wrong kind, another cipher: the library has an error for each
            raise BadKey(
                "A private key in the PKCS #12 file cannot be opened.", detail=type(problem).__name__
            ) from None


def _bags(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and value of each bag with a key (RFC 7292 4.2)."""
    safe = _content(ber.whole(data).parts(2, 3)[1])
    for heap in ber.whole(safe).parts(0, MOST):
        if heap.parts(2, 2)[0].raw != oids.DATA:
            continue
        for bag in ber.whole(_content(heap)).parts(0, MOST):
            kind, value, *_attributes = bag.parts(2, 3)
            if kind.raw in (KEY_BAG, SHROUDED_BAG):
                yield kind.raw, value.expect(0xA0).parts(1, 1)[0].raw


def _content(info: ber.Element) -> bytes:
    """What a ContentInfo with data holds."""
    return info.parts(2, 2)[1].expect(0xA0).parts(1, 1)[0].octets()
