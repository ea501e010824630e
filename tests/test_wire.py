"""Against real sockets: what is sent at once and what waits arrives whole and in order."""

from __future__ import annotations

import select
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint, connectProtocol
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHandshakeListener
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.tcp import Connection
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import TestCase
from zope.interface import implementer

from securegw.tls import ClientTLS, ServerTLS, Wanted
from securegw.tls_session import start_tls
from securegw.wire import held, read_now, send
from tests.support.certificates import TestAuthority


class Collecting(Protocol):
    def __init__(self) -> None:
        self.got = bytearray()
        self.ended: Deferred[bytes] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        self.got += data

    def connectionLost(self, reason: Any = ConnectionDone) -> None:
        self.ended.callback(bytes(self.got))


class Wire(TestCase):
    async def _pair(self) -> tuple[Protocol, Collecting]:
        collecting = Collecting()
        factory = Factory.forProtocol(lambda: collecting)
        port = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(factory)
        self.addCleanup(port.stopListening)
        speaking = await connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", port.getHost().port), Protocol())
        return speaking, collecting

    async def test_small_things_leave_before_the_next_turn(self) -> None:
        speaking, collecting = await self._pair()
        send(speaking.transport, b"220 hello\r\n")
        self.assertEqual((speaking.transport.dataBuffer, speaking.transport._tempDataBuffer), (b"", []))
        speaking.transport.loseConnection()
        self.assertEqual(await collecting.ended, b"220 hello\r\n")

    async def test_what_the_kernel_does_not_take_follows_in_order(self) -> None:
        speaking, collecting = await self._pair()
        large = bytes(range(256)) * 40_000
        send(speaking.transport, large)
        send(speaking.transport, b"behind it")
        send(speaking.transport, b", and last")
        speaking.transport.loseConnection()
        self.assertEqual(await collecting.ended, large + b"behind it, and last")

    async def test_what_waits_already_goes_first(self) -> None:
        speaking, collecting = await self._pair()
        speaking.transport.write(b"first ")
        send(speaking.transport, b"second")
        speaking.transport.loseConnection()
        self.assertEqual(await collecting.ended, b"first second")

    async def test_a_connection_that_was_cut_is_noticed(self) -> None:
        speaking, collecting = await self._pair()
        lost: Deferred[None] = Deferred()
        speaking.connectionLost = lambda reason: lost.callback(None)  # type: ignore[method-assign]
        collecting.transport.abortConnection()
        await collecting.ended
        for _ in range(3):
            send(speaking.transport, b"x" * 100_000)
        await lost

    async def test_what_came_before_is_passed_on_first(self) -> None:
        speaking, collecting = await self._pair()
        collecting.transport.pauseProducing()
        send(speaking.transport, b"later")
        select.select([collecting.transport.socket], [], [], 10)
        with held(collecting.transport):
            read_now(collecting.transport)
        self.assertEqual(collecting.got, b"")
        read_now(collecting.transport)
        self.assertEqual(collecting.got, b"later")
        collecting.transport.resumeProducing()
        speaking.transport.loseConnection()
        await collecting.ended

    def test_other_transports_are_written_to_as_ever(self) -> None:
        transport = StringTransport()
        send(transport, b"under TLS, or in a test")
        self.assertEqual(transport.value(), b"under TLS, or in a test")


@implementer(IHandshakeListener)
class Covered(Collecting):
    """A side of a connection under TLS; ``ready`` fires when its handshake is done, ``full`` counts pauses."""

    def __init__(self, tls: Any, first: bytes = b"", begin: Callable[[Any, Any], None] | None = None) -> None:
        super().__init__()
        self.tls, self.first = tls, first
        self.begin = begin or (lambda protocol, tls: protocol.transport.startTLS(tls))
        self.ready: Deferred[None] = Deferred()
        self.full = 0
        self.room: Deferred[None] = Deferred()

    def connectionMade(self) -> None:
        self.begin(self, self.tls)
        if self.first:
            send(self.transport, self.first)

    def handshakeCompleted(self) -> None:
        self.ready.callback(None)

    def pauseProducing(self) -> None:
        self.full += 1

    def resumeProducing(self) -> None:
        self.room.callback(None)

    def stopProducing(self) -> None: ...


class UnderTLS(TestCase):
    begin: Callable[[Any, Any], None] | None = None  # Twisted's own way

    async def _pair(self, first: bytes = b"") -> tuple[Covered, Covered]:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        papers = TestAuthority(Path(folder.name)).issue("gw.test")
        ours = Covered(ServerTLS(papers.certificate, papers.key), first, self.begin)
        port = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(Factory.forProtocol(lambda: ours))
        self.addCleanup(port.stopListening)
        theirs = Covered(ClientTLS().handshake("gw.test", Wanted()))
        await connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", port.getHost().port), theirs)
        await gatherResults([ours.ready, theirs.ready])
        return ours, theirs

    async def test_a_reply_of_several_records_is_one_call_before_the_next_turn(self) -> None:
        ours, theirs = await self._pair()
        sent: list[int] = []
        connection: Any = ours.transport if isinstance(ours.transport, Connection) else ours.transport.transport
        real = connection.writeSomeData
        self.patch(connection, "writeSomeData", lambda data: sent.append(len(data)) or real(data))
        send(ours.transport, b"x" * 40_000)
        self.assertEqual(len(sent), 1)
        self.assertGreater(sent[0], 40_000)
        ours.transport.loseConnection()
        self.assertEqual(await theirs.ended, b"x" * 40_000)

    async def test_what_the_kernel_does_not_take_follows_in_order(self) -> None:
        ours, theirs = await self._pair()
        large = bytes(range(256)) * 40_000
        send(ours.transport, large)
        send(ours.transport, b"behind it")
        ours.transport.write(b", and last")
        ours.transport.loseConnection()
        self.assertEqual(await theirs.ended, large + b"behind it, and last")

    async def test_what_waits_already_goes_first(self) -> None:
        ours, theirs = await self._pair()
        ours.transport.write(b"first ")
        send(ours.transport, b"second")
        ours.transport.loseConnection()
        self.assertEqual(await theirs.ended, b"first second")

    async def test_who_produces_is_told_when_it_is_too_much_and_when_there_is_room(self) -> None:
        ours, theirs = await self._pair()
        ours.transport.registerProducer(ours, True)
        theirs.transport.pauseProducing()
        sent = 0
        while not ours.full:
            send(ours.transport, b"x" * 1_000_000)
            sent += 1_000_000
        theirs.transport.resumeProducing()
        await ours.room
        ours.transport.unregisterProducer()
        ours.transport.loseConnection()
        self.assertEqual(await theirs.ended, b"x" * sent)

    async def test_before_the_handshake_it_waits(self) -> None:
        ours, theirs = await self._pair(b"hello")
        ours.transport.loseConnection()
        self.assertEqual(await theirs.ended, b"hello")

    async def test_who_was_told_to_close_says_nothing_more(self) -> None:
        ours, theirs = await self._pair()
        send(ours.transport, b"the end")
        ours.transport.loseConnection()
        send(ours.transport, b"and more")
        self.assertEqual(await theirs.ended, b"the end")

    async def test_a_connection_that_was_cut_is_noticed(self) -> None:
        ours, theirs = await self._pair()
        theirs.transport.abortConnection()
        await theirs.ended
        for _ in range(3):
            send(ours.transport, b"x" * 100_000)
        await ours.ended


class UnderOurTLS(UnderTLS):
    begin = staticmethod(start_tls)
