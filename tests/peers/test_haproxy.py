"""HAProxy in front of a running gateway: the client is who the PROXY header names, and nobody else may name one."""

from __future__ import annotations

import smtplib
import socket
import ssl
import tempfile
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from tests.peers.conftest import demand
from tests.support import haproxy
from tests.support.haproxy import BALANCER, HAProxy
from tests.support.mails import STRANGER, mail, read
from tests.support.running import Gateway, prepare
from tests.support.sink import Sink, sink

ANN, BOB = "ann@inside.test", "bob@outside.test"
OURS = "127.0.0.1"
PROXY_LINE = b"PROXY TCP4 127.0.0.1 127.0.0.1 40000 25\r\n"

versions = pytest.mark.parametrize("version", [1, 2])


@attrs.frozen
class Line:
    """HAProxy, gateway, and the people inside and outside."""

    proxy: HAProxy
    gateway: Gateway
    inside: Sink
    outside: Sink

    def client(self, version: int, source: str) -> smtplib.SMTP:
        return smtplib.SMTP("127.0.0.1", self.proxy.ports[version], timeout=20, source_address=(source, 0))


@pytest.fixture(scope="module")
def everything() -> Iterator[Line]:
    demand(haproxy.missing())
    with tempfile.TemporaryDirectory(prefix="sg-haproxy-") as name, sink() as inside, sink() as outside:
        gateway = prepare(Path(name), inside=inside.port, outside=outside.port)
        trust(gateway, BALANCER)
        gateway.start()
        try:
            with haproxy.haproxy(Path(name), gateway.smtp_port) as proxy:
                yield Line(proxy, gateway, inside, outside)
        finally:
            gateway.stop()


@pytest.fixture
def line(everything: Line) -> Line:
    everything.gateway.wait_empty(20)
    everything.inside.forget()
    everything.outside.forget()
    return everything


def trust(gateway: Gateway, balancer: str) -> None:
    """Name a balancer in the configuration."""
    text = gateway.config.read_text()
    gateway.config.write_text(text.replace("[smtp]\n", f'[smtp]\nproxies = ["{balancer}"]\n'))


def received(raw: bytes) -> str:
    return next(field for field in read(raw).get_all("Received", []) if "by gw.inside.test" in field)


def talk(port: int, source: str, *lines: bytes) -> bytes:
    """Say this at once, and listen until the other side closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=20, source_address=(source, 0)) as session:
        session.sendall(b"".join(lines))
        heard = b""
        try:
            while piece := session.recv(4096):
                heard += piece
        except ConnectionResetError:
            pass
        return heard


@versions
def test_the_client_is_in_the_received_field(line: Line, version: int) -> None:
    with line.client(version, STRANGER) as session:
        session.sendmail(BOB, ANN, mail(BOB, ANN, "in", "good day"))

    trace = received(line.inside.sent_to(ANN).raw)
    assert f"[{STRANGER}]" in trace
    assert BALANCER not in trace


@versions
def test_our_own_server_behind_it_may_write_to_the_world(line: Line, version: int) -> None:
    with line.client(version, OURS) as session:
        session.sendmail(ANN, BOB, mail(ANN, BOB, "out", "good day"))

    assert f"[{OURS}]" in received(line.outside.sent_to(BOB).raw)


@versions
def test_a_stranger_behind_it_may_not(line: Line, version: int) -> None:
    with line.client(version, STRANGER) as session, pytest.raises(smtplib.SMTPRecipientsRefused) as refused:
        session.sendmail(BOB, "eve@elsewhere.test", mail(BOB, ANN, "relay", "through you"))

    assert refused.value.recipients["eve@elsewhere.test"][0] == 554
    assert line.outside.count == 0


@versions
def test_tls_begins_behind_the_header(line: Line, version: int) -> None:
    with line.client(version, STRANGER) as session:
        session.starttls(context=ssl._create_unverified_context())
        session.sendmail(BOB, ANN, mail(BOB, ANN, "covered", "good day"))

    trace = received(line.inside.sent_to(ANN).raw)
    assert "ESMTPS" in trace
    assert f"[{STRANGER}]" in trace


@versions
def test_a_client_behind_it_cannot_name_another(line: Line, version: int) -> None:
    heard = talk(line.proxy.ports[version], STRANGER, PROXY_LINE, b"EHLO liar.test\r\n")

    assert b"\r\n554 " in heard  # one answer, then the gateway closes
    assert heard.count(b"\r\n") == 2


def test_a_direct_client_is_still_itself(line: Line) -> None:
    with smtplib.SMTP("127.0.0.1", line.gateway.smtp_port, timeout=20, source_address=(STRANGER, 0)) as session:
        session.sendmail(BOB, ANN, mail(BOB, ANN, "direct", "good day"))

    assert f"[{STRANGER}]" in received(line.inside.sent_to(ANN).raw)


@pytest.mark.parametrize("source", [OURS, STRANGER])
def test_a_direct_client_that_sends_a_proxy_line_is_turned_away(line: Line, source: str) -> None:
    lines = [b"EHLO liar.test\r\n", f"MAIL FROM:<{BOB}>\r\n".encode(), b"RCPT TO:<eve@elsewhere.test>\r\n"]

    heard = talk(line.gateway.smtp_port, source, PROXY_LINE, *lines)

    assert b"\r\n554 " in heard
    assert heard.count(b"\r\n") == 2
    assert line.gateway.queue() == []


def test_the_balancer_itself_must_send_one(line: Line) -> None:
    assert talk(line.gateway.smtp_port, BALANCER, b"EHLO balancer.test\r\n") == b""


def test_its_checks_find_the_gateway(line: Line) -> None:
    line.proxy.wait_for_states("UP L4OK")


def test_it_sees_when_the_gateway_goes_and_comes_back(line: Line) -> None:
    line.gateway.stop()
    try:
        line.proxy.wait_for_states("DOWN L4CON")
    finally:
        line.gateway.start()

    line.proxy.wait_for_states("UP L4OK")
