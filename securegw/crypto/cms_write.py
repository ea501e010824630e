"""Writes CMS: signatures, detached or around their content, and encrypted contents, its DER by hand.

Not the mail around it (``smime``) and not the algorithms (``signatures``, ``key_transport``, ``key_agreement``,
``content_ciphers``). What stays the same for a certificate is made once and kept. A content may be in pieces, and what
is sealed of it comes out in pieces: so a large one is never in memory as it is, sealed, and written all at once.
RFC 5652 5 and 6, RFC 5083 (AuthEnvelopedData), RFC 5035 (signing certificate), RFC 6211 (algorithm protection).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from functools import lru_cache, partial
from typing import TypeAlias, TypeVar

import attrs
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa

from securegw.crypto import der, oids
from securegw.crypto.capabilities import OAEP, announcement
from securegw.crypto.certificate import KEPT, bound_to, load, public_key, read_certificate
from securegw.crypto.choice import Choice, agreement_for, way_of_key
from securegw.crypto.content_ciphers import Closed, ClosedMac, ClosedText, close_cbc, close_gcm
from securegw.crypto.identifiers import issuer_and_serial
from securegw.crypto.key_agreement import agree
from securegw.crypto.key_transport import transport
from securegw.crypto.keyfile import PrivateKey, load_key
from securegw.crypto.signatures import Scheme, Signing, signing_of
from securegw.mail.errors import NoProtection
from securegw.mail.gathering import Piece

Content: TypeAlias = bytes | Sequence[Piece]
Part: TypeAlias = bytes | ClosedText | ClosedMac
P = TypeVar("P", bound=Sized)


def attribute(kind: bytes, value: bytes) -> bytes:
    return der.sequence(kind, der.tlv(der.SET, value))


CONTENT_TYPE = attribute(oids.CONTENT_TYPE, oids.DATA)
CBC, GCM = Choice("aes-256-cbc"), Choice("aes-256-gcm")


@attrs.frozen
class _Signer:
    """What a signer's certificate contributes to each of his signatures."""

    identifier: bytes
    certificates: bytes
    attributes: tuple[bytes, ...]
    scheme: Scheme


@lru_cache(maxsize=KEPT)
def _signer(certificate: bytes, chain: tuple[bytes, ...], scheme: Scheme) -> _Signer:
    load(certificate)
    by_hash = der.sequence(der.octets(hashlib.sha256(certificate).digest()))
    return _Signer(
        identifier=issuer_and_serial(certificate),
        certificates=der.tlv(0xA0, *sorted({certificate, *chain})),
        attributes=(
            CONTENT_TYPE,
            attribute(oids.CAPABILITIES, announcement(_reader(certificate, chain))),
            attribute(oids.SIGNING_CERTIFICATE_V2, der.sequence(der.sequence(by_hash))),
        ),
        scheme="pss" if bound_to(certificate) == "pss" else scheme,
    )


def _reader(certificate: bytes, chain: Sequence[bytes]) -> bytes:
    """To which certificate answers go: the signer's, or the one of his that goes along because his only signs."""
    others = (one for one in chain if not read_certificate(one).is_ca and read_certificate(one).may_encrypt)
    return certificate if read_certificate(certificate).may_encrypt else next(others, certificate)


def sign(
    content: Content,
    key_der: bytes,
    certificate: bytes,
    chain: Sequence[bytes],
    at: float,
    *,
    detached: bool = True,
    scheme: Scheme = "pkcs1",
) -> tuple[bytes, str]:
    """SignedData with or without its content, and the digest as ``micalg`` calls it (RFC 8551 3.5.3.2)."""
    pieces = _pieces(content)
    signer = _signer(certificate, tuple(chain), scheme)
    key, how, protection = _key_and_way(key_der, signer.scheme)
    attributes = sorted(
        (
            *signer.attributes,
            protection,
            attribute(oids.SIGNING_TIME, der.time(at)),
            attribute(oids.MESSAGE_DIGEST, der.octets(_hashed(how.digest.hash, pieces))),
        )
    )
    # What is signed is the SET; what is sent is the same with the tag [0] (RFC 5652 5.4).
    signature = how.sign(key, der.tlv(der.SET, *attributes))
    info = der.sequence(
        der.integer(1),
        signer.identifier,
        how.digest.identifier,
        der.tlv(0xA0, *attributes),
        how.identifier,
        der.octets(signature),
    )
    signed = _content_info(
        oids.SIGNED_DATA,
        der.integer(1),
        der.tlv(der.SET, how.digest.identifier),
        *der.around(der.SEQUENCE, oids.DATA, *_inside(pieces, detached=detached)),
        signer.certificates,
        der.tlv(der.SET, info),
    )
    return b"".join(signed), how.digest.micalg


@lru_cache(maxsize=256)
def _key_and_way(key_der: bytes, scheme: Scheme) -> tuple[PrivateKey, Signing, bytes]:
    """The key, how it signs, and the attribute that binds this to the signature (RFC 6211 2)."""
    key = load_key(key_der)
    how = signing_of(key, scheme)
    both = der.sequence(how.digest.identifier, b"\xa1" + how.identifier[1:])
    return key, how, attribute(oids.ALGORITHM_PROTECTION, both)


def _pieces(content: Content) -> Sequence[Piece]:
    return (content,) if isinstance(content, bytes) else content


def _inside(content: Sequence[Piece], *, detached: bool) -> tuple[Piece, ...]:
    return () if detached else der.around(0xA0, *der.around(der.OCTETS, *content))


def _hashed(digest: hashes.HashAlgorithm, content: Sequence[Piece]) -> bytes:
    work = hashes.Hash(digest)
    for piece in content:
        work.update(piece)
    return work.finalize()


def encrypt_cbc(content: Content, certificates: Sequence[bytes], choice: Choice = CBC) -> bytes:
    """EnvelopedData with AES-256-CBC, which every S/MIME program opens."""
    return b"".join(cbc_pieces(content, certificates, choice))


def encrypt_gcm(content: Content, certificates: Sequence[bytes], choice: Choice = GCM) -> bytes:
    """AuthEnvelopedData with AES-GCM: a change on the way is noticed (RFC 5083, RFC 5084)."""
    return b"".join(gcm_pieces(content, certificates, choice))


def cbc_pieces(content: Content, certificates: Sequence[bytes], choice: Choice = CBC) -> Iterator[bytes]:
    closed = close_cbc(_pieces(content))
    version, recipients = _recipients(closed.key, certificates, choice)
    return _in_order(_content_info(oids.ENVELOPED_DATA, version, recipients, *_encrypted(closed)))


def gcm_pieces(content: Content, certificates: Sequence[bytes], choice: Choice = GCM) -> Iterator[bytes]:
    closed = close_gcm(_pieces(content), 16 if choice.cipher == "aes-128-gcm" else 32)
    _version, recipients = _recipients(closed.key, certificates, choice)
    return _in_order(
        _content_info(oids.AUTH_ENVELOPED_DATA, der.integer(0), recipients, *_encrypted(closed), *closed.mac)
    )


def _content_info(kind: bytes, *parts: P) -> tuple[bytes | P, ...]:
    return der.around(der.SEQUENCE, kind, *der.around(0xA0, *der.around(der.SEQUENCE, *parts)))


def _encrypted(closed: Closed) -> tuple[Part, ...]:
    return der.around(der.SEQUENCE, oids.DATA, closed.identifier, *der.around(0x80, closed.text))


def _in_order(parts: Iterable[Part]) -> Iterator[bytes]:
    """What is not there yet is made when its turn comes."""
    for part in parts:
        if isinstance(part, bytes):
            yield part
        else:
            yield from part


def _recipients(key: bytes, certificates: Sequence[bytes], choice: Choice) -> tuple[bytes, bytes]:
    """The version of EnvelopedData (RFC 5652 6.1) and the SET of RecipientInfo."""
    if not certificates:
        raise NoProtection(detail="no certificate to encrypt to")
    infos = {one: _recipient_way(one, choice.ways.get(one, ""))(key) for one in certificates}
    agreed = any(info[0] == 0xA1 for info in infos.values())
    return der.integer(2 if agreed else 0), der.set_of(*infos.values())


@lru_cache(maxsize=KEPT)
def _recipient_way(certificate: bytes, way: str) -> Callable[[bytes], bytes]:
    """How the key for a content gets to the owner of a certificate; the usual way where none was chosen."""
    public = public_key(certificate)
    if isinstance(public, rsa.RSAPublicKey):
        return partial(transport, certificate, public, oaep=way_of_key(certificate, (way,)) == OAEP)
    return partial(agree, certificate, public, agreement_for(certificate, (way,)))
