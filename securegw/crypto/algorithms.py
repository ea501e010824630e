"""Algorithm identifiers as they are read, and the digests that we know.

Not the algorithms: what signs, transports, agrees and encrypts has a table of its own. RFC 5652 10.1, RFC 5754 2
(SHA-2), RFC 8419 2.3 (SHAKE256), RFC 4055 1.2 and 3.1 (parameters of PSS and OAEP).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import attrs
from cryptography.hazmat.primitives import hashes

from securegw.crypto import ber, der, oids
from securegw.mail.errors import NotExamined


@attrs.frozen
class Algorithm:
    """An AlgorithmIdentifier: the object identifier as it is encoded, and its parameters if it has some."""

    kind: bytes
    parameters: ber.Element | None

    def needed(self, tag: int) -> ber.Element:
        if self.parameters is None:
            raise NotExamined(detail="CMS: parameters are missing")
        return self.parameters.expect(tag)

    @property
    def bare(self) -> bool:
        """True without parameters, or with the NULL that many programs put in their place."""
        return self.parameters is None or self.parameters.raw == der.NULL

    @property
    def essence(self) -> tuple[bytes, bytes]:
        """Equal for the same algorithm, whether or not NULL stands where there are no parameters."""
        return self.kind, b"" if self.parameters is None or self.bare else self.parameters.raw


def algorithm(element: ber.Element) -> Algorithm:
    kind, *parameters = element.expect(der.SEQUENCE).parts(1, 2)
    return Algorithm(kind.expect(der.OID).raw, parameters[0] if parameters else None)


@attrs.frozen
class Digest:
    """A digest: the hash, how it is named in CMS, and in ``micalg`` (RFC 8551 3.5.3.2)."""

    hash: hashes.HashAlgorithm
    identifier: bytes
    micalg: str


DIGESTS: Mapping[bytes, Digest] = MappingProxyType(
    {
        oids.SHA256: Digest(hashes.SHA256(), der.algorithm(oids.SHA256), "sha-256"),
        oids.SHA384: Digest(hashes.SHA384(), der.algorithm(oids.SHA384), "sha-384"),
        oids.SHA512: Digest(hashes.SHA512(), der.algorithm(oids.SHA512), "sha-512"),
        # No name was given to it for micalg, and then RFC 8551 3.5.3.2 wants this word.
        oids.SHAKE256_512: Digest(
            hashes.SHAKE256(64), der.algorithm(oids.SHAKE256_512, der.integer(512)), "unknown"
        ),
    }
)
# What absent parameters of PSS and OAEP mean; OAEP needs no more of its hash, for PSS it is never accepted.
OLD_DEFAULT = hashes.SHA1()  # noqa: S303


def digest_of(parameters: ber.Element | None, tag: int, *, inside: bool = False) -> hashes.HashAlgorithm:
    """The hash named in the parameters of PSS or OAEP at [tag]; SHA-1 if none is named (RFC 4055 3.1, 4.1).

    ``inside``: the hash is the parameter of MGF1, which stands there.
    """
    found = next((one for one in parameters.parts(0) if one.tag == tag), None) if parameters else None
    if found is None:
        return OLD_DEFAULT
    chosen = algorithm(found.parts(1, 1)[0])
    if inside:
        if chosen.kind != oids.MGF1:
            raise NotExamined(detail="CMS: unknown mask generation")
        chosen = algorithm(chosen.needed(der.SEQUENCE))
    if chosen.kind == oids.SHA1:
        return OLD_DEFAULT
    known = DIGESTS.get(chosen.kind)
    if known is None or not chosen.bare:
        raise NotExamined(detail="CMS: unknown digest")
    return known.hash


def mask(digest: bytes) -> bytes:
    """The parameters of PSS and OAEP: this digest for the hash and for MGF1 (RFC 4055 2.1 writes NULL behind it)."""
    named = der.algorithm(digest, der.NULL)
    return der.tlv(0xA0, named) + der.tlv(0xA1, der.algorithm(oids.MGF1, named))
