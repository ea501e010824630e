"""What the tests of the relay share: servers that behave as they are told, and relays that are closed after a test."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from twisted.internet import protocol, reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock, deferLater
from twisted.trial.unittest import TestCase

from securegw.clients.hop import Tls
from securegw.clients.relay import Hop, Relay, RelaySettings
from securegw.servers.smtp import SmtpFactory, SmtpSettings
from securegw.tls import ClientTLS, ServerTLS
from tests.support.certificates import TestAuthority
from tests.support.ports import free_port
from tests.support.smtp_door import PretendedIntake

RAW = b"Subject: x\r\n\r\ntext\r\n"
ANN, BOB, CARL = "ann@inside.test", "bob@outside.test", "carl@outside.test"
EHLO = b"250-x\r\n250 PIPELINING\r\n"
EHLO_TLS = b"250-x\r\n250-PIPELINING\r\n250 STARTTLS\r\n"
USUAL = {"CONNECT": b"220 bad.test\r\n", "DATA": b"354 go\r\n", "EHLO": EHLO, "STAR": b"220 go\r\n"}


class BadServer(protocol.Protocol):
    """Answers by a table: verb -> what to send, or a function of the connection. Unknown verbs get 250."""

    factory: Any

    def connectionMade(self) -> None:
        self.factory.made += 1
        self.factory.connections.append(self)
        self.buffer = b""
        self.text = self.secure = False
        self.answer("CONNECT")

    def dataReceived(self, data: bytes) -> None:
        self.buffer += data
        while True:
            end = b"\r\n.\r\n" if self.text else b"\r\n"
            line, found, rest = self.buffer.partition(end)
            if not found:
                return
            self.buffer = rest
            verb = "END" if self.text else line[:4].decode("latin-1").upper()
            self.factory.heard.append(line)
            self.factory.clear += [] if self.secure else [line]
            self.text = False
            self.answer(verb)

    def answer(self, verb: str) -> None:
        self.factory.reached.add(verb)
        reply = self.factory.table.get(verb, USUAL.get(verb, b"250 2.0.0 ok\r\n"))
        if callable(reply):
            reply(self)
            return
        self.text = reply.startswith(b"354")
        self.transport.write(reply)

    def start_tls(self, tls: ServerTLS) -> None:
        self.transport.write(b"220 go\r\n")
        self.secure = True
        self.transport.startTLS(tls)

    def connectionLost(self, reason: Any = None) -> None:
        self.factory.ended += 1


Answer = bytes | Callable[[BadServer], object]


def drop(server: BadServer) -> None:
    server.transport.abortConnection()


def drop_the_handshake(server: BadServer) -> None:
    """Agree to TLS, and hang up at its first bytes."""
    server.transport.write(b"220 go\r\n")
    server.dataReceived = lambda data: drop(server)  # type: ignore[method-assign]


def silent(server: BadServer) -> None:
    """Nothing is said."""


class PretendedResolver:
    """Knows the addresses that a test gives it."""

    def __init__(self, **hosts: Iterable[str]) -> None:
        self.hosts = {"localhost": ("127.0.0.1",), **{name.replace("_", "."): tuple(at) for name, at in hosts.items()}}
        self.asked: list[str] = []

    async def addresses(self, host: str) -> tuple[str, ...]:
        self.asked.append(host)
        return self.hosts.get(host, ())


class RelayCase(TestCase):
    def setUp(self) -> None:
        self.authority = TestAuthority(self.folder())
        self.relays: list[Relay] = []
        self.resolver = PretendedResolver()

    def folder(self) -> Path:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        return Path(folder.name)

    def tearDown(self) -> Deferred[Any]:
        for relay in self.relays:
            relay.close()
        return deferLater(reactor, 0.02, lambda: None)

    def relay(
        self,
        clock: Clock | None = None,
        *,
        doors: Any = (),
        resolver: Any = None,
        network: Any = reactor,
        **settings: Any,
    ) -> Relay:
        relay = Relay(
            network,
            "gw.test",
            RelaySettings(**settings),
            tls=ClientTLS(self.authority.roots),
            resolver=resolver or self.resolver,
            doors=doors,
            clock=clock,
        )
        self.relays.append(relay)
        return relay

    def listen(self, factory: protocol.Factory, interface: str = "127.0.0.1") -> int:
        port = reactor.listenTCP(0, factory, interface=interface)
        self.addCleanup(port.stopListening)
        return port.getHost().port

    async def nobody(self) -> int:
        """A port where nobody listens."""
        return free_port()

    def door(self, tls: ServerTLS | None = None) -> tuple[PretendedIntake, int]:
        intake = PretendedIntake()
        return intake, self.listen(SmtpFactory(intake, SmtpSettings(), tls, "mx.test", reactor))

    def bad(self, **table: Answer) -> Any:
        factory: Any = protocol.ServerFactory.forProtocol(BadServer)
        factory.table, factory.made, factory.ended, factory.heard, factory.connections = table, 0, 0, [], []
        factory.clear, factory.reached = [], set()
        factory.port = self.listen(factory)
        self.addCleanup(lambda: [each.transport.abortConnection() for each in factory.connections])
        return factory

    def secure(self, name: str = "localhost", **table: Answer) -> Any:
        """A server that offers TLS and really does it; before and under TLS it answers by the same table."""
        pair = self.authority.issue(name, file=f"server{len(list(self.authority.folder.iterdir()))}")
        tls = ServerTLS(pair.certificate, pair.key)
        factory = self.bad(**{"EHLO": EHLO_TLS, "STAR": lambda server: server.start_tls(tls), **table})
        factory.pair = pair
        return factory

    def hop(self, *ports: int, tls: Tls = "none", host: str = "127.0.0.1", name: str = "outside.test") -> Hop:
        return Hop(tuple((host, port) for port in ports), tls=tls, name=name)

    def until(self, condition: Callable[[], Any]) -> Deferred[None]:
        """Fires as soon as the condition holds."""
        done: Deferred[None] = Deferred()

        def look() -> None:
            if condition():
                done.callback(None)
            else:
                reactor.callLater(0.001, look)

        look()
        return done
