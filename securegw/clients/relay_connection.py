"""One connection to a next hop: carries bytes for the client's dialogue and watches the clock.

Not the pool (relay) and not the dialogue (smtp_dialogue). Obeys RFC 5321 4.5.3.2: a time limit for each stage.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
from twisted.internet import protocol
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IDelayedCall, IHandshakeListener, IReactorTime, ITCPTransport
from twisted.python.failure import Failure
from zope.interface import implementer

from securegw.clients.smtp_dialogue import (
    Broken,
    Done,
    Event,
    Mail,
    Ready,
    Send,
    SmtpClientDialogue,
    Stage,
    StartTLS,
)
from securegw.clients.smtp_replies import Reply
from securegw.tls import ClientTLS

LINGER = 5.0  # seconds a server has to answer QUIT
SLOWEST = 10_000  # bytes a second that a text may take beyond the time for its reply


class NoConnection(Exception):
    """This host takes no mail now; ``handshake`` if only TLS failed."""

    def __init__(self, reply: Reply, *, handshake: bool = False) -> None:
        self.reply = reply
        self.handshake = handshake
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

    def of(self, stage: Stage, size: int) -> float:
        if stage == "over":
            return LINGER
        seconds: float = getattr(self, stage)
        return seconds + size / SLOWEST if stage == "end" else seconds


@implementer(IHandshakeListener)
class RelayConnection(protocol.Protocol):
    """``ready`` fires when the server takes mail, or fails with NoConnection; then ``deliver`` one by one.

    ``gone`` is called once, when it can take no more mail.
    """

    transport: Any  # a TCP transport of Twisted, which can start TLS

    def __init__(
        self,
        dialogue: SmtpClientDialogue,
        host: str,
        *,
        tls: ClientTLS,
        verify: bool,
        clock: IReactorTime,
        patience: Patience,
        gone: Callable[[RelayConnection], None],
    ) -> None:
        self.ready: Deferred[RelayConnection] = Deferred()
        self.usable = self._connected = True
        self._dialogue = dialogue
        self._creator = tls.verified if verify else tls.opportunistic
        self._host = host
        self._clock = clock
        self._patience = patience
        self._gone = gone
        self._done: Deferred[Done] | None = None
        self._size = 0
        self._timer: IDelayedCall | None = None
        self._steps = -1

    def deliver(self, mail: Mail) -> Deferred[Done]:
        done: Deferred[Done] = Deferred()
        self._done = done
        self._size = len(mail.raw)
        self._perform(self._dialogue.send(mail))
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

    def dataReceived(self, data: bytes) -> None:
        self._perform(self._dialogue.receive(data))
        if self._dialogue.steps != self._steps:
            self._steps = self._dialogue.steps
            self._watch()

    def handshakeCompleted(self) -> None:
        self._perform(self._dialogue.secured())
        self._watch()

    def connectionLost(self, reason: Failure = protocol.connectionDone) -> None:
        self._connected = False
        why = "closed" if isinstance(reason.value, ConnectionDone) else str(reason.value) or repr(reason.value)
        self._perform(self._dialogue.lost(f"The connection to {self._host} ended: {why}"))
        self._leave()
        self._stop_timer()

    # What the dialogue wants

    def _perform(self, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, Send):
                self.transport.write(event.data)
            elif isinstance(event, StartTLS):
                self.transport.startTLS(self._creator(self._host))
            else:
                self._tell(event)

    def _tell(self, event: Ready | Broken | Done) -> None:
        """Who hears of it may go on at once, so the clock is set first."""
        self._watch()
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
        if self._connected:
            self._perform(last_words)
            self.transport.loseConnection()
            self._arm(LINGER, self.transport.abortConnection)

    def _leave(self) -> None:
        if self.usable:
            self.usable = False
            self._gone(self)

    # Time

    def _watch(self) -> None:
        if self.usable:
            self._arm(self._patience.of(self._dialogue.stage, self._size), self._late)

    def _late(self) -> None:
        if self._dialogue.stage == "idle" and self.ready.called:
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
