"""One connection to a next hop: carries bytes for the client's dialogue and watches the clock.

Not the pool (relay) and not the dialogue (smtp_dialogue). Obeys RFC 5321 4.5.3.2: a time limit for each stage.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import attrs
from twisted.internet import protocol
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IDelayedCall, IHandshakeListener, IPullProducer, IReactorTime, ITCPTransport
from twisted.python.failure import Failure
from zope.interface import implementer

from securegw.clients.relay_text import TextSender
from securegw.clients.smtp_dialogue import SmtpClientDialogue
from securegw.clients.smtp_envelope import Mail
from securegw.clients.smtp_events import Broken, Done, Event, Ready, Send, SendText, Stage, StartTLS
from securegw.clients.smtp_replies import Reply
from securegw.clients.smtp_text import Reader
from securegw.tls import ClientHandshake, in_words
from securegw.wire import send

LINGER = 5.0  # seconds a server has to answer QUIT
AWAKE = 1.0  # seconds since its last reply for which a server is taken to be there
SLOWEST = 10_000  # bytes a second that a text may take beyond the time for its reply


class NoConnection(Exception):
    """This host takes no mail now; ``handshake`` if only TLS failed, ``final`` if it will never be otherwise."""

    def __init__(self, reply: Reply, *, handshake: bool = False, final: bool = False) -> None:
        self.reply = reply
        self.handshake = handshake
        self.final = final
        super().__init__(str(reply))


@attrs.frozen
class Patience:
    """Seconds to wait in each stage (RFC 5321 4.5.3.2)."""

    connect: float = 30.0
    greeting: float = 300.0
    hello: float = 300.0
    handshake: float = 60.0
    envelope: float = 300.0
    end: float = 600.0
    idle: float = 30.0

    @property
    def shortest(self) -> float:
        return float(min(attrs.astuple(self)))

    def of(self, stage: Stage, size: int) -> float:
        if stage == "over":
            return LINGER
        seconds: float = getattr(self, stage)
        return seconds + size / SLOWEST if stage == "end" else seconds


@implementer(IHandshakeListener, IPullProducer)
class RelayConnection(protocol.Protocol):
    """``ready`` fires when the server takes mail, or fails with NoConnection; then ``deliver`` one by one.

    ``gone`` is called once, when it can take no more mail. ``handshake`` makes a new TLS handshake, if it is wanted.
    """

    transport: Any  # a TCP transport of Twisted, which can start TLS

    def __init__(
        self,
        dialogue: SmtpClientDialogue,
        host: str,
        *,
        handshake: Callable[[], ClientHandshake],
        clock: IReactorTime,
        patience: Patience,
        gone: Callable[[RelayConnection], None],
    ) -> None:
        self.ready: Deferred[RelayConnection] = Deferred()
        self.usable = True
        self.mails = 0
        self.began = clock.seconds()
        self.tls: ClientHandshake | None = None
        self._dialogue = dialogue
        self._host = host
        self._handshake = handshake
        self._clock = clock
        self._patience = patience
        self._gone = gone
        self._connected = True
        self._done: Deferred[Done] | None = None
        self._text: Iterator[bytes] | None = None
        self._sender: TextSender | None = None
        self._size = 0
        self._heard = 0.0  # when it last had something to say to us
        self._steps = -1
        self._tick = patience.shortest
        self._deadline = 0.0
        self._timer: IDelayedCall | None = None

    def deliver(self, mail: Mail, *, in_one: bool = False) -> Deferred[Done]:
        """Hand it over; ``in_one`` if the text may go with the envelope, should the server be there for sure."""
        done: Deferred[Done] = Deferred()
        self._done = done
        self._size = len(mail.raw)
        self.mails += 1
        awake = self._clock.seconds() - self._heard < AWAKE
        self._perform(self._dialogue.send(mail, in_one=in_one and awake))
        self._watch()
        return done

    def close(self) -> None:
        """Say QUIT and go, without waiting for long."""
        if self.usable:
            self._give_up(self._dialogue.quit())

    # Called by Twisted

    def connectionMade(self) -> None:
        if ITCPTransport.providedBy(self.transport):
            self.transport.setTcpNoDelay(True)
        self._watch()
        self._look_at_clock()

    def dataReceived(self, data: bytes) -> None:
        self._perform(self._dialogue.receive(data))
        if self._dialogue.steps != self._steps:
            self._steps = self._dialogue.steps
            self._watch()

    def handshakeCompleted(self) -> None:
        assert self.tls is not None
        problem = self.tls.judge()
        self._perform(self._dialogue.mistrusted(problem) if problem else self._dialogue.secured())
        self._watch()

    def connectionLost(self, reason: Failure = protocol.connectionDone) -> None:
        self._connected = False
        if self._sender is not None:
            self._sender.stopProducing()
        self._text = self._sender = None
        self._perform(self._dialogue.lost(self._why(reason.value)))
        self._leave()
        self._stop_timer()

    def resumeProducing(self) -> None:
        """The transport can take more of the text."""
        piece = next(self._text, None) if self._text else None
        if piece is not None:
            self.transport.write(piece)
        elif self._text:
            self._text = None
            self._dialogue.text_sent()
            self.transport.unregisterProducer()

    def stopProducing(self) -> None:
        self._text = None

    # What the dialogue wants

    def _perform(self, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, Send):
                send(self.transport, event.data)
            elif isinstance(event, SendText):
                self._send_text(event.pieces)
            elif isinstance(event, StartTLS):
                self.tls = self._handshake()
                self.transport.startTLS(self.tls)
            else:
                self._tell(event)

    def _send_text(self, pieces: Iterable[bytes] | Reader) -> None:
        if isinstance(pieces, Iterable):
            self._text = iter(pieces)
            self.transport.registerProducer(self, False)
        else:
            self._sender = TextSender(pieces, self.transport, sent=self._text_sent, broken=self._text_broken)
            self._sender.start()

    def _text_sent(self) -> None:
        self._sender = None
        self._dialogue.text_sent()

    def _text_broken(self) -> None:
        self._perform(self._dialogue.lost("The text could not be read to its end"))

    def _tell(self, event: Ready | Broken | Done) -> None:
        """Who hears of it may go on at once, so the clock is set first."""
        self._watch()
        self._heard = self._clock.seconds()
        if isinstance(event, Ready):
            self.ready.callback(self)
        elif isinstance(event, Broken):
            self._give_up([])
            if not self.ready.called:
                self.ready.errback(NoConnection(event.reply, handshake=event.handshake))
        else:
            if not event.reusable:
                self._give_up([])
            done, self._done = self._done, None
            if done:
                done.callback(event)

    def _give_up(self, last_words: list[Event]) -> None:
        self._leave()
        if not self._connected:
            return
        if self._text or self._sender:  # half a mail, and no end of it must ever follow
            self._stop_text()
            self.transport.abortConnection()
            return
        self._perform(last_words)
        self.transport.loseConnection()
        self._arm(LINGER, self.transport.abortConnection)

    def _stop_text(self) -> None:
        if self._sender is not None:
            self._sender.stop()
        else:
            self.transport.unregisterProducer()
        self._text = self._sender = None

    def _leave(self) -> None:
        if self.usable:
            self.usable = False
            self._gone(self)

    def _why(self, reason: BaseException | None) -> str:
        if self._dialogue.stage == "handshake" and self.tls and self.tls.problem:
            return self.tls.problem
        words = "closed" if isinstance(reason, ConnectionDone) else in_words(reason)
        during = " during the TLS handshake" if self._dialogue.stage == "handshake" else ""
        return f"The connection to {self._host} ended{during}: {words}"

    # Time: a deadline that moves with every step, and a timer that looks at it now and then

    def _watch(self) -> None:
        self._deadline = self._clock.seconds() + self._patience.of(self._dialogue.stage, self._size)

    def _look_at_clock(self) -> None:
        left = self._deadline - self._clock.seconds()
        if left > 0:
            self._arm(min(left, self._tick), self._look_at_clock)
        elif self._dialogue.stage == "idle" and self.ready.called:
            self.close()
        else:
            self._perform(self._dialogue.lost(f"{self._host} did not answer in time"))

    def _arm(self, seconds: float, call: Callable[[], object]) -> None:
        self._stop_timer()
        self._timer = self._clock.callLater(seconds, call)

    def _stop_timer(self) -> None:
        if self._timer and self._timer.active():
            self._timer.cancel()
        self._timer = None
