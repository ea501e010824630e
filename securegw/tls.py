"""TLS for all doors and clients: who we are, whom we believe, and new files without a restart.

Not a policy: whether TLS is wanted is decided elsewhere. TLS 1.2 and later (RFC 8996, RFC 9325 3.1.1), session
tickets (RFC 5077, RFC 8446 4.6.1), names checked as in RFC 9525. Certificates and keys are PEM files.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from OpenSSL import SSL, crypto
from twisted.internet import ssl
from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator, IOpenSSLServerConnectionCreator
from twisted.protocols.tls import TLSMemoryBIOProtocol
from zope.interface import implementer

PrivateKey = RSAPrivateKey | EllipticCurvePrivateKey | Ed25519PrivateKey


class BadCertificate(Exception):
    """A certificate or key file that cannot be used; the sentence names the file and the fault."""


def server_context(certificate_file: Path, key_file: Path) -> SSL.Context:
    """The context of a server: its certificate, then those that lead to its root, and the key."""
    options = ssl.CertificateOptions(
        raiseMinimumTo=ssl.TLSVersion.TLSv1_2, enableSessions=True, enableSessionTickets=True
    )
    context = options.getContext()
    own, *chain = _certificates(certificate_file)
    key = _private_key(key_file)
    try:
        context.use_certificate(own)
        for certificate in chain:
            context.add_extra_chain_cert(certificate)
        context.use_privatekey(key)
        context.check_privatekey()
    except (SSL.Error, TypeError) as error:
        raise BadCertificate(f"{key_file}: not the key of the certificate in {certificate_file}") from error
    return context


def _certificates(path: Path) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(path.read_bytes())
    except (OSError, ValueError) as error:
        raise BadCertificate(f"{path}: there is no usable certificate in it") from error


def _private_key(path: Path) -> PrivateKey:
    try:
        key = load_pem_private_key(path.read_bytes(), None)
    except (OSError, ValueError, TypeError) as error:  # TypeError: it has a password
        raise BadCertificate(f"{path}: there is no usable private key (without a password) in it") from error
    if not isinstance(key, RSAPrivateKey | EllipticCurvePrivateKey | Ed25519PrivateKey):
        raise BadCertificate(f"{path}: the private key must be RSA, ECDSA or Ed25519")
    return key


@implementer(IOpenSSLServerConnectionCreator)
class ServerTLS:
    """Our side as a server. Looks at its two files at every handshake and reads them again when they changed.

    New files that cannot be used - half written, or a key of another certificate - leave the old pair in use;
    ``problem`` then says what is wrong, and ``complain`` is told once.
    """

    def __init__(
        self,
        certificate_file: Path,
        key_file: Path,
        complain: Callable[[str], None] = lambda problem: None,
    ) -> None:
        self.problem = ""
        self._files = (certificate_file, key_file)
        self._complain = complain
        self._state = self._look()
        self._context = server_context(*self._files)

    def context(self) -> SSL.Context:
        """The context for the next connection."""
        state = self._look()
        if state != self._state:
            self._state = state
            self._read_again()
        return self._context

    def serverConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        return SSL.Connection(self.context(), None)

    def _read_again(self) -> None:
        try:
            self._context = server_context(*self._files)
            self.problem = ""
        except BadCertificate as error:
            self.problem = str(error)
            self._complain(self.problem)

    def _look(self) -> tuple[tuple[int, int, int] | None, ...]:
        """What tells a replaced or rewritten file from the one we read; None when it is gone."""
        return tuple(_stamp(path) for path in self._files)


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


@implementer(IOpenSSLClientConnectionCreator)
class _Opportunistic:
    """A client that takes any certificate: better than clear text, no proof of who answers (RFC 7435)."""

    def __init__(self, context: SSL.Context, host: str) -> None:
        self._context = context
        self._host = host

    def clientConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        connection = SSL.Connection(self._context, None)
        if not (isIPAddress(self._host) or isIPv6Address(self._host)):  # RFC 6066 3
            connection.set_tlsext_host_name(self._host.encode("idna"))
        return connection


class ClientTLS:
    """Our side as a client; ``authorities_file`` holds the roots we believe, None: those of the system."""

    def __init__(self, authorities_file: Path | None = None) -> None:
        self._roots = _roots(authorities_file)
        options = ssl.CertificateOptions(raiseMinimumTo=ssl.TLSVersion.TLSv1_2)
        self._context = options.getContext()

    def opportunistic(self, host: str) -> IOpenSSLClientConnectionCreator:
        """TLS with whoever answers."""
        return _Opportunistic(self._context, host)

    def verified(self, host: str) -> IOpenSSLClientConnectionCreator:
        """TLS only with the named host, proved by a certificate under our roots."""
        return ssl.optionsForClientTLS(
            host,
            trustRoot=self._roots,
            extraCertificateOptions={"raiseMinimumTo": ssl.TLSVersion.TLSv1_2},
        )


def _roots(path: Path | None) -> Any:
    """The trust roots in a PEM file; what stands between the blocks does not matter."""
    if path is None:
        return ssl.platformTrust()
    found = [ssl.Certificate(crypto.X509.from_cryptography(each)) for each in _certificates(path)]
    return ssl.trustRootFromCertificates(found)
