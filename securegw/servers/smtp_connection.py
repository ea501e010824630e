"""One SMTP connection: carries bytes between a transport of Twisted and the dialogue, and watches the clock.

Not the dialogue, and not a judge. Obeys RFC 5321 4.5.3.2 (time-outs), RFC 3207 (STARTTLS) and RFC 8314 3.3 (TLS from
the first byte). What comes first, in this order, where it is so set: a PROXY header, the handshake, the pause before
the greeting.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, Protocol

import txaio
from twisted.internet import protocol
from twisted.internet.interfaces import (
    IAddress,
    IDelayedCall,
    IHandshakeListener,
    IOpenSSLServerConnectionCreator,
    IReactorTime,
    ISSLTransport,
    ITCPTransport,
)
from twisted.python.failure import Failure
from zope.interface import implementer

from securegw.going import go_on_with
from securegw.servers.client_certificates import ClientAuthorities
from securegw.servers.connections import Doorkeeper
from securegw.servers.proxy_header import BadProxyHeader, Client, ProxyReader
from securegw.servers.rounds import Rounds
from securegw.servers.smtp_commands import Reply
from securegw.servers.smtp_counters import count_refusal
from securegw.servers.smtp_dialogue import SmtpDialogue
from securegw.servers.smtp_events import Close, Event, Send, StartTLS
from securegw.servers.smtp_peer import Intake, Peer
from securegw.servers.smtp_settings import SmtpSettings
from securegw.tls_session import start_tls
from securegw.wire import send

log = txaio.make_logger()

LINGER = 10.0  # seconds a peer has to take our last reply
SLOWEST = 1000  # bytes a second; a slower text does not end (threat: one byte every ten seconds)
FIRST_OF_TEXT = 600.0  # seconds that any text may take
STRESS = 6  # patience is divided by this under stress


class Door(Protocol):
    """What all connections of a listener share."""

    intake: Intake
    settings: SmtpSettings
    tls: IOpenSSLServerConnectionCreator | None
    authorities: ClientAuthorities | None
    clock: IReactorTime
    doorkeeper: Doorkeeper
    rounds: Rounds
    implicit_tls: bool

    def is_proxy(self, address: str) -> bool: ...

    def count(self) -> None: ...

    def left(self, connection: SmtpConnection) -> None: ...


@implementer(IHandshakeListener)
class SmtpConnection(protocol.Protocol):
    """One connection: carries bytes, asks ``Intake``, watches the clock."""

    transport: Any  # a TCP or UNIX transport of Twisted, which is a push producer and can start TLS

    def __init__(self, door: Door, dialogue: SmtpDialogue, peer: IAddress | None) -> None:
        self._door = door
        self._dialogue = dialogue
        self._peer = _peer(door, str(getattr(peer, "host", "") or ""), int(getattr(peer, "port", 0) or 0))
        self._proxy: ProxyReader | None = None
        self._todo: list[Event] = []
        self._unsent: list[bytes] = []
        self._working = self._paused = self._counted = self._gone = self._check = self._welcomed = False
        self._timer: IDelayedCall | None = None
        self._round: int | None = None
        self._began = self._heard = self._stepped = door.clock.seconds()
        self._steps = 0

    # Called by Twisted

    def connectionMade(self) -> None:
        if ITCPTransport.providedBy(self.transport):
            self.transport.setTcpNoDelay(True)
        if self._door.is_proxy(self._peer.address):
            self._proxy = ProxyReader()
            self._wait_for("proxy header")
        else:
            self._enter()

    def dataReceived(self, data: bytes) -> None:
        if self._proxy is not None:
            return self._read_proxy(self._proxy, data)
        self._heard = self._door.clock.seconds()
        if self._dialogue.asking and not self._paused:  # not for everybody: pausing costs system calls
            self._paused = True
            self.transport.pauseProducing()
        self._perform(self._dialogue.receive(data))
        if self._dialogue.behind and not self._paused and not self._gone:
            self._wait_for_spool()
        if self._dialogue.steps != self._steps:
            self._steps, self._stepped = self._dialogue.steps, self._heard
        return None

    def _wait_for_spool(self) -> None:
        """The disk is not as quick as the peer."""
        self._paused = True
        self.transport.pauseProducing()
        self._dialogue.when_calm(self._go_on)

    def _go_on(self) -> None:
        self._heard = self._door.clock.seconds()
        if self._paused and not self._gone and not self._dialogue.asking:
            self._paused = False
            self.transport.resumeProducing()

    def handshakeCompleted(self) -> None:
        handle = self.transport.getHandle()
        authorities = self._door.authorities
        self._peer.secured(handle.get_protocol_version_name(), authorities.judge(handle) if authorities else None)
        if not self._welcomed and self._proxy is None:
            self._welcome()

    def connectionLost(self, reason: Failure = protocol.connectionDone) -> None:
        self._gone = True
        self._stop_timer()
        self._dialogue.lost()
        self._door.left(self)
        if self._counted:
            self._door.doorkeeper.leave(self._peer.address)

    def dismiss(self) -> None:
        """We are going down (RFC 5321 3.8): say so, unless an answer is being worked out, which then still comes."""
        if not (self._gone or self._dialogue.asking or self._proxy is not None):
            self._perform(self._dialogue.refuse(Reply(421, "4.3.2", "Going down; please come again"), "going down"))

    # Before the dialogue

    def _read_proxy(self, reader: ProxyReader, data: bytes) -> None:
        try:
            found = reader.feed(data)
        except BadProxyHeader:
            return self._give_up("no proxy header")
        if found is None:
            return None
        self._proxy = None
        client, rest = found
        self._speak_for(client)
        self._enter()
        return self._pass_on(rest)

    def _speak_for(self, client: Client) -> None:
        """From here the peer is the client. One without an address is a stranger, wherever the balancer stands."""
        self._check = client.local
        if client.address:
            self._peer = _peer(self._door, client.address, client.port)
        else:
            self._peer = Peer(self._door.intake, self._peer.address)

    def _pass_on(self, data: bytes) -> None:
        """What came behind the PROXY header belongs to whoever reads now: TLS, or the dialogue."""
        if data and not self._gone:
            self.transport.protocol.dataReceived(data)

    def _enter(self) -> None:
        keeper = self._door.doorkeeper
        if not self._check:
            if reason := keeper.enter(self._peer.address, known=self._peer.known):
                return self._turn_away(reason)
            self._counted = True
            self._door.count()
        if self._door.implicit_tls or ISSLTransport.providedBy(self.transport):
            return self._shake_hands()
        return self._welcome()

    def _turn_away(self, reason: str) -> None:
        if self._door.implicit_tls:  # a handshake for a line of text is too much
            return self._give_up(reason)
        return self._perform(self._dialogue.refuse(Reply(421, "4.7.0", reason.capitalize()), reason))

    def _shake_hands(self) -> None:
        self._wait_for("handshake")
        self._dialogue.secured()
        if not ISSLTransport.providedBy(self.transport):  # the endpoint may have wrapped it already
            start_tls(self, self._door.tls)

    def _welcome(self) -> None:
        self._welcomed = True
        if self._door.settings.greeting_delay:
            self._arm(self._door.settings.greeting_delay, self._greet)
        else:
            self._greet()

    def _greet(self) -> None:
        self._watch(self._door.settings.command_time / STRESS)
        self._perform(self._dialogue.greet())

    def _wait_for(self, what: str) -> None:
        self._arm(self._patience(self._door.settings.command_time), lambda: self._give_up(f"no {what} in time"))

    def _give_up(self, reason: str) -> None:
        """Close without a word: there is no dialogue yet."""
        count_refusal(reason)
        log.info("smtp {address} is not served: {reason}", address=self._peer.address, reason=reason)
        self._stop_timer()
        self.transport.abortConnection()

    # What the dialogue wants

    def _perform(self, events: list[Event]) -> None:
        """Do it in order. An answer that comes at once adds to the list: no recursion, one write."""
        self._todo.extend(events)
        if self._working:
            return
        self._working = True
        try:
            while self._todo:
                self._do(self._todo.pop(0))  # few at a time; an empty deque has room for sixty
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
            start_tls(self, self._door.tls)
            self._todo.extend(self._dialogue.secured())
        else:
            self._consult(self._peer.ask(event, self._dialogue.helo, self._door.clock.seconds))

    def _consult(self, asked: Coroutine[Any, Any, Reply]) -> None:
        """An answer that nobody has to wait for needs no Deferred: most senders and recipients."""
        try:
            awaited = asked.send(None)
        except StopIteration as end:
            self._answered(end.value)
        else:
            go_on_with(asked, awaited).addCallback(self._answered)

    def _write(self) -> None:
        if self._unsent and not self._gone:
            send(self.transport, b"".join(self._unsent))
        self._unsent.clear()

    def _close(self, reason: str) -> None:
        if reason != "quit" and not self._check:
            count_refusal(reason)
            log.info("smtp {address} is cut off: {reason}", address=self._peer.address, reason=reason)
        self._write()
        self._arm(LINGER, self.transport.abortConnection)
        self.transport.loseConnection()

    def _answered(self, reply: Reply) -> None:
        if self._gone:
            self._dialogue.answer(reply)
            return
        self._stepped = self._door.clock.seconds()
        self._perform(self._dialogue.answer(reply))
        if self._paused and not self._dialogue.asking:
            self._paused = False
            self.transport.resumeProducing()

    # Time

    def _patience(self, seconds: float) -> float:
        return seconds / STRESS if self._door.doorkeeper.stressed else seconds

    def _deadline(self) -> float:
        settings = self._door.settings
        if self._dialogue.asking:  # they wait for us
            return self._door.clock.seconds() + settings.command_time
        size = self._dialogue.reading_text
        if size is not None:
            whole = self._stepped + self._patience(FIRST_OF_TEXT + size / SLOWEST)
            return min(whole, self._heard + self._patience(settings.data_time))
        session = self._began + self._patience(settings.session_time)
        return min(session, self._stepped + self._patience(settings.command_time))

    def time_has_come(self) -> None:
        """Runs now and then, not at every byte, but so often that stress is felt by those who came before it."""
        self._round = None
        if self._gone:
            return
        left = self._deadline() - self._door.clock.seconds()
        if left > 0:
            self._watch(min(left, self._door.settings.command_time / STRESS))
        else:
            self._perform(self._dialogue.refuse(Reply(421, "4.4.2", "You took too long"), "time is over"))

    def _arm(self, seconds: float, call: Any) -> None:
        self._stop_timer()
        self._timer = self._door.clock.callLater(seconds, call)

    def _watch(self, seconds: float) -> None:
        self._stop_timer()
        self._round = self._door.rounds.enter(self, seconds)

    def _stop_timer(self) -> None:
        if self._round is not None:
            self._door.rounds.leave(self, self._round)
            self._round = None
        if self._timer and self._timer.active():
            self._timer.cancel()
        self._timer = None


def _peer(door: Door, address: str, port: int) -> Peer:
    return Peer(door.intake, address, port, known=door.intake.is_inside(address))
