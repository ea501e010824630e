"""One POP3 connection: carries bytes between a transport of Twisted and the dialogue, and watches the clock.

Not the dialogue, and not a judge. Obeys RFC 1939 3 (the idle timer; a connection that breaks deletes nothing),
RFC 2595 4 (STLS) and RFC 8314 3.3 (TLS from the first byte). A reader who is slow is waited for: no part of a mail is
read before the transport has room for it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine, Generator, Sequence
from typing import Any, Protocol

import txaio
from twisted.internet import protocol
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IAddress,
    IDelayedCall,
    IHandshakeListener,
    IOpenSSLServerConnectionCreator,
    IPushProducer,
    IReactorTime,
    ISSLTransport,
    ITCPTransport,
)
from twisted.python.failure import Failure
from zope.interface import implementer

from securegw.mail.errors import DiskFull, Later, MailboxInUse, MailError, StoreBusy, TooManyTries, WrongPassword
from securegw.servers.connections import Doorkeeper
from securegw.servers.pop3_counters import RETRIEVED, count_refusal
from securegw.servers.pop3_dialogue import Pop3Dialogue
from securegw.servers.pop3_events import Close, Event, Fetch, Finish, Mail, Question, Send, SignIn, StartTLS, Trouble
from securegw.servers.pop3_settings import Pop3Settings
from securegw.tls_session import start_tls
from securegw.wire import send

log = txaio.make_logger()

LINGER = 10.0  # seconds a peer has to take our last reply
ENOUGH = 65_536  # bytes of replies for one write
LOOK = 30.0  # seconds between two looks at the clock

# What an error is called on the wire: RFC 2449 8.1, RFC 3206. The first kind that fits.
CODES: tuple[tuple[type[MailError], str], ...] = (
    (WrongPassword, "AUTH"),
    (MailboxInUse, "IN-USE"),
    (TooManyTries, "LOGIN-DELAY"),
    (Later, "SYS/TEMP"),
    (MailError, "SYS/PERM"),
)
NOT_NOW = Trouble("SYS/TEMP", "That cannot be done now; please try again")


class OpenMailbox(Protocol):
    """A mailbox that is open for us (flow/pickup); one question at a time."""

    @property
    def mails(self) -> Sequence[Mail]: ...

    async def part(self, index: int, number: int) -> bytes: ...

    async def finish(self, deleted: Sequence[int]) -> None: ...

    async def close(self) -> None: ...


class Pickup(Protocol):
    """Who opens mailboxes (flow/pickup). A coroutine may raise MailError."""

    async def open(self, name: str, password: str, peer: str, waits: Callable[[], bool]) -> OpenMailbox: ...


class Door(Protocol):
    """What all connections of a listener share."""

    pickup: Pickup
    settings: Pop3Settings
    tls: IOpenSSLServerConnectionCreator
    clock: IReactorTime
    doorkeeper: Doorkeeper
    implicit_tls: bool

    def count(self) -> None: ...

    def left(self, connection: Pop3Connection) -> None: ...


@implementer(IHandshakeListener, IPushProducer)
class Pop3Connection(protocol.Protocol):
    """One connection: carries bytes, asks ``Pickup``, watches the clock."""

    transport: Any  # a TCP or UNIX transport of Twisted, which is a push producer and can start TLS

    def __init__(self, door: Door, dialogue: Pop3Dialogue, peer: IAddress | None) -> None:
        self._door = door
        self._dialogue = dialogue
        self._address = str(getattr(peer, "host", "") or "")
        self._mailbox: OpenMailbox | None = None
        self._todo: deque[Event] = deque()
        self._unsent: list[bytes] = []
        self._length = 0
        self._working = self._paused = self._counted = self._gone = self._welcomed = self._closing = False
        self._room: Deferred[None] | None = None  # fires when the transport takes more; None: it does now
        self._timer: IDelayedCall | None = None
        self._moved = door.clock.seconds()

    # Called by Twisted

    def connectionMade(self) -> None:
        if ITCPTransport.providedBy(self.transport):
            self.transport.setTcpNoDelay(True)
            self.transport.setTcpKeepAlive(True)
        if reason := self._door.doorkeeper.enter(self._address):
            return self._turn_away(reason)
        self._counted = True
        self._door.count()
        self._arm(min(LOOK, self._door.settings.sign_in_time), self._look)
        if self._door.implicit_tls or ISSLTransport.providedBy(self.transport):
            return self._shake_hands()
        return self._welcome()

    def dataReceived(self, data: bytes) -> None:
        if self._closing:
            return
        self._moved = self._door.clock.seconds()
        if self._dialogue.asking and not self._paused:  # not for everybody: pausing costs system calls
            self._paused = True
            self.transport.pauseProducing()
        self._perform(self._dialogue.receive(data))

    def handshakeCompleted(self) -> None:
        if not self._welcomed:
            self._welcome()

    def connectionLost(self, reason: Failure = protocol.connectionDone) -> None:
        self._gone = True
        if self._timer and self._timer.active():
            self._timer.cancel()
        self._door.left(self)
        if self._counted:
            self._door.doorkeeper.leave(self._address)
        self._give_back()
        self.resumeProducing()  # whoever waits for room sees that nobody is there

    # The transport as our consumer: it says when it has enough

    def pauseProducing(self) -> None:
        if self._room is None:
            self._room = Deferred()

    def resumeProducing(self) -> None:
        room, self._room = self._room, None
        self._moved = self._door.clock.seconds()
        if room is not None:
            room.callback(None)

    def stopProducing(self) -> None:
        """``connectionLost`` follows."""

    def dismiss(self) -> None:
        """We are going down. What was marked and not ended by QUIT is not deleted."""
        if not self._gone:
            self._close("going down")

    @property
    def _is_over(self) -> bool:
        """Nobody is there any more, or will be in a moment."""
        return self._gone or self._closing

    # Before the dialogue

    def _turn_away(self, reason: str) -> None:
        if self._door.implicit_tls:  # a handshake for a line of text is too much
            count_refusal(reason)
            log.info("pop3 {address} is not served: {reason}", address=self._address, reason=reason)
            self.transport.abortConnection()
        else:
            self._perform(self._dialogue.refuse(reason.capitalize(), "SYS/TEMP", reason))

    def _shake_hands(self) -> None:
        self._dialogue.secured()
        if not ISSLTransport.providedBy(self.transport):  # the endpoint may have wrapped it already
            start_tls(self, self._door.tls)

    def _welcome(self) -> None:
        self._welcomed = True
        self.transport.registerProducer(self, True)
        self._perform(self._dialogue.greet())

    # What the dialogue wants

    def _perform(self, events: Sequence[Event]) -> None:
        """Do it in order. An answer that comes at once adds to the list: no recursion, one write."""
        if self._is_over:
            return
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
        if self._paused and not self._dialogue.asking and not self._closing:
            self._paused = False
            self.transport.resumeProducing()

    def _do(self, event: Event) -> None:
        if isinstance(event, Send):
            self._unsent.append(event.data)
            self._length += len(event.data)
            if self._length > ENOUGH:  # replies to commands sent ahead: the transport shall say when it is full
                self._write()
        elif isinstance(event, Close):
            self._close(event.reason)
        elif isinstance(event, StartTLS):
            self._write()
            start_tls(self, self._door.tls)
            self._todo.extend(self._dialogue.secured())
        else:
            self._consult(self._answer(event))

    def _consult(self, asked: Coroutine[Any, Any, None]) -> None:
        """An answer that nobody has to wait for needs no Deferred: most mails are there already."""
        try:
            awaited = asked.send(None)
        except StopIteration:
            return
        Deferred.fromCoroutine(_go_on(asked, awaited))

    async def _answer(self, question: Question) -> None:
        """Have a question answered; never raises."""
        try:
            await self._put(question)
        except MailError as error:
            self._refuse(error)
        except Exception:
            log.failure("pop3 {address}: a question could not be answered", address=self._address)
            self._perform(self._dialogue.refused(NOT_NOW))

    async def _put(self, question: Question) -> None:
        if isinstance(question, SignIn):
            await self._open(question)
        elif isinstance(question, Fetch):
            await self._fetch(question)
        else:
            await self._finish(question)

    async def _open(self, question: SignIn) -> None:
        self._mailbox = await self._door.pickup.open(
            question.name, question.password, self._address, lambda: not self._is_over
        )
        if self._is_over:
            return self._give_back()
        return self._perform(self._dialogue.opened(self._mailbox.mails))

    async def _fetch(self, question: Fetch) -> None:
        mailbox = self._mailbox
        if mailbox is None:
            return
        parts = mailbox.mails[question.index].parts
        for number in range(parts):
            while self._room is not None:
                await self._room
            part = b"" if self._is_over else await mailbox.part(question.index, number)
            if self._is_over:
                return
            events = self._dialogue.text(part, last=number + 1 == parts)
            if self._dialogue.question is not question:  # that was all that is wanted
                RETRIEVED.inc()
                self._perform(events)
                return
            for event in events:
                self._do(event)
            self._write()  # before more is made ready, so that the transport can say that it has enough

    async def _finish(self, question: Finish) -> None:
        mailbox, self._mailbox = self._mailbox, None
        if mailbox is not None:  # else we have gone down before
            await mailbox.finish(question.deleted)
            self._perform(self._dialogue.finished())

    def _refuse(self, error: MailError) -> None:
        why = f"{error.reason}: {error.detail}" if error.detail else error.reason
        log.info("pop3 {address}: {why}", address=self._address, why=why)
        count_refusal(error.reason)
        code = next(code for kind, code in CODES if isinstance(error, kind))
        unable = isinstance(error, (StoreBusy, DiskFull))  # their sentences speak of mail that is handed in
        self._perform(self._dialogue.refused(NOT_NOW if unable else Trouble(code, error.sentence)))

    def _write(self) -> None:
        if self._unsent and not self._gone:
            send(self.transport, self._unsent[0] if len(self._unsent) == 1 else b"".join(self._unsent))
        self._unsent.clear()
        self._length = 0

    def _close(self, reason: str) -> None:
        if self._closing:
            return
        self._closing = True
        if reason != "quit":
            count_refusal(reason)
            log.info("pop3 {address} is cut off: {reason}", address=self._address, reason=reason)
        self._write()
        self._give_back()
        self._arm(LINGER, self.transport.abortConnection)
        if self._welcomed:
            self.transport.unregisterProducer()
        self.transport.loseConnection()

    def _give_back(self) -> None:
        """Close the mailbox without deleting anything."""
        mailbox, self._mailbox = self._mailbox, None
        if mailbox is not None:
            Deferred.fromCoroutine(mailbox.close())

    # Time

    def _deadline(self) -> float:
        settings = self._door.settings
        if self._dialogue.asking and self._room is None:  # they wait for us
            return self._door.clock.seconds() + settings.idle_time
        return self._moved + (settings.idle_time if self._dialogue.is_open else settings.sign_in_time)

    def _look(self) -> None:
        """Now and then, not at every byte. Who is silent for too long is cut off without a word (RFC 1939 3)."""
        left = self._deadline() - self._door.clock.seconds()
        if left > 0:
            self._arm(min(left, LOOK), self._look)
        else:
            self._close("time is over")
            self.transport.abortConnection()

    def _arm(self, seconds: float, call: Any) -> None:
        if self._timer and self._timer.active():
            self._timer.cancel()
        self._timer = self._door.clock.callLater(seconds, call)


def _go_on(begun: Coroutine[Any, Any, None], awaited: Any) -> Generator[Any, Any, None]:
    """The rest of a coroutine that has been begun and waits for something."""
    try:
        while True:
            try:
                got = yield awaited
            except Exception as error:
                awaited = begun.throw(error)
            else:
                awaited = begun.send(got)
    except StopIteration:
        return
