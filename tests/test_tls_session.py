"""TLS of the doors over real sockets: what is said arrives, and what only the handshake needed is given back."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import Any

from OpenSSL import SSL
from twisted.internet import reactor, ssl
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol, wrapClientTLS
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHandshakeListener, IOpenSSLClientConnectionCreator, ISSLTransport
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import TestCase
from zope.interface import implementer

from securegw.tls import ServerTLS
from securegw.tls_session import shrink, start_tls
from tests.support.certificates import TestAuthority


@implementer(IHandshakeListener)
class Echo(Protocol):
    """Says back in TLS what it hears, and its greeting after the handshake."""

    tls: Any
    made: Any  # a list of all of them

    def connectionMade(self) -> None:
        self.made.append(self)
        self.ended: Deferred[None] = Deferred()
        self.shaken = 0
        start_tls(self, self.tls)

    def handshakeCompleted(self) -> None:
        self.shaken += 1
        self.transport.write(b"hello ")

    def dataReceived(self, data: bytes) -> None:
        self.transport.write(data)
        if data.endswith(b"!"):
            self.transport.loseConnection()

    def connectionLost(self, reason: Any = ConnectionDone) -> None:
        self.ended.callback(None)


class Speaking(Protocol):
    def __init__(self) -> None:
        self.got = bytearray()
        self.ended: Deferred[bytes] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        self.got += data

    def connectionLost(self, reason: Any = ConnectionDone) -> None:
        self.ended.callback(bytes(self.got))


class Producing(Echo):
    """Has a producer before TLS begins, which must be the producer of the session then."""

    def connectionMade(self) -> None:
        self.left = [b"x" * 50_000] * 40
        self.transport.registerProducer(self, True)
        super().connectionMade()

    def handshakeCompleted(self) -> None:
        self.resumeProducing()

    def resumeProducing(self) -> None:
        self.paused = False
        while self.left and not self.paused:
            self.transport.write(self.left.pop())
        if not self.left:
            self.transport.unregisterProducer()
            self.transport.loseConnection()

    def pauseProducing(self) -> None:
        self.paused = True

    def stopProducing(self) -> None:
        self.left = []


class OverRealSockets(TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        pair = TestAuthority(Path(folder.name)).issue("gw.test")
        self.tls = ServerTLS(pair.certificate, pair.key)
        self.servers: list[Any] = []

    async def speak(self, server: type[Echo], newest: Any = None) -> Speaking:
        factory = Factory.forProtocol(type("Here", (server,), {"tls": self.tls, "made": self.servers}))
        port = reactor.listenTCP(0, factory, interface="127.0.0.1")  # type: ignore[attr-defined]
        self.addCleanup(port.stopListening)
        options: Any = ssl.CertificateOptions(lowerMaximumSecurityTo=newest) if newest else ssl.CertificateOptions()
        place = wrapClientTLS(Anybody(options), TCP4ClientEndpoint(reactor, "127.0.0.1", port.getHost().port))
        speaking: Speaking = await connectProtocol(place, Speaking())
        return speaking

    async def test_both_versions_carry_small_and_large_things_whole(self) -> None:
        large = bytes(range(256)) * 8000 + b"!"
        for newest in (None, ssl.TLSVersion.TLSv1_2):
            speaking = await self.speak(Echo, newest)
            speaking.transport.write(large)
            self.assertEqual(await speaking.ended, b"hello " + large)
            await self.servers[-1].ended
            self.assertEqual(self.servers[-1].shaken, 1)

    async def test_a_producer_stays_one(self) -> None:
        speaking = await self.speak(Producing)
        self.assertEqual(await speaking.ended, b"x" * 2_000_000)

    async def test_sessions_share_what_is_the_same(self) -> None:
        for _ in range(2):
            speaking = await self.speak(Echo)
            speaking.transport.write(b"x!")
            await speaking.ended
        first, second = (server.transport for server in self.servers)
        self.assertIs(first.factory, second.factory)
        self.assertTrue(ISSLTransport.providedBy(first))


@implementer(IOpenSSLClientConnectionCreator)
class Anybody:
    """Whoever answers is good enough."""

    def __init__(self, options: Any) -> None:
        self.options = options

    def clientConnectionForTLS(self, tlsProtocol: Any) -> SSL.Connection:
        return SSL.Connection(self.options.getContext(), None)


class InMemory(TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        pair = TestAuthority(Path(folder.name)).issue("gw.test")
        self.ours = SSL.Connection(ServerTLS(pair.certificate, pair.key).context(), None)
        self.theirs = SSL.Connection(SSL.Context(SSL.TLS_METHOD), None)
        self.ours.set_accept_state()
        self.theirs.set_connect_state()
        for _ in range(3):
            for one, other in ((self.theirs, self.ours), (self.ours, self.theirs)):
                with contextlib.suppress(SSL.WantReadError):
                    one.do_handshake()
                self.carry(one, other)

    def carry(self, source: SSL.Connection, sink: SSL.Connection) -> None:
        with contextlib.suppress(SSL.WantReadError):
            sink.bio_write(source.bio_read(65536))

    def test_new_buffers_carry_on(self) -> None:
        before = self.ours._into_ssl, self.ours._from_ssl
        shrink(self.ours)
        self.assertNotIn(self.ours._into_ssl, before)
        self.assertNotIn(self.ours._from_ssl, before)
        self.theirs.send(b"ping")
        self.carry(self.theirs, self.ours)
        self.assertEqual(self.ours.recv(10), b"ping")
        self.ours.send(b"pong")
        self.carry(self.ours, self.theirs)
        self.assertEqual(self.theirs.recv(10), b"pong")
        self.ours.shutdown()
        self.carry(self.ours, self.theirs)
        self.assertRaises(SSL.ZeroReturnError, self.theirs.recv, 10)

    def test_nothing_that_waits_in_a_buffer_is_lost(self) -> None:
        self.theirs.send(b"ping")
        self.carry(self.theirs, self.ours)
        shrink(self.ours)
        self.assertEqual(self.ours.recv(10), b"ping")
        self.ours.send(b"pong")
        shrink(self.ours)
        self.carry(self.ours, self.theirs)
        self.assertEqual(self.theirs.recv(10), b"pong")

    def test_other_transports_begin_tls_as_they_can(self) -> None:
        class Able(StringTransport):
            began: object = None

            def startTLS(self, tls: object) -> None:
                self.began = tls

        speaking = Protocol()
        speaking.makeConnection(Able())
        start_tls(speaking, "tls")  # type: ignore[arg-type]
        self.assertEqual(speaking.transport.began, "tls")  # type: ignore[union-attr]
