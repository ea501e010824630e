"""A running gateway without a route to the world: it asks a name server, and delivers where that one says.

The name server is ours, on the loopback; it names hosts in 198.51.100.0/24, which are ports of this machine. For both
the gateway is started with two things changed: which name server it asks (it has no setting for that, it reads
/etc/resolv.conf), and where a connection to such an address ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator

import attrs
import pytest

from tests.support.dns import Zone
from tests.support.mails import body, mail, read, send
from tests.support.ports import free_port
from tests.support.running import OPEN, ROOT, Gateway, Process, admin, prepare
from tests.support.sink import Sink, sink

ANN = "ann@inside.test"
STARTER = """\
import json, sys
from securegw.clients import mx
from twisted.internet import reactor
from twisted.scripts.twistd import run

server, places = json.loads(sys.argv.pop(1))
mx.system_servers = lambda: (("127.0.0.1", server),)
connect = reactor.connectTCP

def divert(host, port, *rest, **named):
    if port == 25:
        host, port = "127.0.0.1", places[host]
    return connect(host, port, *rest, **named)

reactor.connectTCP = divert
run()
"""
FIRST, SECOND, DEAD = "198.51.100.1", "198.51.100.2", "198.51.100.3"


class Questions(socketserver.BaseRequestHandler):
    """Answers by UDP what the zone knows."""

    def handle(self) -> None:
        datagram, way = self.request
        reply = self.server.zone.answer(datagram, "udp")  # type: ignore[attr-defined]
        if reply:
            way.sendto(reply, self.client_address)


@contextlib.contextmanager
def name_server(zone: Zone) -> Iterator[int]:
    """A name server in a thread of its own; its port."""
    with socketserver.UDPServer(("127.0.0.1", 0), Questions) as server:
        server.zone = zone  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join(10)


@attrs.define
class World:
    """The gateway, what the name server knows, and the two hosts of the world."""

    gateway: Gateway
    zone: Zone
    inside: Sink
    first: Sink
    second: Sink

    def clear(self) -> World:
        for each in (self.inside, self.first, self.second):
            each.forget()
        self.zone.records.clear()
        self.zone.rcodes.clear()
        self.zone.asked.clear()
        self.zone.add("mx1.world.test", "A", FIRST)
        self.zone.add("mx2.world.test", "A", SECOND)
        self.zone.add("dead.world.test", "A", DEAD)
        return self

    def send(self, recipient: str, text: str) -> bytes:
        raw = mail(ANN, recipient, "news", text)
        send(self.gateway.smtp_port, ANN, recipient, raw)
        return body(raw)


def start(gateway: Gateway, server: int, places: dict[str, int]) -> None:
    """As Gateway.start, with another beginning."""
    words = ["-n", "--pidfile=", "--no_save", "securegw", "--config", str(gateway.config)]
    popen = subprocess.Popen(
        [sys.executable, "-c", STARTER, json.dumps([server, places]), *words],
        cwd=gateway.folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    gateway.process = Process(popen)
    threading.Thread(target=gateway.process._read, daemon=True).start()
    gateway.process.wait_for(OPEN)


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    zone = Zone()
    with sink() as inside, sink() as first, sink() as second, name_server(zone) as server:
        gateway = prepare(tmp_path_factory.mktemp("gateway"), inside=inside.port, outside=free_port())
        admin(gateway.config, "routes", "remove", "*")
        admin(gateway.config, "routes", "set", "routed.test", f"hub.test:{second.port}")
        try:
            start(gateway, server, {FIRST: first.port, SECOND: second.port, DEAD: free_port()})
            yield World(gateway, zone, inside, first, second)
        finally:
            gateway.stop()


@pytest.fixture
def world(everything: World) -> World:
    everything.gateway.wait_empty(20)
    return everything.clear()


def test_the_best_mail_server_gets_the_mail(world: World) -> None:
    world.zone.add("best.test", "MX", "20 mx2.world.test.", "10 mx1.world.test.")

    text = world.send("bob@best.test", "hello\n.dot")

    assert body(world.first.sent_to("bob@best.test").raw) == text
    assert world.second.count == 0


def test_the_next_one_gets_it_when_the_best_is_dead(world: World) -> None:
    world.zone.add("half.test", "MX", "10 dead.world.test.", "20 mx2.world.test.")

    world.send("bob@half.test", "hello")

    assert world.second.sent_to("bob@half.test").sender == ANN


def test_a_domain_without_mx_is_its_own_mail_server(world: World) -> None:
    world.zone.add("plain.test", "A", FIRST)

    world.send("bob@plain.test", "hello")

    assert world.first.sent_to("bob@plain.test").sender == ANN
    assert world.zone.asked["udp", "plain.test", "MX"] > 0


def test_an_alias_is_followed(world: World) -> None:
    world.zone.add("alias.test", "CNAME", "real.test.")
    world.zone.add("real.test", "MX", "10 mx1.world.test.")

    world.send("bob@alias.test", "hello")

    assert world.first.sent_to("bob@alias.test").sender == ANN


@pytest.mark.parametrize(
    ("domain", "status"), [("null.test", "5.1.10"), ("nowhere.test", "5.1.2"), ("hollow.test", "5.4.4")]
)
def test_what_can_never_be_delivered_comes_back_at_once(world: World, domain: str, status: str) -> None:
    world.zone.add("null.test", "MX", "0 .")
    world.zone.add("hollow.test", "MX", "10 missing.world.test.")

    world.send(f"bob@{domain}", "marker-661")

    notice = world.inside.sent_to(ANN)
    assert read(notice.raw).get_content_type() == "multipart/report"
    assert f"Status: {status}".encode() in notice.raw
    assert f"bob@{domain}".encode() in notice.raw
    assert b"marker-661" not in notice.raw
    world.gateway.wait_empty(10)
    assert world.first.count == world.second.count == 0


def test_it_is_not_sent_to_the_address_of_a_domain_that_takes_no_mail(world: World) -> None:
    world.zone.add("null.test", "MX", "0 .")
    world.zone.add("null.test", "A", FIRST)

    world.send("bob@null.test", "hello")

    assert b"Status: 5.1.10" in world.inside.sent_to(ANN).raw
    assert world.first.count == 0


@pytest.mark.parametrize("trouble", ["SERVFAIL", "REFUSED"])
def test_it_waits_when_the_name_server_is_in_trouble_and_goes_later(world: World, trouble: str) -> None:
    domain = f"{trouble.lower()}.test"
    world.zone.rcodes[domain] = trouble
    world.send(f"bob@{domain}", "patience")
    world.gateway.wait_for_queue(lambda items: any(item.tries for item in items))
    assert world.inside.count == 0

    del world.zone.rcodes[domain]
    world.zone.add(domain, "MX", "10 mx1.world.test.")
    until_sent(world, world.first, f"bob@{domain}")

    assert world.inside.count == 0


def until_sent(world: World, goal: Sink, recipient: str) -> None:
    """The administrator tries it again, until what the gateway remembers of the trouble is over."""
    for _ in range(20):
        world.gateway.retry_all()
        with contextlib.suppress(AssertionError):
            goal.sent_to(recipient, 1.0)
            return
    raise AssertionError(f"{recipient} never got it\n{world.gateway.log[-2000:]}")


def test_its_own_name_as_mail_server_is_a_circle(world: World) -> None:
    world.zone.add("circle.test", "MX", "10 gw.inside.test.", "20 mx1.world.test.")

    world.send("bob@circle.test", "hello")

    assert b"Status: 5.4.6" in world.inside.sent_to(ANN).raw
    assert world.first.count == 0


def test_a_domain_that_names_this_machine_is_not_believed(world: World) -> None:
    world.zone.add("evil.test", "MX", "10 here.evil.test.")
    world.zone.add("here.evil.test", "A", "127.0.0.1")

    world.send("bob@evil.test", "hello")

    assert b"Status: 5.4.6" in world.inside.sent_to(ANN).raw


def test_a_route_by_name_keeps_its_port(world: World) -> None:
    world.zone.add("hub.test", "MX", "10 mx.hub.test.")
    world.zone.add("mx.hub.test", "A", "127.0.0.1")

    world.send("bob@routed.test", "hello")

    assert world.second.sent_to("bob@routed.test").sender == ANN
