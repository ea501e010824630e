"""Certificates of clients: asked for, never demanded, and believed only under the authorities that are named.

Not a permission: what a certificate allows is decided behind ``Intake.vouch``. Obeys RFC 5280 6 (by OpenSSL) and
4.2.1.12 (extended key usage).

The handshake takes any certificate, and it is judged afterwards: nobody is refused for a bad one, and a resumed
session, in which OpenSSL does not ask again, is judged like a new one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import ExtendedKeyUsageOID
from OpenSSL import SSL, crypto
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from twisted.protocols.tls import TLSMemoryBIOProtocol
from zope.interface import implementer

from securegw.tls import BadCertificate

# Mail servers show the certificate that they have as servers; public authorities issue hardly any other.
_USES = frozenset({ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH})


@attrs.frozen
class Shown:
    """A certificate that was shown and found good: its DNS names in lower case and its SHA-256 fingerprint."""

    names: tuple[str, ...]
    fingerprint: str


@implementer(IOpenSSLServerConnectionCreator)
class AskingTLS:
    """A server's TLS that also asks the client who it is."""

    def __init__(self, tls: IOpenSSLServerConnectionCreator) -> None:
        self._tls = tls

    def serverConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        connection: SSL.Connection = self._tls.serverConnectionForTLS(tlsProtocol)
        connection.set_verify(SSL.VERIFY_PEER, lambda *found: True)
        return connection


class ClientAuthorities:
    """Judges the certificates of clients by the authorities in a PEM file; raises BadCertificate if it is unusable."""

    def __init__(self, file: Path) -> None:
        self._store = crypto.X509Store()
        self._store.set_flags(crypto.X509StoreFlags.PARTIAL_CHAIN)  # an authority named is a root, whoever signed it
        for certificate in _read(file):
            self._store.add_cert(crypto.X509.from_cryptography(certificate))

    def judge(self, connection: SSL.Connection) -> Shown | None:
        """What the peer of this connection has shown, if it is good."""
        own: Any = connection.get_peer_certificate()
        if own is None:
            return None
        chain = connection.get_peer_cert_chain() or []
        try:
            crypto.X509StoreContext(self._store, own, chain).verify_certificate()
            return _shown(own.to_cryptography())
        except (crypto.X509StoreContextError, ValueError):  # ValueError: extensions that cannot be read
            return None


def _read(file: Path) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(file.read_bytes())
    except (OSError, ValueError) as error:
        raise BadCertificate(f"{file}: there is no usable certificate in it") from error


def _shown(certificate: x509.Certificate) -> Shown | None:
    if not _fits(certificate):
        return None
    return Shown(_names(certificate), certificate.fingerprint(hashes.SHA256()).hex())


def _fits(certificate: x509.Certificate) -> bool:
    """Whether it speaks for a server or a client at all, and not for a person's mail or for code."""
    try:
        uses = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return True
    return not _USES.isdisjoint(uses)


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    return tuple(name.lower() for name in found.get_values_for_type(x509.DNSName))
