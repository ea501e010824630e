"""Asks a mail server whether it would take mail for an address, and sends none.

Not a relay and not a judge of the answer: what it says to RCPT is brought back, or nothing where it could not be
asked. Obeys RFC 5321 3.3 and 4.5.5 (the null sender), RFC 3207 (STARTTLS) and RFC 6531 3.4 (SMTPUTF8). A hop that
demands TLS is asked under TLS or not at all.
"""

from __future__ import annotations

from collections.abc import Collection, Generator
from typing import Any, Protocol, TypeAlias

import txaio
from twisted.internet import protocol
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import HostnameEndpoint, connectProtocol
from twisted.internet.error import ConnectingCancelledError
from twisted.internet.interfaces import IHandshakeListener, ITCPTransport
from twisted.python.failure import Failure
from zope.interface import implementer

from securegw.clients.destinations import is_ourselves
from securegw.clients.hop import Hop, Place, Tls, is_address
from securegw.clients.smtp_envelope import Offers, read_offers
from securegw.clients.smtp_replies import BadReply, Lines, Reply, ReplyReader
from securegw.mail.errors import MailError
from securegw.tls import ClientHandshake, ClientTLS

log = txaio.make_logger()

TLS = "STARTTLS now"  # not a command: the connection begins TLS, and comes back with no reply

# Yields commands, is sent the reply to each, ends with the one that counts.
Talk: TypeAlias = Generator[str, Lines, Reply | None]


class Addresses(Protocol):
    async def addresses(self, host: str) -> tuple[str, ...]: ...


def talk(host_name: str, recipient: str, tls: Tls, remote: str) -> Talk:
    """The whole dialogue; begins with waiting for the greeting."""
    if (yield "").code != 220:
        return None
    offers = yield from _hello(host_name)
    if tls != "none" and offers is not None and "STARTTLS" in offers:
        if (yield "STARTTLS").code != 220:
            return None
        yield TLS
        offers = yield from _hello(host_name)
    elif tls not in ("none", "may"):
        return None
    if offers is None or not (recipient.isascii() or "SMTPUTF8" in offers):
        return None
    if (yield "MAIL FROM:<>" + ("" if recipient.isascii() else " SMTPUTF8")).code != 250:
        return None
    answer = yield f"RCPT TO:<{recipient}>"
    yield "RSET"
    return answer.reply(remote)


def _hello(host_name: str) -> Generator[str, Lines, Offers | None]:
    reply = yield f"EHLO {host_name}"
    if reply.code >= 500:
        reply = yield f"HELO {host_name}"
        return Offers() if reply.code == 250 else None
    return read_offers(reply.texts[1:]) if reply.code == 250 else None


@implementer(IHandshakeListener)
class Call(protocol.Protocol):
    """One connection that holds the talk; ``answer`` fires once, with None where there is none."""

    transport: Any

    def __init__(self, conversation: Talk, handshake: ClientHandshake) -> None:
        self.answer: Deferred[Reply | None] = Deferred(self._cancelled)
        self._talk = conversation
        self._handshake = handshake
        self._reader = ReplyReader()
        self._over = False

    def connectionMade(self) -> None:
        if ITCPTransport.providedBy(self.transport):
            self.transport.setTcpNoDelay(True)
        next(self._talk)

    def dataReceived(self, data: bytes) -> None:
        self._reader.feed(data)
        try:
            while not self._over and (lines := self._reader.next()):
                self._go_on(lines)
        except BadReply as error:
            log.info("call-ahead not understood: {error}", error=str(error))
            self._end(None)

    def handshakeCompleted(self) -> None:
        problem = self._handshake.judge()
        if problem:
            log.info("call-ahead: {problem}", problem=problem)
            self._end(None)
        else:
            self._go_on(Lines(220, ("",)))

    def connectionLost(self, reason: Failure = protocol.connectionDone) -> None:
        self._end(None)

    def _go_on(self, lines: Lines) -> None:
        try:
            command = self._talk.send(lines)
        except StopIteration as end:
            self._end(end.value)
            return
        if command != TLS:
            self.transport.write(f"{command}\r\n".encode())
        elif self._reader.empty:
            self.transport.startTLS(self._handshake)
        else:  # replies that would cross from clear text into TLS
            raise BadReply("text between STARTTLS and TLS")

    def _end(self, reply: Reply | None) -> None:
        if self._over:
            return
        self._over = True
        if self.transport is not None:
            self.transport.write(b"QUIT\r\n")
            self.transport.loseConnection()
        if not self.answer.called:
            self.answer.callback(reply)

    def _cancelled(self, _answer: object) -> None:
        self._over = True
        self.transport.abortConnection()


class CallAhead:
    """Asks the hosts of a hop in order until one answers. How long that may take is the caller's business."""

    def __init__(
        self, reactor: Any, host_name: str, *, tls: ClientTLS, resolver: Addresses, doors: Collection[Place] = ()
    ) -> None:
        self._reactor = reactor
        self._host_name = host_name
        self._tls = tls
        self._resolver = resolver
        self._doors = doors

    async def ask(self, hop: Hop, recipient: str) -> Reply | None:
        """The reply to RCPT of the first host that can be asked; None if none can."""
        for host, port in hop.hosts:
            for address in await self._addresses(host):
                if is_ourselves((address, port), self._doors, any_port=hop.stranger):
                    return None
                reply = await self._ask(hop, host, address, port, recipient)
                if reply is not None:
                    return reply
        return None

    async def _addresses(self, host: str) -> tuple[str, ...]:
        if is_address(host):
            return (host,)
        try:
            return await self._resolver.addresses(host)
        except MailError:
            return ()

    async def _ask(self, hop: Hop, host: str, address: str, port: int, recipient: str) -> Reply | None:
        conversation = talk(self._host_name, recipient, hop.tls, f"{host}:{port}")
        call = Call(conversation, self._tls.handshake(host, hop.wanted(host)))
        try:
            await connectProtocol(HostnameEndpoint(self._reactor, address, port), call)
        except (CancelledError, ConnectingCancelledError):  # the time is over
            raise
        except Exception as error:
            log.info("call-ahead to {host} failed: {error}", host=host, error=str(error) or type(error).__name__)
            return None
        return await call.answer
