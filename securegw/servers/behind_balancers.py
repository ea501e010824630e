"""A door behind load balancers: who is meant by a connection from one of them stands in its PROXY header.

Not the header's form (proxy_header), and not for SMTP, whose connection reads it by itself because a balancer's own
checks count as nobody there. The door behind never sees the header, nor that there was one. Only named balancers are
read for a header, and they must send one.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import txaio
from twisted.internet import protocol
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IAddress, IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from securegw.config import Network
from securegw.servers.networks import is_named
from securegw.servers.proxy_header import BadProxyHeader, Client, ProxyReader
from securegw.wire import held

log = txaio.make_logger()

SECONDS = 10.0  # for the header
MOST = 1000  # connections whose header has not come yet


class BehindBalancers(protocol.ServerFactory):
    """Makes the connections of another factory, each with its client's address. ``name`` is for the log."""

    def __init__(self, door: Any, proxies: Iterable[Network], clock: IReactorTime, name: str) -> None:
        self.door = door
        self.clock = clock
        self.name = name
        self.waiting: set[_Introduction] = set()
        self._proxies = tuple(proxies)

    def doStart(self) -> None:
        super().doStart()  # type: ignore[no-untyped-call]
        self.door.doStart()

    def doStop(self) -> None:
        super().doStop()  # type: ignore[no-untyped-call]
        self.door.doStop()

    def buildProtocol(self, addr: IAddress | None) -> Any:
        host = str(getattr(addr, "host", "") or "")
        if not (host and is_named(host, self._proxies)):
            return self.door.buildProtocol(addr)
        return _Introduction(self, addr) if len(self.waiting) < MOST else None

    def dismiss(self) -> None:
        """The gateway goes down."""
        for introduction in tuple(self.waiting):
            introduction.give_up("going down")


class _Introduction(protocol.Protocol):
    """Reads the header, then leaves its place to the door's own protocol."""

    transport: Any

    def __init__(self, factory: BehindBalancers, balancer: IAddress | None) -> None:
        self._factory = factory
        self._balancer = balancer
        self._reader = ProxyReader()
        self._timer: IDelayedCall | None = None

    def connectionMade(self) -> None:
        self._factory.waiting.add(self)
        self._timer = self._factory.clock.callLater(SECONDS, self.give_up, "no proxy header in time")

    def dataReceived(self, data: bytes) -> None:
        try:
            found = self._reader.feed(data)
        except BadProxyHeader:
            return self.give_up("no proxy header")
        if found is None:
            return None
        client, rest = found
        if not (client.address or client.local):  # it would be taken for the balancer, which may be known
            return self.give_up("a proxy header without an address")
        return self._step_aside(client, rest)

    def connectionLost(self, reason: Failure = protocol.connectionDone) -> None:
        self._end()

    def give_up(self, why: str) -> None:
        log.info("{door} {address} is not served: {why}", door=self._factory.name, address=self._host(), why=why)
        self._end()
        self.transport.abortConnection()

    def _step_aside(self, client: Client, rest: bytes) -> None:
        """A balancer's own checks come from the balancer."""
        self._end()
        address = self._balancer if client.local else _address(client)
        made = self._factory.door.buildProtocol(address)
        if made is None:
            self.transport.abortConnection()
            return
        self.transport.getPeer = lambda: address  # which is what web pages ask
        self.transport.protocol = made
        with held(self.transport):
            made.makeConnection(self.transport)
        if rest and self.transport.connected and not self.transport.disconnecting:
            self.transport.protocol.dataReceived(rest)  # TLS may sit there by now

    def _end(self) -> None:
        self._factory.waiting.discard(self)
        if self._timer is not None and self._timer.active():
            self._timer.cancel()

    def _host(self) -> str:
        return str(getattr(self._balancer, "host", ""))


def _address(client: Client) -> IPv4Address | IPv6Address:
    kind = IPv6Address if ":" in client.address else IPv4Address
    return kind("TCP", client.address, client.port)
