"""Against real sockets: what is sent at once and what waits arrives whole and in order."""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint, connectProtocol
from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import TestCase

from securegw.wire import send


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

    def test_other_transports_are_written_to_as_ever(self) -> None:
        transport = StringTransport()
        send(transport, b"under TLS, or in a test")
        self.assertEqual(transport.value(), b"under TLS, or in a test")
