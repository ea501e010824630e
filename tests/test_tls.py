"""TLS: contexts from files, new files without a restart, and mistakes that name themselves."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import NameOID
from OpenSSL import SSL

from securegw.tls import BadCertificate, ClientTLS, ServerTLS, server_context
from tests.support.certificates import Pair, TestAuthority


@pytest.fixture
def authority(tmp_path: Path) -> TestAuthority:
    return TestAuthority(tmp_path)


def shake(server: SSL.Context, client: SSL.Connection, session: SSL.Session | None = None) -> SSL.Connection:
    """A handshake in memory, and a byte each way, so that tickets arrive."""
    other = SSL.Connection(server, None)
    other.set_accept_state()
    client.set_connect_state()
    if session:
        client.set_session(session)
    for _ in range(10):
        for end in (client, other):
            with contextlib.suppress(SSL.WantReadError):
                end.do_handshake()
        for source, sink in ((client, other), (other, client)):
            with contextlib.suppress(SSL.WantReadError):
                sink.bio_write(source.bio_read(65536))
    other.send(b"x")
    client.bio_write(other.bio_read(65536))
    assert client.recv(1) == b"x"
    return client


def client(options: int = 0) -> SSL.Connection:
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_options(options)
    return SSL.Connection(context, None)


def peer_name(connection: SSL.Connection) -> str:
    certificate = connection.get_peer_certificate(as_cryptography=True)
    assert certificate is not None
    return str(certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)


def test_old_versions_are_refused(authority: TestAuthority) -> None:
    pair = authority.issue("gw.test")
    context = server_context(pair.certificate, pair.key)
    assert shake(context, client()).get_protocol_version_name() == "TLSv1.3"
    assert shake(context, client(SSL.OP_NO_TLSv1_3)).get_protocol_version_name() == "TLSv1.2"
    old = client(SSL.OP_NO_TLSv1_3 | SSL.OP_NO_TLSv1_2)
    with pytest.raises(SSL.Error):
        shake(context, old)


@pytest.mark.parametrize("options", [0, SSL.OP_NO_TLSv1_3])
def test_sessions_are_resumed_by_ticket(authority: TestAuthority, options: int) -> None:
    pair = authority.issue("gw.test")
    context = server_context(pair.certificate, pair.key)
    mine = SSL.Context(SSL.TLS_METHOD)
    mine.set_options(options)
    first = shake(context, SSL.Connection(mine, None))
    session = first.get_session()
    again = SSL.Connection(mine, None)
    shake(context, again, session)
    assert SSL._lib.SSL_session_reused(again._ssl) == 1


def test_the_chain_is_sent(authority: TestAuthority) -> None:
    pair = authority.issue("gw.test")
    pair.certificate.write_bytes(pair.certificate.read_bytes() + authority.roots.read_bytes())
    chain = shake(server_context(pair.certificate, pair.key), client()).get_peer_cert_chain()
    assert chain is not None and len(chain) == 2


def test_new_files_are_used_at_the_next_handshake(authority: TestAuthority) -> None:
    pair = authority.issue("old.test")
    server = ServerTLS(pair.certificate, pair.key)
    assert peer_name(shake(server.context(), client())) == "old.test"
    same = server.context()
    assert server.context() is same
    authority.issue("new.test")
    assert peer_name(shake(server.context(), client())) == "new.test"


def test_bad_new_files_leave_the_old_in_use(authority: TestAuthority) -> None:
    complaints: list[str] = []
    pair = authority.issue("old.test")
    server = ServerTLS(pair.certificate, pair.key, complaints.append)
    other = authority.issue("new.test", file="other")
    pair.certificate.write_bytes(other.certificate.read_bytes())  # the key will come in a moment
    for _ in range(3):
        assert peer_name(shake(server.context(), client())) == "old.test"
    assert len(complaints) == 1 and "not the key" in server.problem
    pair.key.write_bytes(other.key.read_bytes())
    assert peer_name(shake(server.context(), client())) == "new.test"
    assert server.problem == ""
    pair.certificate.unlink()
    assert peer_name(shake(server.context(), client())) == "new.test"
    assert str(pair.certificate) in server.problem


def test_mistakes_name_their_file(authority: TestAuthority, tmp_path: Path) -> None:
    pair, other = authority.issue("gw.test"), authority.issue("x.test", file="other")
    empty = tmp_path / "empty.pem"
    empty.write_text("nothing")
    secret = tmp_path / "secret.key"
    key = serialization.load_pem_private_key(pair.key.read_bytes(), None)
    secret.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"x"),
        )
    )
    for bad, file in (
        (Pair(empty, pair.key), empty),
        (Pair(pair.certificate, empty), empty),
        (Pair(tmp_path / "none.pem", pair.key), tmp_path / "none.pem"),
        (Pair(pair.certificate, secret), secret),
        (Pair(pair.certificate, other.key), other.key),
    ):
        with pytest.raises(BadCertificate, match=str(file)):
            server_context(bad.certificate, bad.key)
    with pytest.raises(BadCertificate, match="empty"):
        ClientTLS(empty)
