"""Reads the outside of CMS: which kind of content it is, and how it names a certificate.

Not the opening (``cms_decrypt``) and not the checking (``cms_verify``). RFC 5652 3 and 10.
"""

from __future__ import annotations

from collections.abc import Sequence

from securegw.crypto import ber, der, oids
from securegw.crypto.identifiers import issuer_and_serial, key_identifier
from securegw.mail.errors import MailError, NotExamined

KINDS = {
    oids.SIGNED_DATA: "signed",
    oids.ENVELOPED_DATA: "enveloped",
    oids.AUTH_ENVELOPED_DATA: "auth-enveloped",
    oids.COMPRESSED_DATA: "compressed",
}


def content_info(data: bytes) -> tuple[str, ber.Element]:
    """The kind of the content (one of KINDS, or "other") and the content."""
    kind, wrapped = ber.whole(data).expect(der.SEQUENCE).parts(2, 2)
    [content] = wrapped.expect(0xA0).parts(1, 1)
    return KINDS.get(kind.raw, "other"), content.expect(der.SEQUENCE)


def kind_at_start(data: bytes) -> str:
    """The same from the first bytes alone, for a look before the whole is decoded."""
    try:
        start = ber.inside(data)
    except NotExamined:
        return "other"
    return next((name for kind, name in KINDS.items() if data.startswith(kind, start)), "other")


def names(identifier: ber.Element, certificate: bytes) -> bool:
    """True if the SignerIdentifier or RecipientIdentifier means this certificate."""
    try:
        if identifier.tag == der.SEQUENCE:
            return identifier.raw == issuer_and_serial(certificate)
        return identifier.tag == 0x80 and identifier.content == key_identifier(certificate)
    except MailError:  # what came along and is no certificate names nobody
        return False


def named(identifier: ber.Element, certificates: Sequence[bytes]) -> bytes | None:
    return next((one for one in certificates if names(identifier, one)), None)
