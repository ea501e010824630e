"""Key files that an administrator names: PEM, DER and PKCS #12, told apart by what is in them, never by their names.

A file that needs a password is read with the one that ``passwords`` gets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import attrs

from securegw.commands.passwords import read_password
from securegw.crypto.certificate import Certificate, read_certificates
from securegw.crypto.keyfile import fits, pairs_in_pkcs12, read_pkcs12, read_private_key
from securegw.mail.errors import BadKey

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

DER = (b"\x30\x80", b"\x30\x81", b"\x30\x82", b"\x30\x83")  # a SEQUENCE of some length
Kind = Literal["certificate", "private key", "pkcs12"]


@attrs.frozen
class KeyFile:
    """What a file holds: the private key's own certificate stands first. ``more`` are keys of certificates behind it,
    each under its certificate (DER)."""

    kind: Kind
    certificates: tuple[Certificate, ...]
    private: bytes | None = attrs.field(default=None, repr=False)
    more: Mapping[bytes, bytes] = attrs.field(factory=dict, repr=False)

    def key_of(self, certificate: Certificate) -> bytes | None:
        """The private key of a certificate in the file, if that holds it."""
        if self.certificates and certificate.der == self.certificates[0].der:
            return self.private
        return self.more.get(certificate.der)

    @property
    def chain(self) -> tuple[bytes, ...]:
        """The certificates that came along with the first (DER)."""
        return tuple(one.der for one in self.certificates[1:])


def is_key_file(content: bytes) -> bool:
    """PEM or DER; everything else is taken for a mail."""
    return content.lstrip().startswith(b"-----BEGIN ") or content.startswith(DER)


def read_key_file(file: Path, password_file: Path | None) -> KeyFile:
    """Read a key file, with its password if it needs one."""
    content = file.read_bytes()
    try:
        return parse(content, None)
    except BadKey:
        if not may_need_password(content):
            raise
    return parse(content, read_password(str(file), password_file))


def parse(content: bytes, password: str | None) -> KeyFile:
    """The file's content by its form."""
    if b"-----BEGIN " in content:
        return _pem(content, password)
    try:
        return KeyFile("certificate", tuple(read_certificates(content)))
    except BadKey:
        return _pkcs12_or_key(content, password)


def may_need_password(content: bytes) -> bool:
    """Whether a second try with a password makes sense."""
    if b"-----BEGIN " in content:
        return b"ENCRYPTED" in content
    try:
        read_certificates(content)
    except BadKey:
        return True
    return False


def _pem(content: bytes, password: str | None) -> KeyFile:
    certificates = read_certificates(content) if b"-----BEGIN CERTIFICATE-----" in content else []
    if b"PRIVATE KEY-----" not in content:
        return KeyFile("certificate", tuple(certificates))
    private = read_private_key(content, password.encode() if password else None)
    own = [one for one in certificates if fits(private, one.der)]
    if certificates and not own:
        raise BadKey("The private key belongs to none of the certificates in the file.")
    others = [one for one in certificates if one not in own]
    return KeyFile("private key", (*own, *others), private)


def _pkcs12_or_key(content: bytes, password: str | None) -> KeyFile:
    try:
        private, own, others = read_pkcs12(content, password)
    except BadKey as problem:
        try:
            return KeyFile("private key", (), read_private_key(content, password.encode() if password else None))
        except BadKey:
            raise problem from None
    more = pairs_in_pkcs12(content, password)
    del more[own.der]
    return KeyFile("pkcs12", (own, *others), private, more)
