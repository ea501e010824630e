"""Hands mails to next hops over connections that are kept open, and brings back a reply for each recipient.

Not a queue: nothing is tried again later here, and a neighbour's trouble is never an exception but a reply of class
4. Each hop has a lane of its own, so that no neighbour's bad day is another's.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import txaio
from twisted.internet.interfaces import IReactorTime

from securegw import counters
from securegw.clients.caller import Addresses, Caller
from securegw.clients.hop import Hop, Place
from securegw.clients.lane import Lane, Memory
from securegw.clients.mx import Resolver
from securegw.clients.relay_connection import NoConnection, Patience, RelayConnection
from securegw.clients.smtp_envelope import Mail
from securegw.clients.smtp_events import Done
from securegw.clients.smtp_replies import Reply
from securegw.clients.smtp_text import Text
from securegw.config import boolean, duration, number, path, setting
from securegw.mail.envelope import Wishes
from securegw.tls import ClientTLS

__all__ = ["Hop", "Relay", "RelaySettings", "Reply", "Sent"]

log = txaio.make_logger()

MAILS = counters.declare("securegw_relay_mails", "Mails handed to next hops, by the way they took.", ("way",))
KEPT, FRESH, AT_ONCE = MAILS.labels("kept connection"), MAILS.labels("new connection"), MAILS.labels("left in peace")
REPLIES = counters.declare("securegw_relay_replies", "Replies for recipients, by class.", ("class",))
CLASSES = {code: REPLIES.labels(str(code)) for code in (2, 4, 5)}
OPEN = counters.declare_gauge("securegw_relay_connections", "Connections to next hops that are open.")


@attrs.frozen
class RelaySettings:
    """How mail is handed to the next hop."""

    connections: int = setting(number(1, 1000), 10, help="Connections to one next hop at the same time.")
    mails: int = setting(number(1, 100_000), 500, help="Mails sent over one connection before it is closed.")
    life: float = setting(duration, "10m", help="Time after which a connection is not used for another mail.")
    idle: float = setting(duration, "30s", help="Time an unused connection is kept for the next mail.")
    connect: float = setting(duration, "30s", help="Time to wait for a connection.")
    greeting: float = setting(duration, "5m", help="Time to wait for the greeting.")
    command: float = setting(duration, "5m", help="Time to wait for the reply to a command.")
    end: float = setting(duration, "10m", help="Time to wait for the reply to a message.")
    chunking: bool = setting(
        boolean, True, help="Send a small mail in one piece with BDAT, where the next hop offers CHUNKING (RFC 3030)."
    )
    authorities: Path | None = setting(
        path, None, help="PEM file with the roots for hops that must prove who they are; none: the system's."
    )

    def patience(self) -> Patience:
        return Patience(
            connect=self.connect,
            greeting=self.greeting,
            hello=self.command,
            envelope=self.command,
            end=self.end,
            idle=self.idle,
        )


@attrs.frozen
class Sent:
    """What became of each recipient; ``dsn`` if the next hop looks after the sender's wishes now (RFC 3461 5.2)."""

    recipients: Mapping[str, Reply]
    dsn: bool = False


class Relay:
    """The way out. ``doors`` are our own listeners, ``clock`` is for tests that turn the hands themselves."""

    def __init__(
        self,
        reactor: Any,
        host_name: str,
        settings: RelaySettings,
        *,
        tls: ClientTLS | None = None,
        resolver: Addresses | None = None,
        doors: Collection[Place] = (),
        clock: IReactorTime | None = None,
    ) -> None:
        self._clock = clock or reactor
        self._settings = settings
        self._memory = Memory(self._clock)
        self._lanes: dict[Hashable, Lane] = {}
        self._caller = Caller(
            reactor,
            host_name,
            tls=tls or ClientTLS(settings.authorities),
            resolver=resolver or Resolver(reactor, clock=clock),
            doors=doors,
            clock=self._clock,
            patience=settings.patience(),
            chunking=settings.chunking,
        )

    async def send(
        self,
        hop: Hop,
        sender: str,
        recipients: Sequence[str],
        raw: bytes | Text,
        *,
        eight_bit: bool = False,
        utf8: bool = False,
        wishes: Mapping[str, Wishes] | None = None,
        ret: str = "",
        envid: str = "",
        checked: bool = False,
    ) -> Sent:
        """Hand over one mail; every recipient gets a reply, whatever happens."""
        mail = Mail(sender, tuple(recipients), raw, eight_bit, utf8, wishes or {}, ret, envid, checked)
        try:
            done = await self._send(hop, mail)
        except NoConnection as error:
            done = _for_all(mail, error.reply if error.final else _later(error.reply))
        except Exception:
            log.failure("relay to {hop} failed", hop=hop.name)
            done = _for_all(mail, Reply(451, "4.3.0", "That could not be done now"))
        for reply in done.replies.values():
            CLASSES[reply.code // 100].inc()
        return Sent(done.replies, done.dsn)

    def close(self) -> None:
        """Say QUIT on all connections at rest."""
        for lane in list(self._lanes.values()):
            for connection in list(lane.resting):
                connection.close()

    async def _send(self, hop: Hop, mail: Mail) -> Done:
        key = hop.lane
        self._refuse_the_dead(key)
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = Lane(key, self._settings.connections)
        lane.hop = hop
        await lane.enter()
        try:
            return await self._deliver(lane, mail)
        finally:
            lane.leave()
            self._forget(lane)

    def _refuse_the_dead(self, key: Hashable) -> None:
        if reply := self._memory.reply(key):
            AT_ONCE.inc()
            raise NoConnection(reply)

    async def _deliver(self, lane: Lane, mail: Mail) -> Done:
        while True:
            if lane.resting:
                done = await self._use(lane, lane.resting.pop(), mail)
                if not done.untouched:
                    KEPT.inc()
                    return done
                # It was closed while at rest; nobody has seen the mail yet.
            elif connection := await self._connect(lane):
                FRESH.inc()
                return await self._use(lane, connection, mail)

    async def _connect(self, lane: Lane) -> RelayConnection | None:
        """A new connection; None when there will be no more than there are, and one of them is free now."""
        key = lane.key
        self._refuse_the_dead(key)
        self._memory.begin(key)
        lane.calling += 1
        try:
            connection = await self._caller.call(lane.hop, lambda gone: self._drop(lane, gone))
        except NoConnection as error:
            trouble = error
        else:
            self._memory.went_well(key)
            lane.open += 1
            OPEN.inc()
            return connection
        finally:
            lane.calling -= 1
            self._memory.end(key)
        if trouble.final:
            raise trouble
        if not lane.alive:
            self._memory.failed(key, _later(trouble.reply))
            lane.died()
            raise trouble
        await lane.enter_again()
        return None

    async def _use(self, lane: Lane, connection: RelayConnection, mail: Mail) -> Done:
        done = await connection.deliver(mail, in_one=not lane.asks_first)
        if done.silent:  # this mail has to wait, but the next one that meets a hop which just goes need not
            lane.asks_first = True
        if done.reusable and connection.usable:
            lane.went_well()
            self._rest(lane, connection)
        return done

    def _rest(self, lane: Lane, connection: RelayConnection) -> None:
        old = self._clock.seconds() - connection.began >= self._settings.life
        if old or connection.mails >= self._settings.mails:
            connection.close()
        else:
            lane.resting.append(connection)

    def _drop(self, lane: Lane, connection: RelayConnection) -> None:
        """A connection takes no more mail; those that never did are not counted."""
        if not connection.mails:
            return
        lane.open -= 1
        OPEN.dec()
        if connection in lane.resting:
            lane.resting.remove(connection)
            self._forget(lane)

    def _forget(self, lane: Lane) -> None:
        """A lane that nobody uses is not kept: there are as many hops as there are domains."""
        if lane.unused and self._lanes.get(lane.key) is lane:
            del self._lanes[lane.key]


def _for_all(mail: Mail, reply: Reply) -> Done:
    return Done(dict.fromkeys(mail.recipients, reply), reusable=False)


def _later(reply: Reply) -> Reply:
    """No connection is never final: a greeting of class 5 may be a mistake of today (RFC 5321 4.2.1)."""
    if reply.temporary:
        return reply
    return attrs.evolve(reply, code=451, status="4.4.1", text=f"It said: {reply}")
