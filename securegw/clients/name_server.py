"""One question to one name server, by UDP, and by TCP when the answer is cut off.

Not a resolver: who asks what is decided in mx. dnspython reads and writes the messages, the transport is ours. Obeys
RFC 1035 4.2 (UDP, TCP when truncated), RFC 5452 (random ids and ports, and only answers to what was asked) and
RFC 6891 (larger UDP, and the question without it for servers that do not know it).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
from dns.rdatatype import RdataType
from twisted.internet import protocol
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from securegw.clients.connecting import Unreachable, connect

UDP_LIMIT = 1232  # fits into every packet (RFC 9715 3.2)
PLAIN = -1  # a question as in RFC 1035

Server = tuple[str, int]


class NoAnswer(Exception):
    """This server gave no answer that we can use."""


class NameServers:
    """The way to ask: ``seconds`` for each answer, by ``clock``."""

    def __init__(self, reactor: Any, clock: IReactorTime, seconds: float) -> None:
        self._reactor = reactor
        self._clock = clock
        self._seconds = seconds

    async def ask(self, server: Server, name: dns.name.Name, kind: RdataType) -> dns.message.Message:
        """The answer of one server, whatever it says; raises NoAnswer."""
        answer = await self._ask(server, dns.message.make_query(name, kind, use_edns=0, payload=UDP_LIMIT))
        if answer.rcode() in {dns.rcode.FORMERR, dns.rcode.NOTIMP}:
            return await self._ask(server, dns.message.make_query(name, kind, use_edns=PLAIN))
        return answer

    async def _ask(self, server: Server, query: dns.message.Message) -> dns.message.Message:
        answer = await self._by_udp(server, query)
        return await self._by_tcp(server, query) if answer.flags & dns.flags.TC else answer

    async def _by_udp(self, server: Server, query: dns.message.Message) -> dns.message.Message:
        question = Datagram(server, query, self._clock, self._seconds)
        port = self._reactor.listenUDP(0, question, interface="::" if ":" in server[0] else "")
        try:
            return await question.answer
        finally:
            port.stopListening()

    async def _by_tcp(self, server: Server, query: dns.message.Message) -> dns.message.Message:
        stream = _Stream(query, self._clock, self._seconds)
        try:
            await connect(self._reactor, self._clock, server, stream, self._seconds)
        except Unreachable as error:
            raise NoAnswer(str(error)) from error
        try:
            return await stream.answer
        finally:
            stream.close()


class _Question:
    """One question on its way: ``answer`` fires once, or fails with NoAnswer when time is over."""

    def __init__(self, query: dns.message.Message, clock: IReactorTime, seconds: float) -> None:
        self.answer: Deferred[dns.message.Message] = Deferred()
        self._query = query
        self._clock = clock
        self._seconds = seconds
        self._timer: IDelayedCall | None = None

    def begin(self) -> None:
        self._timer = self._clock.callLater(self._seconds, self.fail, "no answer in time")

    def fail(self, why: str) -> None:
        if not self.answer.called:
            self._stop()
            self.answer.errback(NoAnswer(why))

    def take(self, wire: bytes) -> None:
        """Only an answer to our question counts; anything else is passed over (RFC 5452 9.1)."""
        try:
            answer = dns.message.from_wire(wire, ignore_trailing=True, raise_on_truncation=False)
        except (dns.exception.DNSException, ValueError):
            return
        if self._query.is_response(answer) and not self.answer.called:
            self._stop()
            self.answer.callback(answer)

    def _stop(self) -> None:
        if self._timer and self._timer.active():
            self._timer.cancel()


class Datagram(_Question, protocol.DatagramProtocol):
    """A question by UDP, from a port of its own."""

    transport: Any

    def __init__(self, server: Server, query: dns.message.Message, clock: IReactorTime, seconds: float) -> None:
        super().__init__(query, clock, seconds)
        self._server = server

    def startProtocol(self) -> None:
        self.begin()
        self.transport.connect(*self._server)  # from here on only this server is heard
        self.transport.write(self._query.to_wire())

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        self.take(datagram)

    def connectionRefused(self) -> None:
        self.fail("refused")


class _Stream(_Question, protocol.Protocol):
    """A message over TCP has its length in front, two bytes (RFC 1035 4.2.2)."""

    transport: Any

    def __init__(self, query: dns.message.Message, clock: IReactorTime, seconds: float) -> None:
        super().__init__(query, clock, seconds)
        self._buffer = b""

    def connectionMade(self) -> None:
        self.begin()
        self.transport.write(self._query.to_wire(prepend_length=True))

    def dataReceived(self, data: bytes) -> None:
        self._buffer += data
        length = int.from_bytes(self._buffer[:2], "big")
        if len(self._buffer) >= 2 + length and length:
            self.take(self._buffer[2 : 2 + length])
            self.fail("an answer that cannot be read")

    def connectionLost(self, reason: Failure = protocol.connectionDone) -> None:
        self.fail("closed without an answer")

    def close(self) -> None:
        self.transport.abortConnection()


def system_servers(file: Path = Path("/etc/resolv.conf")) -> tuple[Server, ...]:
    """The name servers of this machine; without any, one on this machine itself (resolv.conf(5))."""
    try:
        lines = file.read_text("utf-8", "replace").splitlines()
    except OSError:
        lines = []
    words = [line.split() for line in lines]
    found = [word[1] for word in words if len(word) > 1 and word[0] == "nameserver"]
    return tuple((address, 53) for address in found[:3]) or (("127.0.0.1", 53),)
