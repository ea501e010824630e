"""HAProxy in front of a running gateway: the client is who the PROXY header names, and nobody else may name one."""

from __future__ import annotations

import json
import poplib
import re
import smtplib
import socket
import ssl
import tempfile
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from tests.peers.conftest import demand
from tests.support import haproxy, ldap_client
from tests.support.haproxy import BALANCER, HAProxy
from tests.support.mails import STRANGER, mail, read
from tests.support.nrpe_door import query, read_response
from tests.support.ports import free_port
from tests.support.running import Gateway, prepare, securegw
from tests.support.sink import Sink, sink

ANN, BOB = "ann@inside.test", "bob@outside.test"
OURS = "127.0.0.1"
BOX = "archive@inside.test"
DOORS = ("pop3", "ldap", "nrpe", "monitoring")
PROXY_LINE = b"PROXY TCP4 127.0.0.1 127.0.0.1 40000 25\r\n"

versions = pytest.mark.parametrize("version", [1, 2])


@attrs.frozen
class Line:
    """HAProxy, gateway, and the people inside and outside."""

    proxy: HAProxy
    gateway: Gateway
    inside: Sink
    outside: Sink
    password: str

    def client(self, version: int, source: str) -> smtplib.SMTP:
        return smtplib.SMTP("127.0.0.1", self.proxy.ports[version], timeout=20, source_address=(source, 0))


@pytest.fixture(scope="module")
def everything() -> Iterator[Line]:
    demand(haproxy.missing())
    with tempfile.TemporaryDirectory(prefix="sg-haproxy-") as name, sink() as inside, sink() as outside:
        ports = [free_port() for _ in DOORS]
        gateway = prepare(Path(name), inside=inside.port, outside=outside.port, settings=doors(*ports))
        trust(gateway, BALANCER)
        made = securegw("mailboxes", "create", BOX, "--json", "--config", str(gateway.config))
        gateway.start()
        try:
            with haproxy.haproxy(Path(name), gateway.smtp_port, *ports) as proxy:
                yield Line(proxy, gateway, inside, outside, str(json.loads(made)["password"]))
        finally:
            gateway.stop()


@pytest.fixture
def line(everything: Line) -> Line:
    everything.gateway.wait_empty(20)
    everything.inside.forget()
    everything.outside.forget()
    return everything


def doors(pop3: int, ldap: int, nrpe: int, monitoring: int) -> dict[str, dict[str, object]]:
    """Doors behind the balancer: NRPE for the world except the balancer."""
    tls, behind = {"certificate": "tls.pem", "key": "tls.key"}, {"proxies": [BALANCER]}
    return {
        "pop3": {**tls, **behind, "listen_tls": [f"tcp:{pop3}:interface=127.0.0.1"]},
        "ldap": {**behind, "inside": [f"tcp:{ldap}:interface=127.0.0.1"], "networks": [OURS]},
        "nrpe": {**tls, **behind, "listen": [f"tcp:{nrpe}:interface=127.0.0.1"], "networks": [OURS]},
        "monitoring": {**tls, **behind, "listen": [f"tcp:{monitoring}:interface=127.0.0.1"], "networks": [OURS]},
    }


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


# --- the other doors --------------------------------------------------------------------------------------------------


def through(line: Line, door: str, source: str) -> socket.socket:
    """A connection from this address to a door behind the balancer."""
    port = line.proxy.ports[3 + DOORS.index(door)]
    return socket.create_connection(("127.0.0.1", port), timeout=20, source_address=(source, 0))


class Session(poplib.POP3):
    """POP3S over a connection that is there already."""

    def __init__(self, connection: socket.socket) -> None:
        self.wrapped = ssl._create_unverified_context().wrap_socket(connection)
        super().__init__("gateway")

    def _create_socket(self, timeout: float) -> socket.socket:
        return self.wrapped


def test_who_fetches_mail_is_known_by_his_own_address(line: Line) -> None:
    """Guesses count for who guesses and not for all behind the balancer."""
    with line.client(1, OURS) as session:
        session.sendmail(ANN, BOX, mail(ANN, BOX, "kept", "good day"))
    guessing = Session(through(line, "pop3", STRANGER))
    guessing.user(BOX)
    with pytest.raises(poplib.error_proto, match="AUTH"):
        guessing.pass_("wrong")
    assert line.gateway.process is not None
    line.gateway.process.wait_for(re.compile(re.escape(f"pop3 {STRANGER}: wrong-password")))
    owner = Session(through(line, "pop3", OURS))
    owner.user(BOX)
    owner.pass_(line.password)
    assert b"good day" in owner.retr(1)[1]
    owner.quit()


def test_the_keyserver_knows_its_networks_behind_the_balancer(line: Line) -> None:
    """A search for a part of an address is for the named networks: it is found empty there, and refused elsewhere."""
    codes = {}
    for source in (OURS, STRANGER):
        with through(line, "ldap", source) as connection:
            connection.sendall(ldap_client.search("(mail=nobody*)"))
            [done] = ldap_client.read(connection.recv(65536))
            codes[source] = done.code
    assert codes[OURS] == 0 != codes[STRANGER]


def test_checks_are_answered_for_named_networks_behind_the_balancer(line: Line) -> None:
    context = ssl._create_unverified_context()
    with context.wrap_socket(through(line, "nrpe", OURS)) as asking:
        asking.sendall(query(3, b"check_securegw_queue"))
        assert "QUEUE" in read_response(asking.recv(65536))
    with pytest.raises(OSError), context.wrap_socket(through(line, "nrpe", STRANGER)) as asking:
        asking.sendall(query(3, b"check_securegw_queue"))
        assert asking.recv(65536)


def test_web_pages_are_for_named_networks_behind_the_balancer(line: Line) -> None:
    context, question = ssl._create_unverified_context(), b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
    with context.wrap_socket(through(line, "monitoring", OURS)) as asking:
        asking.sendall(question)
        assert asking.recv(65536).startswith(b"HTTP/1.1 ")
    with pytest.raises(OSError), context.wrap_socket(through(line, "monitoring", STRANGER)) as asking:
        asking.sendall(question)
        assert asking.recv(65536)


@pytest.mark.parametrize("door", DOORS)
def test_without_a_header_the_balancer_is_told_nothing(line: Line, door: str) -> None:
    own = line.gateway.settings()
    listens = {"pop3": own.pop3.listen_tls, "ldap": own.ldap.inside, "nrpe": own.nrpe.listen}
    [listen] = listens.get(door, own.monitoring.listen)
    assert talk(int(listen.split(":")[1]), BALANCER, b"hello\r\n") == b""
