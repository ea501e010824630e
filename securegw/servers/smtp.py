"""SMTP for other mail servers and for inside mail programs: the connection around the dialogue.

Not the dialogue (smtp_dialogue) and not a judge: who may send what is decided behind ``Intake``. Obeys
RFC 5321 4.5.3.2 (time-outs), 7.8 (limits) and RFC 3207 (STARTTLS).
"""

from __future__ import annotations

import secrets
from collections import deque
from pathlib import Path
from typing import Any, Protocol

import attrs
import txaio
from twisted.internet import protocol
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IAddress,
    IDelayedCall,
    IHandshakeListener,
    IReactorTime,
    ITCPTransport,
)
from twisted.python.failure import Failure
from zope.interface import implementer

from securegw.config import duration, endpoint, list_of, number, path, setting
from securegw.mail.address import Address
from securegw.mail.envelope import Envelope, Source
from securegw.mail.errors import MailError
from securegw.servers.connections import Doorkeeper, Room
from securegw.servers.smtp_commands import Reply
from securegw.servers.smtp_dialogue import SmtpDialogue
from securegw.servers.smtp_events import (
    AskMessage,
    AskRecipient,
    AskSender,
    Bounds,
    Close,
    Event,
    Question,
    Send,
    StartTLS,
)
from securegw.tls import ServerTLS

log = txaio.make_logger()

LINGER = 10.0  # seconds a peer has to take our last reply
SLOWEST = 1000  # bytes a second; a slower text does not end (threat: one byte every ten seconds)
FIRST_OF_TEXT = 600.0  # seconds that any text may take
STRESS = 6  # patience is divided by this when the room is crowded


class Intake(Protocol):
    """Who decides and keeps (flow/intake). A coroutine may raise MailError; ``accept`` ends when all is durable."""

    @property
    def size_limit(self) -> int: ...

    @property
    def recipients_limit(self) -> int: ...

    def is_inside(self, address: str) -> bool: ...

    async def sender(self, source: Source, sender: Address | None, size: int | None) -> None: ...

    async def recipient(self, source: Source, sender: Address | None, recipient: Address) -> None: ...

    async def accept(self, envelope: Envelope, raw: bytes) -> str: ...


@attrs.frozen
class SmtpSettings:
    """The SMTP door: where mail servers and mail programs hand over their mail."""

    listen: tuple[str, ...] = setting(
        list_of(endpoint), ("tcp:25",), help="Where to listen, as Twisted endpoints: tcp:25:interface=127.0.0.1"
    )
    certificate: Path | None = setting(
        path, None, help="PEM file with the certificate for STARTTLS and its chain; without it, no TLS."
    )
    key: Path | None = setting(path, None, help="PEM file with the private key of it, without a password.")
    connections: int = setting(number(1, 100_000), 500, help="Connections open at the same time.")
    connections_per_address: int = setting(
        number(1, 100_000), 30, help="Connections open at the same time from one address (IPv6: one /64)."
    )
    connections_per_minute: int = setting(
        number(1, 1_000_000), 300, help="New connections a minute from one address (IPv6: one /64)."
    )
    errors: int = setting(number(1, 1000), 10, help="Wrong commands until the connection is closed.")
    junk: int = setting(
        number(1, 100_000), 50, help="Commands that lead nowhere (NOOP, unknown recipients) until it is closed."
    )
    command_time: float = setting(duration, "60s", help="Time to wait for the next complete command.")
    data_time: float = setting(duration, "120s", help="Time to wait for the next piece of a message.")
    session_time: float = setting(duration, "30m", help="Time after which a session ends between messages.")
    greeting_delay: float = setting(
        duration, "0s", help="Time before the greeting; who talks earlier is turned away, as some robots do."
    )

    def room(self) -> Room:
        return Room(self.connections, self.connections_per_address, self.connections_per_minute)


class SmtpFactory(protocol.ServerFactory):
    """Makes the connections of one listener; ``clock`` is the reactor or a ``task.Clock``."""

    def __init__(
        self, intake: Intake, settings: SmtpSettings, tls: ServerTLS | None, host: str, clock: IReactorTime
    ) -> None:
        self.intake = intake
        self.settings = settings
        self.tls = tls
        self.clock = clock
        self.doorkeeper = Doorkeeper(settings.room(), clock.seconds)
        self._host = host

    def buildProtocol(self, addr: IAddress | None) -> SmtpConnection:
        bounds = Bounds(
            host=self._host,
            size=self.intake.size_limit,
            tls=self.tls is not None,
            recipients=self.intake.recipients_limit,
            errors=self.settings.errors,
            junk=self.settings.junk,
        )
        return SmtpConnection(self, SmtpDialogue(bounds), addr)


def smtp_factory(
    intake: Intake, settings: SmtpSettings, tls: ServerTLS | None, host: str, clock: IReactorTime
) -> SmtpFactory:
    """One row of the gateway's table of doors."""
    return SmtpFactory(intake, settings, tls, host, clock)


@implementer(IHandshakeListener)
class SmtpConnection(protocol.Protocol):
    """One connection: carries bytes, asks ``Intake``, watches the clock."""

    transport: Any  # a TCP or UNIX transport of Twisted, which is a push producer and can start TLS

    def __init__(self, factory: SmtpFactory, dialogue: SmtpDialogue, peer: IAddress | None) -> None:
        self._door = factory
        self._dialogue = dialogue
        self._address = str(getattr(peer, "host", "") or "")
        self._port = int(getattr(peer, "port", 0) or 0)
        self._tls = ""
        self._todo: deque[Event] = deque()
        self._unsent: list[bytes] = []
        self._working = self._paused = self._inside = self._gone = False
        self._timer: IDelayedCall | None = None
        self._began = self._heard = self._stepped = factory.clock.seconds()
        self._steps = 0

    # Called by Twisted

    def connectionMade(self) -> None:
        if ITCPTransport.providedBy(self.transport):
            self.transport.setTcpNoDelay(True)
        if reason := self._door.doorkeeper.enter(self._address):
            self._perform(self._dialogue.refuse(Reply(421, "4.7.0", reason.capitalize()), reason))
            return
        self._inside = True
        if self._door.settings.greeting_delay:
            self._arm(self._door.settings.greeting_delay, self._greet)
        else:
            self._greet()

    def dataReceived(self, data: bytes) -> None:
        self._heard = self._door.clock.seconds()
        if self._dialogue.asking and not self._paused:  # not for everybody: pausing costs system calls
            self._paused = True
            self.transport.pauseProducing()
        self._perform(self._dialogue.receive(data))
        if self._dialogue.steps != self._steps:
            self._steps, self._stepped = self._dialogue.steps, self._heard

    def handshakeCompleted(self) -> None:
        self._tls = self.transport.getHandle().get_protocol_version_name()

    def connectionLost(self, reason: Failure = protocol.connectionDone) -> None:
        self._gone = True
        self._stop_timer()
        if self._inside:
            self._door.doorkeeper.leave(self._address)

    # What the dialogue wants

    def _greet(self) -> None:
        self._arm(self._patience(self._door.settings.command_time), self._check_time)
        self._perform(self._dialogue.greet())

    def _perform(self, events: list[Event]) -> None:
        """Do it in order. An answer that comes at once adds to the list: no recursion, one write."""
        self._todo.extend(events)
        if self._working:
            return
        self._working = True
        try:
            while self._todo:
                self._do(self._todo.popleft())
        finally:
            self._working = False
        self._write()

    def _do(self, event: Event) -> None:
        if isinstance(event, Send):
            self._unsent.append(event.data)
        elif isinstance(event, Close):
            self._close(event.reason)
        elif isinstance(event, StartTLS):
            self._write()
            self.transport.startTLS(self._door.tls)
            self._todo.extend(self._dialogue.secured())
        else:
            Deferred.fromCoroutine(self._consult(event)).addCallback(self._answered)

    def _write(self) -> None:
        if self._unsent and not self._gone:
            self.transport.write(b"".join(self._unsent))
        self._unsent.clear()

    def _close(self, reason: str) -> None:
        if reason != "quit":
            log.info("smtp {address} is cut off: {reason}", address=self._address, reason=reason)
        self._write()
        self._arm(LINGER, self.transport.abortConnection)
        self.transport.loseConnection()

    # What Intake says

    async def _consult(self, question: Question) -> Reply:
        try:
            return await self._put(question)
        except MailError as error:
            if error.detail:
                why = f"{error.reason}: {error.detail}"
                log.info("smtp {address}: {why}", address=self._address, why=why)
            return Reply(error.code, error.status, error.sentence)
        except Exception:
            log.failure("smtp {address}: a question could not be answered", address=self._address)
            return Reply(451, "4.3.0", "That cannot be done now; please try again")

    async def _put(self, question: Question) -> Reply:
        intake, source = self._door.intake, self._source()
        if isinstance(question, AskSender):
            await intake.sender(source, question.sender, question.terms.size)
            return Reply(250, "2.1.0", "Sender ok")
        if isinstance(question, AskRecipient):
            await intake.recipient(source, question.sender, question.recipient)
            return Reply(250, "2.1.5", "Recipient ok")
        trace = await intake.accept(self._envelope(question, source), question.raw)
        return Reply(250, "2.0.0", f"Taken as {trace}")

    def _source(self) -> Source:
        inside = self._door.intake.is_inside(self._address)
        return Source("smtp", self._address, self._port, self._dialogue.helo, self._tls, inside=inside)

    def _envelope(self, question: AskMessage, source: Source) -> Envelope:
        return Envelope(
            trace=secrets.token_hex(8),
            sender=question.sender,
            recipients=question.recipients,
            source=source,
            received=self._door.clock.seconds(),
            eight_bit=not question.raw.isascii(),  # what the text is counts, not what BODY= said
        )

    def _answered(self, reply: Reply) -> None:
        if self._gone:
            return
        self._stepped = self._door.clock.seconds()
        self._perform(self._dialogue.answer(reply))
        if self._paused and not self._dialogue.asking:
            self._paused = False
            self.transport.resumeProducing()

    # Time

    def _patience(self, seconds: float) -> float:
        return seconds / STRESS if self._door.doorkeeper.crowded else seconds

    def _deadline(self) -> float:
        settings = self._door.settings
        if self._dialogue.asking:  # they wait for us
            return self._door.clock.seconds() + settings.command_time
        size = self._dialogue.reading_body
        if size is not None:
            whole = self._stepped + self._patience(FIRST_OF_TEXT + size / SLOWEST)
            return min(whole, self._heard + self._patience(settings.data_time))
        session = self._began + self._patience(settings.session_time)
        return min(session, self._stepped + self._patience(settings.command_time))

    def _check_time(self) -> None:
        """Runs now and then, not at every byte: a deadline that moved is seen when its old time comes."""
        left = self._deadline() - self._door.clock.seconds()
        if left > 0:
            self._arm(min(left, self._patience(self._door.settings.command_time)), self._check_time)
        else:
            self._perform(self._dialogue.refuse(Reply(421, "4.4.2", "You took too long"), "time is over"))

    def _arm(self, seconds: float, call: Any) -> None:
        self._stop_timer()
        self._timer = self._door.clock.callLater(seconds, call)

    def _stop_timer(self) -> None:
        if self._timer and self._timer.active():
            self._timer.cancel()
        self._timer = None
