"""LDAP for mail programs and other gateways that look for certificates: factory and connection of a listener.

Not the dialogue (ldap_dialogue), and not the directory (ldap_directory). TLS by StartTLS (RFC 4511 4.14) or from the
first byte.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable
from functools import lru_cache
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
    ITCPTransport,
)
from twisted.internet.tcp import Connection
from twisted.python.failure import Failure
from zope.interface import implementer

from securegw.mail.errors import MailError, TooManyTries, WrongPassword
from securegw.pages.rates import Rate, network_of
from securegw.servers import ldap_replies as replies
from securegw.servers.connections import Doorkeeper
from securegw.servers.ldap_counters import CONNECTIONS, REFUSALS, SEARCHES
from securegw.servers.ldap_dialogue import Bounds, LdapDialogue
from securegw.servers.ldap_directory import Directory, Outcome
from securegw.servers.ldap_events import Ask, Close, Event, Send, StartTLS
from securegw.servers.ldap_quick import Quick
from securegw.servers.ldap_requests import Bind, Search
from securegw.servers.ldap_settings import LdapSettings
from securegw.tls_session import start_tls

__all__ = ["Directory", "LdapFactory", "LdapSettings"]

log = txaio.make_logger()

SWEEP = 1.0  # seconds between two looks at who has been silent for too long
MOST_ASKING = 250  # questions to the store at once from all connections: others read there too
LINGER = 10.0  # seconds a peer has to take our last reply


class Logins(Protocol):
    """Who checks passwords."""

    def check_login(self, name: str, password: str, source: str) -> Awaitable[str]: ...


class LdapFactory(protocol.ServerFactory):
    """Makes the connections of a listener; ``clock`` is the reactor or a ``task.Clock``."""

    def __init__(
        self,
        directory: Directory,
        logins: Logins,
        settings: LdapSettings,
        tls: IOpenSSLServerConnectionCreator | None,
        clock: IReactorTime,
        *,
        door: str,
        implicit_tls: bool = False,
    ) -> None:
        self.directory = directory
        self.logins = logins
        self.settings = settings
        self.tls = tls
        self.clock = clock
        self.door = door
        self.implicit_tls = implicit_tls
        self.doorkeeper = Doorkeeper(settings.room(), clock.seconds, door)
        self.rate = Rate(clock.seconds, settings.searches_per_minute, 60.0)
        self.quick = Quick(directory.shelf, settings.base.encode())
        self.bounds = Bounds(
            start_tls=tls is not None and not implicit_tls, tls_only=settings.tls_only, sign_in=settings.sign_in
        )
        self.quickly_found = SEARCHES.labels(door, "at-once")
        self.asking = 0
        self._open: dict[LdapConnection, None] = {}
        self._sweeper: IDelayedCall | None = None
        self._connections = CONNECTIONS.labels(door)
        self.knows = lru_cache(maxsize=4096)(self._knows)

    def buildProtocol(self, addr: IAddress | None) -> LdapConnection:
        return LdapConnection(self, str(getattr(addr, "host", "") or ""))

    def _knows(self, address: str) -> bool:
        """Whether a peer is of one of the named networks."""
        if not self.settings.networks:
            return False
        try:
            peer = ipaddress.ip_address(address)
        except ValueError:
            return False
        peer = getattr(peer, "ipv4_mapped", None) or peer
        return any(peer in network for network in self.settings.networks)

    def entered(self, connection: LdapConnection) -> None:
        self._connections.inc()
        self._open[connection] = None
        if self._sweeper is None:
            self._sweeper = self.clock.callLater(SWEEP, self._sweep)

    def left(self, connection: LdapConnection) -> None:
        self._open.pop(connection, None)

    def _sweep(self) -> None:
        """One clock for all connections: thousands of them are silent most of the time."""
        self._sweeper = self.clock.callLater(SWEEP, self._sweep) if self._open else None
        now = self.clock.seconds()
        for connection in tuple(self._open):
            connection.count()
            if connection.deadline < now:
                connection.time_is_over()

    def refused(self, address: str, reason: str) -> None:
        REFUSALS.labels(self.door, reason.replace(" ", "-")).inc()
        log.info("{door} {address}: {reason}", door=self.door, address=address, reason=reason)

    def dismiss(self) -> None:
        """Send everybody away: the gateway goes down."""
        for connection in tuple(self._open):
            connection.dismiss()


@implementer(IHandshakeListener, IPushProducer)
class LdapConnection(protocol.Protocol):
    """One connection: carries bytes, asks the directory. ``deadline`` is when it has been silent for too long."""

    transport: Any

    def __init__(self, door: LdapFactory, address: str) -> None:
        known = door.knows(address)
        self.deadline = 0.0
        self._door = door
        self._address = address
        self._known = known
        self._counted = self._gone = self._shaking_hands = False
        self._send: Callable[[bytes], object] | None = None
        self._dialogue = LdapDialogue(
            door.bounds, door.quick, door.clock.seconds, lambda: door.rate.allows(network_of(address)), known=known
        )

    # Called by Twisted

    def connectionMade(self) -> None:
        door = self._door
        if ITCPTransport.providedBy(self.transport):
            self.transport.setTcpNoDelay(True)
        if reason := door.doorkeeper.enter(self._address, known=self._known):
            door.refused(self._address, reason)
            self.transport.abortConnection()
            return
        self._counted = True
        self.deadline = door.clock.seconds() + door.settings.command_time
        door.entered(self)
        if door.implicit_tls:
            self._start_tls()
        else:
            self._send_directly()
        self.transport.registerProducer(self, True)

    def dataReceived(self, data: bytes) -> None:
        if (answer := self._dialogue.at_once(data)) is not None:
            self.deadline = self._door.clock.seconds() + self._door.settings.idle_time
            self._write(answer)
        elif not self._gone:
            self._perform(self._dialogue.receive(data))
            if not self._gone:
                self._set_deadline()

    def handshakeCompleted(self) -> None:
        self._shaking_hands = False
        self._set_deadline()

    def connectionLost(self, reason: Failure = protocol.connectionDone) -> None:
        self._gone = True
        self.count()
        self._door.left(self)
        if self._counted:
            self._door.doorkeeper.leave(self._address)

    # A peer that does not read its answers is not asked for more questions

    def pauseProducing(self) -> None:
        self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        """All that waited has been sent."""
        self._send_directly()
        self.transport.resumeProducing()

    def _send_directly(self) -> None:
        if isinstance(self.transport, Connection) and not self._dialogue.secure:
            self._send = self.transport.writeSomeData

    def stopProducing(self) -> None:
        """The transport is done; ``connectionLost`` follows."""

    # Called by the factory

    def dismiss(self) -> None:
        self._perform(self._dialogue.dismiss(replies.UNAVAILABLE, "going down"))

    def time_is_over(self) -> None:
        if self._gone:
            self.transport.abortConnection()
        else:
            self._perform(self._dialogue.dismiss(replies.UNAVAILABLE, "silent for too long"))

    # Carrying out

    def _set_deadline(self) -> None:
        """Set when something came, and not moved by every byte of a request that does not end."""
        settings, now = self._door.settings, self._door.clock.seconds()
        if not (self._dialogue.waiting or self._shaking_hands):
            self.deadline = now + settings.idle_time
        elif self.deadline > now + settings.command_time:
            self.deadline = now + settings.command_time

    def _perform(self, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, Send):
                self._write(event.data)
            elif isinstance(event, Ask):
                self._ask(event)
            elif isinstance(event, StartTLS):
                self._start_tls()
            else:
                self._close(event)

    def count(self) -> None:
        """Add up what was answered at once: now and then, as counting takes as long as answering."""
        if answers := self._dialogue.quick_answers:
            self._dialogue.quick_answers = 0
            self._door.quickly_found.inc(answers)

    def _write(self, data: bytes) -> None:
        """To the socket at once as long as it takes everything: that saves the reactor a turn for each answer."""
        if self._send is not None:
            sent = self._send(data)
            if sent == len(data):
                return
            self._send = None
            data = data[sent:] if isinstance(sent, int) else data
        self.transport.write(data)

    def _start_tls(self) -> None:
        self._send, self._shaking_hands = None, True
        self.deadline = self._door.clock.seconds() + self._door.settings.command_time
        start_tls(self, self._door.tls)
        self._dialogue.secured()

    def _close(self, event: Close) -> None:
        if event.reason != "unbind":
            self._door.refused(self._address, event.reason)
        self._gone = True
        self.deadline = self._door.clock.seconds() + LINGER
        self.transport.unregisterProducer()
        self.transport.loseConnection()

    def _ask(self, event: Ask) -> None:
        if self._door.asking >= MOST_ASKING:
            return self._answer(event, (Outcome((), replies.BUSY, "Too many questions at once"), ""))
        self._door.asking += 1
        done = Deferred.fromCoroutine(self._find_out(event))
        # Our own patience ends when the store hangs, and then it must not look as if there were no more to find (REL4).
        seconds, code = self._door.settings.search_time, replies.UNAVAILABLE
        if isinstance(event.request, Search) and 0 < event.request.time < seconds:
            seconds, code = event.request.time, replies.TIME_LIMIT_EXCEEDED
        timer = None
        if not done.called:
            late = Outcome((), code)
            timer = self._door.clock.callLater(seconds, self._answer, event, (late, ""))
        done.addBoth(self._came_back, timer)
        done.addCallbacks(lambda found: self._answer(event, found), lambda failure: self._broke(event, failure))
        return None

    def _came_back(self, outcome: Any, timer: IDelayedCall | None) -> Any:
        self._door.asking -= 1
        if timer is not None and timer.active():
            timer.cancel()
        return outcome

    async def _find_out(self, event: Ask) -> tuple[Outcome, str]:
        request = event.request
        if isinstance(request, Search):
            found = await self._door.directory.search(request, known=self._dialogue.known)
            SEARCHES.labels(self._door.door, _in_a_word(found)).inc()
            return found, ""
        if isinstance(request, Bind):
            return await self._sign_in(request)
        return Outcome((), await self._door.directory.compare(request)), ""

    async def _sign_in(self, asked: Bind) -> tuple[Outcome, str]:
        source = network_of(self._address)
        try:
            name = await self._door.logins.check_login(_login(asked.name), asked.password or "", source)
        except WrongPassword:
            return Outcome((), replies.INVALID_CREDENTIALS), ""
        except TooManyTries:
            return Outcome((), replies.BUSY, "Too many tries; please wait"), ""
        except MailError:
            return Outcome((), replies.UNAVAILABLE, "Passwords cannot be checked now; please try again"), ""
        return Outcome(), name

    def _answer(self, event: Ask, found: tuple[Outcome, str]) -> None:
        if not self._gone:
            self._perform(self._dialogue.answer(event, *found))

    def _broke(self, event: Ask, failure: Failure) -> None:
        """A mistake of ours: the log has it whole, the client learns nothing of it."""
        log.failure("{door}: a request could not be answered", failure=failure, door=self._door.door)
        self._answer(event, (Outcome((), replies.OTHER, "Something went wrong here"), ""))


def _in_a_word(found: Outcome) -> str:
    if found.code:
        return "refused" if found.code != replies.SIZE_LIMIT_EXCEEDED else "too-many"
    return "found" if found.entries else "nothing"


def _login(name: str) -> str:
    """The name of a login in what a program makes of it: ``uid=ann,o=x``, ``cn=ann``, or the name as it is."""
    first = name.partition(",")[0]
    return first.partition("=")[2].strip() if "=" in first else name
