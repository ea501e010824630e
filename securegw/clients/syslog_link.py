"""The ways to a log receiver: UDP (RFC 5426), TCP with octet counting (RFC 6587 3.4.1), TLS (RFC 5425).

Not what is sent, see ``syslog_message``, and not what waits. A link is up once, down once, and is then thrown away.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from twisted.internet import protocol
from twisted.internet.interfaces import IHandshakeListener, IPushProducer
from twisted.python.failure import Failure
from zope.interface import implementer

from securegw.tls import ClientHandshake, in_words

UNHEARD = 20_000  # milliseconds after which what the other side has not acknowledged ends the connection


def framed(lines: Iterable[bytes]) -> bytes:
    """Each line behind its length (RFC 5425 4.3)."""
    return b"".join(b"%d %b" % (len(line), line) for line in lines)


@implementer(IHandshakeListener, IPushProducer)
class StreamLink(protocol.Protocol):
    """A TCP connection, with TLS if there is a ``handshake``: it is up when the right one has answered."""

    transport: Any
    burst = 256 << 10

    def __init__(self, handshake: ClientHandshake | None, up: Callable[[], None], down: Callable[[str], None]) -> None:
        self.paused = False
        self._handshake = handshake
        self._up = up
        self._down: Callable[[str], None] | None = down
        self._problem = ""

    def connectionMade(self) -> None:
        self._watch_over()
        if self._handshake is None:
            self._begin()
        else:
            self.transport.startTLS(self._handshake)

    def handshakeCompleted(self) -> None:
        assert self._handshake is not None
        self._problem = self._handshake.judge()
        if self._problem:
            self.transport.abortConnection()
        else:
            self._begin()

    def send(self, lines: list[bytes]) -> None:
        self.transport.write(framed(lines))

    def dataReceived(self, data: bytes) -> None:
        """A receiver says nothing; if it does, nobody listens."""

    def connectionLost(self, reason: Failure = protocol.connectionDone) -> None:
        down, self._down = self._down, None
        if down is not None:
            trouble = self._handshake.problem if self._handshake is not None else ""
            down(self._problem or trouble or in_words(reason.value))

    def close(self) -> None:
        """End it properly: TLS says so too (RFC 5425 4.4)."""
        self.transport.unregisterProducer()
        self.transport.loseConnection()

    def abort(self) -> None:
        self.transport.abortConnection()

    # Called by the transport when it has enough, and when it wants more

    def pauseProducing(self) -> None:
        self.paused = True

    def resumeProducing(self) -> None:
        self.paused = False
        self._up()

    def stopProducing(self) -> None: ...

    def _begin(self) -> None:
        self.transport.registerProducer(self, True)
        self._up()

    def _watch_over(self) -> None:
        """A receiver that has vanished without a word must be noticed."""
        with suppress(AttributeError, OSError):  # not every transport is a socket, not every system has the option
            self.transport.setTcpNoDelay(True)
            self.transport.setTcpKeepAlive(True)
            self.transport.getHandle().setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNHEARD)


class DatagramLink(protocol.DatagramProtocol):
    """UDP: each line a datagram, as slowly as a receiver can read them. That nobody listens is heard afterwards."""

    transport: Any
    burst = 32 << 10
    paused = False

    def __init__(self, address: str, port: int, up: Callable[[], None], down: Callable[[str], None]) -> None:
        self._place = address, port
        self._up = up
        self._down: Callable[[str], None] | None = down

    def startProtocol(self) -> None:
        self.transport.connect(*self._place)
        self._up()

    def send(self, lines: list[bytes]) -> None:
        for line in lines:
            try:
                self.transport.write(line)
            except OSError as error:
                self._end(str(error))
                return

    def connectionRefused(self) -> None:
        self._end("nobody listens there")

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        """Nobody is asked anything."""

    def close(self) -> None:
        self._down = None
        self.transport.stopListening()

    abort = close

    def _end(self, problem: str) -> None:
        down = self._down
        self.close()
        if down is not None:
            down(problem)
