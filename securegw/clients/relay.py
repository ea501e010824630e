"""Hands mails to next hops over connections that are kept open, and brings back a reply for each recipient.

Not a queue: nothing is tried again later here, and a neighbour's trouble is never an exception but a reply of class
4. Obeys RFC 5321 5.1 (several hosts of one hop) and RFC 7435 (opportunistic TLS) where a hop says "may".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import txaio
from twisted.internet.defer import DeferredSemaphore
from twisted.internet.endpoints import HostnameEndpoint, connectProtocol
from twisted.internet.interfaces import IReactorTime

from securegw.clients.relay_connection import NoConnection, Patience, RelayConnection
from securegw.clients.smtp_dialogue import Done, Mail, SmtpClientDialogue, Tls
from securegw.clients.smtp_replies import Reply
from securegw.config import duration, number, path, setting
from securegw.tls import ClientTLS

__all__ = ["Hop", "Relay", "RelaySettings", "Reply", "Sent"]

log = txaio.make_logger()


@attrs.frozen
class RelaySettings:
    """How mail is handed to the next hop."""

    connections: int = setting(number(1, 1000), 10, help="Connections to one next hop at the same time.")
    idle: float = setting(duration, "30s", help="Time an unused connection is kept for the next mail.")
    connect: float = setting(duration, "30s", help="Time to wait for a connection.")
    greeting: float = setting(duration, "5m", help="Time to wait for the greeting.")
    command: float = setting(duration, "5m", help="Time to wait for the reply to a command.")
    end: float = setting(duration, "10m", help="Time to wait for the reply to a message.")
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
class Hop:
    """Where a mail goes next: ``hosts`` are tried in order until one greets us.

    ``tls``: "none", "may" (if it can, with anybody), "encrypt" (always, with anybody), "verify" (always, and the
    host must prove its name). Only "may" ever falls back to clear text.
    """

    hosts: tuple[tuple[str, int], ...]
    tls: Tls = "may"
    name: str = ""


@attrs.frozen
class Sent:
    """What became of each recipient."""

    recipients: Mapping[str, Reply]


class _Lane:
    """The connections to one hop: those in use are counted, those at rest are kept."""

    def __init__(self, hop: Hop, limit: int) -> None:
        self.hop = hop
        self.limit = limit
        self.turn = DeferredSemaphore(limit)
        self.resting: list[RelayConnection] = []

    @property
    def unused(self) -> bool:
        return not self.resting and self.turn.tokens == self.limit


class Relay:
    """The way out. ``clock`` is for tests that turn the hands themselves."""

    def __init__(
        self,
        reactor: Any,
        host_name: str,
        settings: RelaySettings,
        *,
        tls: ClientTLS | None = None,
        clock: IReactorTime | None = None,
    ) -> None:
        self._reactor = reactor
        self._clock = clock or reactor
        self._host_name = host_name
        self._limit = settings.connections
        self._patience = settings.patience()
        self._tls = tls or ClientTLS(settings.authorities)
        self._lanes: dict[Hop, _Lane] = {}

    async def send(
        self,
        hop: Hop,
        sender: str,
        recipients: Sequence[str],
        raw: bytes,
        *,
        eight_bit: bool = False,
        utf8: bool = False,
    ) -> Sent:
        """Hand over one mail; every recipient gets a reply, whatever happens."""
        mail = Mail(sender, tuple(recipients), raw, eight_bit, utf8)
        lane = self._lanes.setdefault(hop, _Lane(hop, self._limit))
        await lane.turn.acquire()
        try:
            replies = await self._deliver(lane, mail)
        except NoConnection as error:
            replies = dict.fromkeys(recipients, _later(error.reply))
        except Exception:
            log.failure("relay to {hop} failed", hop=hop.name)
            replies = dict.fromkeys(recipients, Reply(451, "4.3.0", "That could not be done now"))
        finally:
            lane.turn.release()
            self._forget(lane)
        return Sent(replies)

    def close(self) -> None:
        """Say QUIT on all connections at rest."""
        for lane in list(self._lanes.values()):
            for connection in list(lane.resting):
                connection.close()

    async def _deliver(self, lane: _Lane, mail: Mail) -> Mapping[str, Reply]:
        if lane.resting:
            done = await self._use(lane, lane.resting.pop(), mail)
            if not done.untouched:
                return done.replies
            # It was closed while at rest; nobody has seen the mail yet.
        return (await self._use(lane, await self._connect(lane), mail)).replies

    async def _use(self, lane: _Lane, connection: RelayConnection, mail: Mail) -> Done:
        done = await connection.deliver(mail)
        if done.reusable and connection.usable:
            lane.resting.append(connection)
        return done

    async def _connect(self, lane: _Lane) -> RelayConnection:
        """The first host that takes mail; another one is tried only as long as none has seen the mail."""
        hop = lane.hop
        trouble = NoConnection(Reply(451, "4.4.1", f"{hop.name} has no host"))
        for host, port in hop.hosts:
            try:
                return await self._agree(host, port, hop.tls, lane)
            except NoConnection as error:
                trouble = error
        raise trouble

    async def _agree(self, host: str, port: int, tls: Tls, lane: _Lane) -> RelayConnection:
        try:
            return await self._open(host, port, tls, lane)
        except NoConnection as error:
            if tls != "may" or not error.handshake:
                raise
        log.info("relay to {host}: TLS failed, going on in clear text as its hop allows", host=host)
        return await self._open(host, port, "none", lane)

    async def _open(self, host: str, port: int, tls: Tls, lane: _Lane) -> RelayConnection:
        remote = f"{host}:{port}"
        connection = RelayConnection(
            SmtpClientDialogue(self._host_name, tls=tls, remote=remote),
            host,
            tls=self._tls,
            verify=tls == "verify",
            clock=self._clock,
            patience=self._patience,
            gone=lambda connection: self._drop(lane, connection),
        )
        endpoint = HostnameEndpoint(self._reactor, host, port, timeout=self._patience.connect)
        try:
            await connectProtocol(endpoint, connection)
        except Exception as error:
            reply = Reply(451, "4.4.1", f"No connection to {remote}: {error or type(error).__name__}", remote)
            raise NoConnection(reply) from error
        return await connection.ready

    def _drop(self, lane: _Lane, connection: RelayConnection) -> None:
        if connection in lane.resting:
            lane.resting.remove(connection)
            self._forget(lane)

    def _forget(self, lane: _Lane) -> None:
        """A lane that nobody uses is not kept: there are as many hops as there are domains."""
        if lane.unused and self._lanes.get(lane.hop) is lane:
            del self._lanes[lane.hop]


def _later(reply: Reply) -> Reply:
    """No connection is never final: a greeting of class 5 may be a mistake of today (RFC 5321 4.2.1)."""
    if reply.temporary:
        return reply
    return attrs.evolve(reply, code=451, status="4.4.1", text=f"It said: {reply}")
