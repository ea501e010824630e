"""TLS for all doors and clients: who we are, whom we believe, and new files without a restart.

Not a policy: whether TLS is wanted is decided elsewhere. TLS 1.2 and later (RFC 8996, RFC 9325 3.1.1), session
tickets (RFC 5077, RFC 8446 4.6.1), names checked as in RFC 9525. Certificates and keys are PEM files.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from OpenSSL import SSL, crypto
from service_identity import CertificateError, VerificationError
from service_identity.cryptography import extract_patterns
from service_identity.hazmat import DNS_ID, IPAddress_ID, verify_service_identity
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
    context: SSL.Context = options.getContext()
    _show(context, certificate_file, key_file)
    return context


def _show(context: SSL.Context, certificate_file: Path, key_file: Path) -> None:
    """From now on this is who we are."""
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


@attrs.frozen
class Wanted:
    """Who must answer: one of ``names``, under our roots; or one of ``fingerprints``; neither means anybody.

    A fingerprint is the SHA-256 of the certificate or of its public key, in hexadecimal, with or without colons.
    """

    names: tuple[str, ...] = ()
    fingerprints: tuple[str, ...] | None = None


class ClientTLS:
    """Our side as a client; ``authorities_file`` holds the roots we believe, None: those of the system.

    ``own`` are the files of a certificate and its key, for servers that want to know who we are.
    """

    def __init__(self, authorities_file: Path | None = None, own: tuple[Path, Path] | None = None) -> None:
        self._trusting = _client_context(None)
        self._checking = _client_context(_roots(authorities_file))
        if own is not None:
            _show(self._trusting, *own)
            _show(self._checking, *own)

    def handshake(self, host: str, wanted: Wanted, session: SSL.Session | None = None) -> ClientHandshake:
        """A handshake with a host; ``session`` is from an earlier one that wanted the same of the same host."""
        context = self._checking if wanted.names else self._trusting
        return ClientHandshake(context, host, wanted, session)


@implementer(IOpenSSLClientConnectionCreator)
class ClientHandshake:
    """One handshake: Twisted takes the connection from it, and then it judges who answered.

    While it runs, OpenSSL follows the chain to our roots if names are wanted, and ``problem`` says what it met.
    """

    def __init__(self, context: SSL.Context, host: str, wanted: Wanted, session: SSL.Session | None) -> None:
        self.problem = ""
        self._host = host
        self._wanted = wanted
        self._connection = SSL.Connection(context, None)
        if wanted.names:
            self._connection.set_verify(SSL.VERIFY_PEER, self._check)
        if session is not None:
            self._connection.set_session(session)

    def clientConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        if name := _server_name(self._host):
            self._connection.set_tlsext_host_name(name)
        return self._connection

    def session(self) -> SSL.Session | None:
        """What shortens the next handshake; complete as soon as the server has said something under TLS."""
        return self._connection.get_session()

    def judge(self) -> str:
        """After the handshake: nothing if the right one answered, else what is wrong."""
        if not self._wanted.names and self._wanted.fingerprints is None:
            return ""
        certificate = self._connection.get_peer_certificate(as_cryptography=True)
        if certificate is None:
            self.problem = f"{self._host} has shown no certificate"
        elif self._wanted.fingerprints is not None:
            self.problem = self._judge_fingerprint(certificate, self._wanted.fingerprints)
        elif not any(_is_for(certificate, name) for name in self._wanted.names):
            self.problem = f"The certificate of {self._host} is not for {' or '.join(self._wanted.names)}"
        return self.problem

    def _judge_fingerprint(self, certificate: x509.Certificate, wanted: tuple[str, ...]) -> str:
        if not wanted:
            return f"No fingerprint is known for {self._host}"
        found = fingerprints(certificate)
        pairs = [(one, other) for one in found for other in map(_bare, wanted)]
        good = [hmac.compare_digest(one.encode(), other.encode()) for one, other in pairs]
        return "" if any(good) else f"The certificate of {self._host} has another fingerprint: {found[0]}"

    def _check(self, connection: SSL.Connection, certificate: crypto.X509, code: int, depth: int, good: int) -> bool:
        if not good and not self.problem:
            why = _CHAIN_PROBLEMS.get(code, f"problem {code}")
            self.problem = f"The certificate of {self._host} cannot be trusted: {why}"
        return bool(good)


def fingerprints(certificate: x509.Certificate) -> tuple[str, str]:
    """SHA-256 of the certificate and of its public key, in hexadecimal."""
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(certificate.public_bytes(Encoding.DER)).hexdigest(), hashlib.sha256(key).hexdigest()


def in_words(error: BaseException | None) -> str:
    """What went wrong, for a reply: OpenSSL puts its words into a list of triples."""
    if isinstance(error, SSL.Error) and error.args and error.args[0]:
        return str(error.args[0][-1][-1])
    return str(error) or type(error).__name__


def _client_context(roots: Any) -> SSL.Context:
    options = ssl.CertificateOptions(trustRoot=roots, raiseMinimumTo=ssl.TLSVersion.TLSv1_2)
    context: SSL.Context = options.getContext()
    return context


def _server_name(host: str) -> bytes:
    """The name to announce; addresses are not announced (RFC 6066 3)."""
    if isIPAddress(host) or isIPv6Address(host):
        return b""
    try:
        return host.encode("idna")
    except UnicodeError:
        return b""


def _is_for(certificate: x509.Certificate, name: str) -> bool:
    """Whether a certificate speaks for a host (RFC 9525 6)."""
    is_address = isIPAddress(name) or isIPv6Address(name)
    try:
        wanted = IPAddress_ID(name) if is_address else DNS_ID(name)
        verify_service_identity(extract_patterns(certificate), [wanted], [])
    except (CertificateError, VerificationError, ValueError):
        return False
    return True


def _bare(fingerprint: str) -> str:
    return fingerprint.replace(":", "").replace(" ", "").lower()


_CHAIN_PROBLEMS = {
    code: name.removeprefix("ERR_").replace("_", " ").lower()
    for name, code in vars(SSL.X509VerificationCodes).items()
    if name.startswith("ERR_")
}


def _roots(path: Path | None) -> Any:
    """The trust roots in a PEM file; what stands between the blocks does not matter."""
    if path is None:
        return ssl.platformTrust()
    found = [ssl.Certificate(crypto.X509.from_cryptography(each)) for each in _certificates(path)]
    return ssl.trustRootFromCertificates(found)
