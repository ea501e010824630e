"""Doors behind balancers: the client is who the PROXY header names, and nobody but a named balancer may name one."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_network
from typing import Any

import attrs
import pytest
from twisted.internet.address import IPv4Address
from twisted.internet.task import Clock

from securegw import wire
from securegw.servers import behind_balancers
from securegw.servers.behind_balancers import SECONDS, BehindBalancers
from securegw.servers.ldap import LdapFactory
from securegw.servers.metrics import MonitoringSettings, MonitoringSite
from securegw.servers.nrpe import NrpeFactory, NrpeSettings
from securegw.servers.pop3 import Pop3Factory, Pop3Settings
from tests.portal.browser import Browser
from tests.servers.test_proxy_header import FOUR, SIX, v2
from tests.support.ldap_door import LdapDoor
from tests.support.nrpe_door import TABLE, query, read_response
from tests.support.pop3_door import Pop3Transport, PretendedPickup
from tests.support.world import World

BALANCER = "192.0.2.5"
ANSWER = "3 0 QUEUE OK - 3 mails in the queue | queue=3;10;20;0"
FROM_CLIENT = b"PROXY TCP4 198.51.100.7 192.0.2.1 4711 25\r\n"


@attrs.define
class Line:
    """One connection from ``peer`` to a door behind balancers."""

    factory: BehindBalancers
    peer: str = BALANCER
    transport: Any = None

    def __attrs_post_init__(self) -> None:
        self.transport = Pop3Transport(self.peer)
        made = self.factory.buildProtocol(self.transport.peer)
        assert made is not None
        self.transport.protocol = made
        made.makeConnection(self.transport)

    def send(self, data: bytes) -> bytes:
        """Bytes in; what comes back."""
        if self.transport.connected:
            self.transport.protocol.dataReceived(data)
        said = bytes(self.transport.value())
        self.transport.clear()
        return said

    @property
    def closed(self) -> bool:
        return not self.transport.connected


@pytest.fixture
def pickup() -> PretendedPickup:
    return PretendedPickup()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def line(pickup: PretendedPickup, clock: Clock) -> Callable[..., Line]:
    def made(peer: str = BALANCER, *, implicit_tls: bool = False) -> Line:
        tls: Any = "pretended"
        door = Pop3Factory(pickup, Pop3Settings(), tls, clock, implicit_tls=implicit_tls)
        return Line(BehindBalancers(door, (ip_network("192.0.2.5/32"),), clock, "pop3"), peer)

    return made


def sign_in(line: Line) -> None:
    line.send(b"STLS\r\n")
    line.transport.protocol.handshakeCompleted()
    assert line.send(b"USER box@inside.test\r\nPASS secret\r\n").endswith(b"octets)\r\n")


@pytest.mark.parametrize(
    ("header", "client"),
    [(FROM_CLIENT, "198.51.100.7"), (v2(0x21, 0x11, FOUR), "198.51.100.7"), (v2(0x21, 0x21, SIX), "2001:db8::1")],
    ids=["version 1", "version 2", "IPv6"],
)
def test_the_client_is_who_the_header_names(
    line: Callable[..., Line], pickup: PretendedPickup, header: bytes, client: str
) -> None:
    pop3 = line()
    assert pop3.send(header[:9]) == b""
    assert pop3.send(header[9:]).startswith(b"+OK")
    sign_in(pop3)
    assert [peer for _, _, peer in pickup.asked] == [client]


def test_what_follows_the_header_at_once_is_not_lost(line: Callable[..., Line]) -> None:
    assert line().send(FROM_CLIENT + b"CAPA\r\n").count(b"+OK") == 2


def test_a_direct_client_is_greeted_and_may_name_nobody(line: Callable[..., Line], pickup: PretendedPickup) -> None:
    direct = line("198.51.100.99")
    assert direct.transport.value().startswith(b"+OK")
    assert b"-ERR" in direct.send(FROM_CLIENT)
    sign_in(direct)
    assert [peer for _, _, peer in pickup.asked] == ["198.51.100.99"]


@pytest.mark.parametrize(
    "said", [b"CAPA\r\n", b"PROXY UNKNOWN\r\n", v2(0x21, 0x00, b""), v2(0x21, 0x31, bytes(216)), b"\x16\x03\x01"]
)
def test_a_balancer_that_names_nobody_is_turned_away(line: Callable[..., Line], said: bytes) -> None:
    """Else a client without an address would be taken for the balancer, which may be known."""
    silent = line()
    assert silent.send(said) == b""
    assert silent.closed and not silent.factory.waiting


def test_its_own_checks_are_its_own(line: Callable[..., Line], pickup: PretendedPickup) -> None:
    checking = line()
    assert checking.send(v2(0x20, 0x00, b"")).startswith(b"+OK")
    sign_in(checking)
    assert [peer for _, _, peer in pickup.asked] == [BALANCER]


def test_a_header_that_does_not_come_is_not_waited_for(line: Callable[..., Line], clock: Clock) -> None:
    slow, quick = line(), line()
    quick.send(FROM_CLIENT)
    slow.send(b"PROXY ")
    clock.advance(SECONDS - 1)
    assert not slow.closed
    clock.advance(1)
    assert slow.closed and not quick.closed


def test_connections_without_a_header_are_bounded(
    line: Callable[..., Line], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(behind_balancers, "MOST", 2)
    first = line()
    second = Line(first.factory)
    assert first.factory.buildProtocol(IPv4Address("TCP", BALANCER, 1)) is None
    second.send(FROM_CLIENT)
    assert first.factory.buildProtocol(IPv4Address("TCP", BALANCER, 1)) is not None


def test_tls_begins_behind_the_header(line: Callable[..., Line]) -> None:
    pop3 = line(implicit_tls=True)
    assert pop3.send(FROM_CLIENT) == b""
    assert pop3.transport.context == "pretended"


def test_who_has_gone_is_forgotten(line: Callable[..., Line], clock: Clock) -> None:
    gone = line()
    gone.transport.loseConnection()
    assert not gone.factory.waiting and not clock.getDelayedCalls()


def test_a_gateway_that_goes_down_waits_for_no_header(line: Callable[..., Line]) -> None:
    waiting = line()
    waiting.factory.dismiss()
    assert waiting.closed


def test_a_client_counts_as_itself_at_the_keyserver(world: World) -> None:
    """Whether somebody is of the named networks is asked of the client, not of the balancer."""
    inner = LdapDoor(world).factory
    assert isinstance(inner, LdapFactory) and inner.knows("10.0.0.7")
    door = BehindBalancers(inner, (ip_network("10.0.0.0/8"),), world.clock, "ldap")
    for client, known in (("198.51.100.7", False), ("10.0.0.9", True)):
        line = Line(door, "10.0.0.7")
        line.send(f"PROXY TCP4 {client} 10.0.0.1 4711 389\r\n".encode())
        assert line.transport.protocol._known is known


def test_nrpe_answers_clients_of_the_named_networks_only(clock: Clock) -> None:
    inner = NrpeFactory(NrpeSettings(networks=(ip_network("198.51.100.0/24"),)), lambda: TABLE, clock)
    door = BehindBalancers(inner, (ip_network("192.0.2.5/32"),), clock, "nrpe")
    named, stranger = Line(door), Line(door)
    question = query(3, b"check_securegw_queue")
    assert read_response(named.send(FROM_CLIENT + question)) == ANSWER
    assert stranger.send(FROM_CLIENT.replace(b"198.51.100.7", b"203.0.113.9") + question) == b""
    assert stranger.closed


def test_web_pages_see_the_client(world: World) -> None:
    own = MonitoringSettings(networks=(ip_network("198.51.100.0/24"),))
    proxies = (ip_network("192.0.2.5/32"),)
    door = BehindBalancers(MonitoringSite(own, lambda: TABLE, world.clock), proxies, world.clock, "metrics")
    question = b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    assert b"HTTP/1.1 503" in Line(door).send(FROM_CLIENT + question)  # TABLE has a critical check
    stranger = Line(door)
    assert stranger.send(FROM_CLIENT.replace(b"198.51.100.7", b"203.0.113.9") + question) == b""
    assert stranger.closed
    portal = Line(BehindBalancers(Browser(world).site, proxies, world.clock, "portal"))
    portal.send(FROM_CLIENT)
    assert portal.transport.protocol.network == "198.51.100.7"


def test_what_came_with_the_header_is_read_before_what_comes_next(line: Callable[..., Line]) -> None:
    """A door that looks at its socket at once does not look before it has heard what came with the header."""
    pop3 = line()
    seen: list[bool] = []
    real = pop3.factory.door.buildProtocol

    def built(address: Any) -> Any:
        made = real(address)
        begin = made.makeConnection

        def beginning(transport: Any) -> None:
            seen.append(transport in wire._held)
            begin(transport)

        made.makeConnection = beginning
        return made

    pop3.factory.door.buildProtocol = built
    pop3.send(FROM_CLIENT)
    assert seen == [True] and not wire._held
