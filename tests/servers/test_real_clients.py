"""swaks and openssl against the door on real ports: AUTH over STARTTLS, TLS from the first byte, PROXY before both."""

from __future__ import annotations

import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.peers.conftest import demand, program  # noqa: F401
from tests.support.listening_door import ListeningDoor, listening_door

ENVELOPE = (
    "EHLO c.test\r\nMAIL FROM:<ann@inside.test>\r\nRCPT TO:<bob@outside.test>\r\nBDAT 7 LAST\r\nhello\r\nQUIT\r\n"
)


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ListeningDoor]:
    with listening_door(tmp_path_factory.mktemp("door")) as running:
        yield running


@pytest.fixture
def swaks(program, door: ListeningDoor):  # type: ignore[no-untyped-def]  # noqa: F811
    found = program("swaks")

    def run(*more: str, port: str = "clear") -> subprocess.CompletedProcess[str]:
        server = ["--server", f"127.0.0.1:{door.ports[port]}", "--from", "ann@inside.test", "--to", "bob@outside.test"]
        return subprocess.run(
            [found, *server, *more], capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL, check=False
        )

    return run


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
def test_auth_over_starttls(swaks, door: ListeningDoor, mechanism: str) -> None:  # type: ignore[no-untyped-def]
    done = swaks("--tls", "--auth", mechanism, "--auth-user", "ann", "--auth-password", "secret")
    assert done.returncode == 0, done.stdout
    told = door.next_mail()
    assert (told["person"], told["inside"], told["tls"]) == ("ann", True, "TLSv1.3")


def test_auth_without_tls_or_with_a_wrong_password(swaks) -> None:  # type: ignore[no-untyped-def]
    credentials = ("--auth-user", "ann", "--auth-password")
    clear = swaks("--auth", "PLAIN", *credentials, "secret")
    wrong = swaks("--tls", "--auth", "PLAIN", *credentials, "guess")
    assert (clear.returncode == 28 and "AUTH not available" in clear.stdout + clear.stderr) or clear.returncode != 0
    assert wrong.returncode == 28 and "535 5.7.8" in wrong.stdout


def test_tls_from_the_first_byte_and_auth(swaks, door: ListeningDoor) -> None:  # type: ignore[no-untyped-def]
    done = swaks("--tls-on-connect", "--auth", "PLAIN", "--auth-user", "ann", "--auth-password", "secret", port="tls")
    assert done.returncode == 0, done.stdout
    assert door.next_mail()["person"] == "ann"


def test_swaks_speaks_proxy(swaks, door: ListeningDoor) -> None:  # type: ignore[no-untyped-def]
    for version, family in (("1", "TCP4"), ("2", "AF_INET")):
        source = ("--proxy-family", family, "--proxy-source", "198.51.100.7", "--proxy-source-port", "4711")
        target = ("--proxy-dest", "192.0.2.1", "--proxy-dest-port", "25")
        done = swaks("--proxy-version", version, *source, *target, "--tls", port="proxied")
        assert done.returncode == 0, done.stdout
        told = door.next_mail()
        assert (told["address"], told["port"], told["tls"]) == ("198.51.100.7", 4711, "TLSv1.3")


def test_a_proxy_header_before_the_handshake_in_one_segment(door: ListeningDoor) -> None:
    """What HAProxy sends with send-proxy before a client that speaks TLS; the ClientHello may come along."""
    context = ssl.create_default_context(cafile=str(door.authority.roots))
    inside, outside = ssl.MemoryBIO(), ssl.MemoryBIO()
    session = context.wrap_bio(inside, outside, server_hostname="gw.test")
    with socket.create_connection(("127.0.0.1", door.ports["proxied_tls"]), timeout=20) as plain:
        heard, sent, greeted = b"", b"PROXY TCP6 2001:db8::7 2001:db8::1 4711 465\r\n", False
        while b"221" not in heard:
            try:
                if not greeted:
                    session.do_handshake()
                    greeted = True
                    session.write(ENVELOPE.encode())
                heard += session.read(65536)
                continue
            except ssl.SSLWantReadError:
                sent += outside.read()
            plain.sendall(sent)
            sent = b""
            inside.write(plain.recv(65536))
    told = door.next_mail()
    assert (told["address"], told["tls"], told["raw"]) == ("2001:db8::7", "TLSv1.3", "hello\r\n")


@pytest.mark.parametrize("certificate", [True, False])
@pytest.mark.parametrize("way", ["tls", "clear"])
def test_openssl_with_and_without_a_client_certificate(
    program,  # type: ignore[no-untyped-def]  # noqa: F811
    door: ListeningDoor,
    way: str,
    certificate: bool,
    tmp_path: Path,
) -> None:
    command = [program("openssl"), "s_client", "-quiet", "-crlf", "-connect", f"127.0.0.1:{door.ports[way]}"]
    command += ["-CAfile", str(door.authority.roots), "-verify_return_error", "-servername", "gw.test"]
    if way == "clear":
        command += ["-starttls", "smtp"]
    if certificate:
        command += ["-cert", str(door.client.certificate), "-key", str(door.client.key)]
    lines = ENVELOPE.replace("\r\n", "\n")
    done = subprocess.run(command, input=lines, capture_output=True, text=True, timeout=30, check=False)
    assert "250 2.0.0 Taken as" in done.stdout, done.stdout + done.stderr
    told = door.next_mail()
    assert told["inside"] is certificate and told["tls"] == "TLSv1.3"
