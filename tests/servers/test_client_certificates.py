"""Certificates that clients show: asked for, judged after the handshake, and nobody refused for theirs."""

from __future__ import annotations

import contextlib
import datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from OpenSSL import SSL

from securegw.servers.client_certificates import AskingTLS, ClientAuthorities
from securegw.tls import BadCertificate, ServerTLS
from tests.support.certificates import Pair, TestAuthority


def shake(server: AskingTLS, client: SSL.Connection) -> SSL.Connection:
    """A handshake in memory; the server's end."""
    other = server.serverConnectionForTLS(None)  # type: ignore[arg-type]
    other.set_accept_state()
    client.set_connect_state()
    for _ in range(6):
        for end in (client, other):
            with contextlib.suppress(SSL.WantReadError):
                end.do_handshake()
        for source, sink in ((client, other), (other, client)):
            with contextlib.suppress(SSL.WantReadError):
                sink.bio_write(source.bio_read(65536))
    other.send(b"x")
    client.bio_write(other.bio_read(65536))
    assert client.recv(1) == b"x"
    return other


def client(pair: Pair | None = None, options: int = 0) -> SSL.Connection:
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_options(options)
    if pair:
        context.use_certificate_chain_file(str(pair.certificate))
        context.use_privatekey_file(str(pair.key))
    return SSL.Connection(context, None)


@pytest.fixture
def authority(tmp_path: Path) -> TestAuthority:
    return TestAuthority(tmp_path)


@pytest.fixture
def asking(authority: TestAuthority) -> AskingTLS:
    own = authority.issue("gw.test")
    return AskingTLS(ServerTLS(own.certificate, own.key))


def fingerprint(pair: Pair) -> str:
    return x509.load_pem_x509_certificate(pair.certificate.read_bytes()).fingerprint(hashes.SHA256()).hex()


@pytest.mark.parametrize("options", [0, SSL.OP_NO_TLSv1_3])
def test_a_good_certificate_is_shown(authority: TestAuthority, asking: AskingTLS, options: int) -> None:
    pair = authority.issue("Relay.test", file="client")
    shown = ClientAuthorities(authority.roots).judge(shake(asking, client(pair, options)))
    assert shown is not None and shown.names == ("relay.test",) and shown.fingerprint == fingerprint(pair)


def test_none_and_a_strangers_are_let_in_and_are_nothing(
    authority: TestAuthority, asking: AskingTLS, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    stranger = TestAuthority(other).issue("relay.test", file="client")
    judge = ClientAuthorities(authority.roots).judge
    assert judge(shake(asking, client())) is None
    assert judge(shake(asking, client(stranger))) is None


def test_a_resumed_session_is_judged_like_a_new_one(authority: TestAuthority, asking: AskingTLS) -> None:
    pair = authority.issue("relay.test", file="client")
    first = client(pair)
    shake(asking, first)
    again = SSL.Connection(first.get_context(), None)
    session = first.get_session()
    assert session is not None
    again.set_session(session)
    resumed = shake(asking, again)
    shown = ClientAuthorities(authority.roots).judge(resumed)
    assert shown is not None and shown.names == ("relay.test",)


@pytest.mark.parametrize(
    ("uses", "days", "good"),
    [
        ([ExtendedKeyUsageOID.CLIENT_AUTH], 10, True),
        ([ExtendedKeyUsageOID.SERVER_AUTH], 10, True),
        ([ExtendedKeyUsageOID.EMAIL_PROTECTION], 10, False),
        ([ExtendedKeyUsageOID.CLIENT_AUTH], -1, False),
    ],
)
def test_what_the_certificate_is_for_and_until_when(
    asking: AskingTLS, tmp_path: Path, uses: list[x509.ObjectIdentifier], days: int, good: bool
) -> None:
    pair = _issue(tmp_path, uses, days)
    judged = ClientAuthorities(tmp_path / "own-roots.pem").judge(shake(asking, client(pair)))
    assert (judged is not None) is good


def _issue(folder: Path, uses: list[x509.ObjectIdentifier], days: int) -> Pair:
    """An authority of its own, as TestAuthority has no purposes."""
    root, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Own Authority")])
    now = datetime.datetime.now(datetime.UTC)
    begin, end = now - datetime.timedelta(100), now + datetime.timedelta(days)
    ca = x509.BasicConstraints(ca=True, path_length=None)
    serial = x509.random_serial_number
    own = x509.CertificateBuilder(issuer, issuer, root.public_key(), serial(), begin, now + datetime.timedelta(100))
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "relay.test")])
    leaf = x509.CertificateBuilder(issuer, name, key.public_key(), serial(), begin, end)
    leaf = leaf.add_extension(x509.SubjectAlternativeName([x509.DNSName("relay.test")]), False)
    leaf = leaf.add_extension(x509.ExtendedKeyUsage(uses), False)
    pair = Pair(folder / "own.pem", folder / "own.key")
    pem = serialization.Encoding.PEM
    (folder / "own-roots.pem").write_bytes(own.add_extension(ca, True).sign(root, hashes.SHA256()).public_bytes(pem))
    pair.certificate.write_bytes(leaf.sign(root, hashes.SHA256()).public_bytes(pem))
    pair.key.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    return pair


def test_a_file_without_certificates_is_a_mistake(tmp_path: Path) -> None:
    file = tmp_path / "roots.pem"
    for content in (None, b"", b"rubbish"):
        if content is not None:
            file.write_bytes(content)
        with pytest.raises(BadCertificate):
            ClientAuthorities(file)
