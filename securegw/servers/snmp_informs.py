"""Informs: notifications that a receiver acknowledges, and that are sent again until it does (RFC 3416 4.2.7).

Not the notifications that nobody answers (snmp_agent), and no I/O: datagrams go out by a function and come in by
another. By community (version 2c) or as a user (version 3); of the latter the receiver's engine is the authority, so
its name and time are found out first (RFC 3414 4).
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Callable, Mapping, Sequence

import attrs
import txaio
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from securegw import counters
from securegw.servers.snmp_ber import SEQUENCE, BadBer, Reader, integer, octets, sequence
from securegw.servers.snmp_engine import WINDOW
from securegw.servers.snmp_message import (
    AUTH,
    LARGEST,
    NOT_IN_TIME,
    PRIV,
    REPORTABLE,
    UNKNOWN_ENGINES,
    Head,
    Salts,
    Stand,
    is_genuine,
    opened,
    plain,
    read_head,
    secured,
)
from securegw.servers.snmp_pdu import GET, INFORM, REPORT, RESPONSE, Binding, Told, pdu, read_told
from securegw.servers.snmp_security import Master, User

log = txaio.make_logger()

FIRST, LONGEST = 2.0, 64.0  # seconds until it is sent again, doubled each time up to the second one
MOST_WAITING = 100
INFORMS = counters.declare("securegw_snmp_informs", "Informs to SNMP managers, by what became of them.", ["outcome"])


@attrs.define(eq=False)
class Inform:
    """One that is not acknowledged yet."""

    number: int
    bindings: Sequence[Binding]
    end: float
    pause: float = FIRST
    timer: IDelayedCall | None = None

    @property
    def told(self) -> bytes:
        return pdu(INFORM, self.number, self.bindings)


class Speech:
    """How a receiver is spoken to; it is told what has not been acknowledged."""

    waiting: Mapping[int, Inform]

    def message(self, inform: Inform) -> bytes:
        raise NotImplementedError

    def hear(self, datagram: bytes) -> tuple[Told | None, bool]:
        """The answer that this is, and whether what waits should be said again now; raises BadBer."""
        raise NotImplementedError


class ByCommunity(Speech):
    """Version 2c: who knows the community and the number of a question has answered it."""

    def __init__(self, community: bytes) -> None:
        self._community = community

    def message(self, inform: Inform) -> bytes:
        return sequence((integer(1), octets(self._community), inform.told))

    def hear(self, datagram: bytes) -> tuple[Told | None, bool]:
        message = Reader(datagram).enter(SEQUENCE)
        if message.integer() != 1 or not hmac.compare_digest(message.octets(), self._community):
            raise BadBer("not the community")
        told = read_told(message)
        return (told, False) if told.kind == RESPONSE else (None, False)


class AsUser(Speech):
    """Version 3: as a user whose keys are made for the receiver's engine, once its name is known."""

    def __init__(self, master: Master, steady: Callable[[], float]) -> None:
        self._master = master
        self._steady = steady
        self._salts = Salts()
        self._asked = 0
        self._stand: Stand | None = None
        self._since = 0.0
        self._user: User | None = None

    def message(self, inform: Inform) -> bytes:
        if self._stand is None or self._user is None:
            self._asked = self._asked or _number()
            return plain(self._asked, Stand(), pdu(GET, self._asked, ()), REPORTABLE)
        flags = AUTH | PRIV | REPORTABLE
        return secured(inform.number, self._now(self._stand), self._user, inform.told, self._salts, flags)

    def hear(self, datagram: bytes) -> tuple[Told | None, bool]:
        message = Reader(datagram).enter(SEQUENCE)
        if message.integer() != 3:
            raise BadBer("not version 3")
        head = read_head(message)
        if not head.flags & AUTH:
            return None, self._learn(head, message)
        user, stand = self._user, self._stand
        if user is None or stand is None or head.engine != stand.id or head.user != user.name:
            raise BadBer("of another engine or user")
        if not is_genuine(datagram, head, user):
            raise BadBer("not genuine")
        self._keep_time(head.stand, stand)
        scoped = opened(message, head, user)
        scoped.octets()
        scoped.octets()
        told = read_told(scoped)
        if told.kind == REPORT:
            return None, NOT_IN_TIME in told.names and self._stand is not stand
        if told.kind != RESPONSE or not head.flags & PRIV:
            raise BadBer("not an answer that we take")
        return told, False

    def _learn(self, head: Head, message: Reader) -> bool:
        """A name, from a report that answers what we have sent; anybody could have made it, but cannot use it."""
        scoped = message.enter(SEQUENCE)
        scoped.octets()
        scoped.octets()
        told = read_told(scoped)
        ours = head.id == self._asked or head.id in self.waiting
        if told.kind != REPORT or not ours or not head.engine:
            raise BadBer("nobody asked for that")
        if UNKNOWN_ENGINES not in told.names:
            raise BadBer("the receiver knows no such user, or no such password")
        if self._stand is not None and self._stand.id == head.engine:
            return False
        # Its time is not believed before it is authenticated (RFC 3414 4): the receiver will say that ours is wrong.
        self._stand, self._user, self._asked = Stand(head.engine), self._master.at(head.engine), 0
        return True

    def _now(self, stand: Stand) -> Stand:
        if not stand.boots:
            return stand
        return attrs.evolve(stand, time=stand.time + int(self._steady() - self._since))

    def _keep_time(self, theirs: Stand, known: Stand) -> None:
        """RFC 3414 3.2.7 b: what is older than what we know is refused, what is newer becomes what we know."""
        ours = self._now(known)
        if theirs.boots < ours.boots or (theirs.boots == ours.boots and theirs.time < ours.time - WINDOW):
            raise BadBer("an old message")
        if theirs.boots > ours.boots or theirs.time > known.time:
            self._stand, self._since = theirs, self._steady()


class Receiver:
    """One that acknowledges; ``lasting`` seconds after a change it is given up."""

    def __init__(
        self, name: str, speech: Speech, send: Callable[[bytes], None], clock: IReactorTime, lasting: float
    ) -> None:
        self._name = name
        self._speech = speech
        self._send = send
        self._clock = clock
        self._lasting = lasting
        self._waiting: dict[int, Inform] = {}
        speech.waiting = self._waiting

    def tell(self, bindings: Sequence[Binding]) -> None:
        while len(self._waiting) >= MOST_WAITING:
            self._give_up(next(iter(self._waiting.values())), "too many wait")
        inform = Inform(_number(), bindings, self._clock.seconds() + self._lasting)
        self._waiting[inform.number] = inform
        self._say(inform)

    def hear(self, datagram: bytes) -> None:
        """A datagram from where the receiver is."""
        if len(datagram) > LARGEST:
            return
        try:
            told, again = self._speech.hear(datagram)
        except BadBer as problem:
            log.debug("snmp: {name} said something else: {problem}", name=self._name, problem=str(problem))
            return
        if told is not None:
            self._acknowledged(told)
        elif again:
            for inform in tuple(self._waiting.values()):
                self._send(self._speech.message(inform))

    def close(self) -> None:
        for inform in self._waiting.values():
            _stop(inform)
        self._waiting.clear()

    def _say(self, inform: Inform) -> None:
        """Now, and again later, until the answer or the end."""
        self._send(self._speech.message(inform))
        left = inform.end - self._clock.seconds()
        if left <= inform.pause:
            inform.timer = self._clock.callLater(max(0.0, left), self._give_up, inform, "no answer")
        else:
            inform.timer = self._clock.callLater(inform.pause, self._say, inform)
            inform.pause = min(inform.pause * 2, LONGEST)

    def _acknowledged(self, told: Told) -> None:
        inform = self._waiting.pop(told.id, None)
        if inform is None:
            return
        _stop(inform)
        INFORMS.labels("refused" if told.status else "acknowledged").inc()
        if told.status:
            log.warn("snmp: {name} refuses an inform: error {status}", name=self._name, status=told.status)

    def _give_up(self, inform: Inform, why: str) -> None:
        del self._waiting[inform.number]
        _stop(inform)
        INFORMS.labels("given-up").inc()
        log.warn("snmp: {name} has not acknowledged an inform: {why}", name=self._name, why=why)


def _stop(inform: Inform) -> None:
    if inform.timer is not None and inform.timer.active():
        inform.timer.cancel()


def _number() -> int:
    return int.from_bytes(os.urandom(4)) >> 1
