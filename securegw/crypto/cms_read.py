"""Reads the outside of CMS: which kind of content it is, its algorithms, and how it names a certificate.

Not the opening (``cms_decrypt``) and not the checking (``cms_verify``). RFC 5652 3 and 10.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs
from cryptography.hazmat.primitives import hashes

from securegw.crypto import ber, der
from securegw.crypto.identifiers import issuer_and_serial, key_identifier
from securegw.mail.errors import MailError, NotExamined

Digest = hashes.SHA256 | hashes.SHA384 | hashes.SHA512

DIGESTS: dict[bytes, Digest] = {
    der.SHA256: hashes.SHA256(),
    der.SHA384: hashes.SHA384(),
    der.SHA512: hashes.SHA512(),
}
# What absent parameters of PSS and OAEP mean; OAEP needs no more of its hash, for PSS it is never accepted.
OLD_DEFAULT = hashes.SHA1()  # noqa: S303
KINDS = {
    der.SIGNED_DATA: "signed",
    der.ENVELOPED_DATA: "enveloped",
    der.AUTH_ENVELOPED_DATA: "auth-enveloped",
}


@attrs.frozen
class Algorithm:
    """An AlgorithmIdentifier: the object identifier as it is encoded, and its parameters if it has some."""

    kind: bytes
    parameters: ber.Element | None

    def needed(self, tag: int) -> ber.Element:
        if self.parameters is None:
            raise NotExamined(detail="CMS: parameters are missing")
        return self.parameters.expect(tag)


def content_info(data: bytes) -> tuple[str, ber.Element]:
    """The kind of the content ("signed", "enveloped", "auth-enveloped" or "other") and the content."""
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


def algorithm(element: ber.Element) -> Algorithm:
    kind, *parameters = element.expect(der.SEQUENCE).parts(1, 2)
    return Algorithm(kind.expect(der.OID).raw, parameters[0] if parameters else None)


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


def digest_of(parameters: ber.Element | None, tag: int, *, inside: bool = False) -> hashes.HashAlgorithm:
    """The hash named in the parameters of PSS or OAEP at [tag]; SHA-1 if none is named (RFC 4055 3.1, 4.1).

    ``inside``: the hash is the parameter of MGF1, which stands there.
    """
    found = next((one for one in parameters.parts(0) if one.tag == tag), None) if parameters else None
    if found is None:
        return OLD_DEFAULT
    chosen = algorithm(found.parts(1, 1)[0])
    if inside:
        if chosen.kind != der.MGF1:
            raise NotExamined(detail="CMS: unknown mask generation")
        chosen = algorithm(chosen.needed(der.SEQUENCE))
    if chosen.kind == der.SHA1:
        return OLD_DEFAULT
    if chosen.kind not in DIGESTS:
        raise NotExamined(detail="CMS: unknown digest")
    return DIGESTS[chosen.kind]
