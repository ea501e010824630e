"""S/MIME as mails: signed and encrypted here; recognised in ``cms_parts`` and opened in ``layers``.

Not CMS itself (``cms_write``, ``cms_decrypt``, ``cms_verify``) and not the choice of keys. RFC 8551 3.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Literal

from securegw.crypto import cms_write
from securegw.crypto.choice import AUTHENTICATED, Choice
from securegw.crypto.cms_parts import Kind, recognise
from securegw.crypto.entity import base64_lines, base64_pieces, parted
from securegw.crypto.layers import LAYERS, Opened, open
from securegw.crypto.seven_bit import seven_bit
from securegw.crypto.signatures import Scheme
from securegw.mail.gathering import Piece, gathered, steps
from securegw.mail.message import read

__all__ = ["LAYERS", "Choice", "Form", "Kind", "Opened", "Scheme", "encrypt", "open", "recognise", "sign"]

Form = Literal["detached", "opaque"]


def sign(
    raw: bytes,
    key_der: bytes,
    certificate: bytes,
    chain: Sequence[bytes],
    at: float,
    *,
    form: Form = "detached",
    scheme: Scheme = "pkcs1",
) -> bytes:
    """The mail signed. Detached is readable everywhere (RFC 8551 3.5.3); opaque gets through servers that touch mails
    (RFC 8551 3.5.2). ``scheme`` is a choice for RSA keys alone."""
    outer, entity = parted(read(seven_bit(raw)))
    detached = form == "detached"
    signature, micalg = cms_write.sign(
        entity, key_der, certificate, chain, at, detached=detached, scheme=scheme
    )
    return _beside(outer, entity, signature, micalg) if detached else _inside(outer, (signature,), b"signed-data")


def _beside(outer: bytes, entity: Iterable[Piece], signature: bytes, micalg: str) -> bytes:
    boundary = b"signed-" + secrets.token_hex(16).encode()
    return gathered(
        (
            outer,
            b'Content-Type: multipart/signed; protocol="application/pkcs7-signature";\r\n'
            b"\tmicalg=" + micalg.encode() + b'; boundary="' + boundary + b'"\r\n\r\n--' + boundary + b"\r\n",
            *chain.from_iterable(map(steps, entity)),
            b"\r\n--" + boundary + b"\r\n"
            b"Content-Type: application/pkcs7-signature; name=smime.p7s\r\n"
            b"Content-Transfer-Encoding: base64\r\n"
            b"Content-Disposition: attachment; filename=smime.p7s\r\n\r\n",
            base64_lines(signature),
            b"--" + boundary + b"--\r\n",
        )
    )


def encrypt(raw: bytes, certificates: Sequence[bytes], choice: Choice = cms_write.CBC) -> bytes:
    """The mail sealed for these certificates, as ``choice.choose`` found it best for their owners."""
    outer, entity = parted(read(raw))
    authenticated = choice.cipher in AUTHENTICATED
    seal = cms_write.gcm_pieces if authenticated else cms_write.cbc_pieces
    kind = b"authEnveloped-data" if authenticated else b"enveloped-data"
    return _inside(outer, seal(entity, certificates, choice), kind)


def _inside(outer: bytes, cms: Iterable[bytes], kind: bytes) -> bytes:
    """The mail that consists of CMS alone (RFC 8551 3.2)."""
    fields = (
        b"Content-Type: application/pkcs7-mime; smime-type=" + kind + b"; name=smime.p7m\r\n"
        b"Content-Transfer-Encoding: base64\r\n"
        b"Content-Disposition: attachment; filename=smime.p7m\r\n\r\n"
    )
    return gathered(chain((outer, fields), base64_pieces(cms)))
