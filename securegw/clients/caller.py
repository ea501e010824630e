"""Calls a next hop: finds its addresses, tries one after the other, and agrees on TLS as the hop demands.

Not the pool. Obeys RFC 5321 5.1 (all addresses of all hosts in order, never ourselves) and RFC 7435 (opportunistic
TLS) where a hop says "may"; a hop that says more is never reached in clear text.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Collection, Hashable
from contextlib import aclosing
from typing import Any, Protocol

import attrs
import txaio
from OpenSSL import SSL
from twisted.internet.interfaces import IReactorTime

from securegw import counters
from securegw.clients.connecting import Unreachable, connect
from securegw.clients.destinations import ADDRESSES_LIMIT, in_order, is_ourselves
from securegw.clients.hop import Hop, Place, Tls, is_address
from securegw.clients.relay_connection import NoConnection, Patience, RelayConnection
from securegw.clients.smtp_dialogue import SmtpClientDialogue
from securegw.clients.smtp_replies import Reply
from securegw.clients.smtp_sign_in import Login
from securegw.mail.errors import MailError, NoSuchDomain
from securegw.tls import ClientHandshake, ClientTLS, Wanted

log = txaio.make_logger()

CALLS = counters.declare("securegw_relay_calls", "Connections to next hops that were tried.", ("result",))
OPENED, FAILED, OURSELVES = CALLS.labels("opened"), CALLS.labels("failed"), CALLS.labels("ourselves")
IN_CLEAR = counters.declare("securegw_relay_tls_failed", "Handshakes that failed where clear text was allowed.")
SESSIONS = 1000
SESSION_LIFE = 3600.0

LOOP = "The next hop is this gateway itself"


class Addresses(Protocol):
    async def addresses(self, host: str) -> tuple[str, ...]: ...


@attrs.frozen
class _Number:
    """Whom to call: the address, and the host by whose name it was found."""

    host: str
    address: str
    port: int

    @property
    def remote(self) -> str:
        name = self.host if self.host == self.address else f"{self.host}[{self.address}]"
        return f"{name}:{self.port}"


class Caller:
    """``doors`` are our own listeners; it is looked at with every call, so it may be filled later."""

    def __init__(
        self,
        reactor: Any,
        host_name: str,
        *,
        tls: ClientTLS,
        resolver: Addresses,
        doors: Collection[Place],
        clock: IReactorTime,
        patience: Patience,
        chunking: bool = True,
    ) -> None:
        self._reactor = reactor
        self._host_name = host_name
        self._tls = tls
        self._resolver = resolver
        self._doors = doors
        self._clock = clock
        self._patience = patience
        self._chunking = chunking
        self._sessions = _Sessions(clock)

    async def call(self, hop: Hop, gone: Callable[[RelayConnection], None]) -> RelayConnection:
        """The first that takes mail, else NoConnection: another one is tried only as long as none has seen the mail."""
        trouble: NoConnection | None = None
        async with aclosing(self._numbers(hop)) as numbers:
            async for number in numbers:
                if isinstance(number, NoConnection):
                    trouble = number if trouble is None or trouble.final else trouble
                elif is_ourselves((number.address, number.port), self._doors, any_port=hop.stranger):
                    OURSELVES.inc()  # RFC 5321 5.1: those that come after us would send it back to us
                    raise trouble or NoConnection(Reply(554, "5.4.6", LOOP, number.remote), final=True)
                else:
                    try:
                        return await self._agree(number, hop, gone)
                    except NoConnection as error:
                        FAILED.inc()
                        trouble = error
        raise trouble or NoConnection(Reply(451, "4.4.1", f"{hop.name} has no host"))

    async def _numbers(self, hop: Hop) -> AsyncGenerator[_Number | NoConnection, None]:
        """All numbers to call, and what was in the way of finding more."""
        tried = 0
        for host, port in hop.hosts:
            try:
                found = (host,) if is_address(host) else in_order(await self._resolver.addresses(host))
            except NoSuchDomain:
                found = ()
            except MailError as error:
                yield NoConnection(Reply(error.code, error.status, f"{host}: {error.sentence}", host))
                continue
            if not found:  # ours may be written into the name server in a moment, a stranger's is not our business
                reply = Reply(550, "5.4.4", f"{host} has no address", host)
                yield NoConnection(reply if hop.stranger else _waiting(reply), final=hop.stranger)
            for address in found:
                tried += 1
                if tried > ADDRESSES_LIMIT:
                    return
                yield _Number(host, address, port)

    async def _agree(self, number: _Number, hop: Hop, gone: Callable[[RelayConnection], None]) -> RelayConnection:
        try:
            return await self._open(number, hop, hop.tls, gone)
        except NoConnection as error:
            if hop.tls != "may" or hop.login or not error.handshake:
                raise
            IN_CLEAR.inc()
            log.info("{host}: TLS failed, clear text is allowed: {why}", host=number.remote, why=error.reply.text)
        return await self._open(number, hop, "none", gone)

    async def _open(
        self, number: _Number, hop: Hop, tls: Tls, gone: Callable[[RelayConnection], None]
    ) -> RelayConnection:
        login = Login(hop.login, hop.password) if hop.login else None
        key = (hop.lane, number.host, number.port)
        connection = RelayConnection(
            SmtpClientDialogue(self._host_name, tls=tls, remote=number.remote, login=login, chunking=self._chunking),
            number.host,
            handshake=lambda: self._handshake(number.host, hop.wanted(number.host), key),
            clock=self._clock,
            patience=self._patience,
            gone=gone,
        )
        await self._connect(number, connection)
        await connection.ready
        OPENED.inc()
        if connection.tls:
            self._sessions.keep(key, connection.tls.session())
        return connection

    async def _connect(self, number: _Number, connection: RelayConnection) -> None:
        place = (number.address, number.port)
        try:
            await connect(self._reactor, self._clock, place, connection, self._patience.connect)
        except Unreachable as error:
            reply = Reply(451, "4.4.1", f"No connection to {number.remote}: {error}", number.remote)
            raise NoConnection(reply) from error

    def _handshake(self, host: str, wanted: Wanted, key: Hashable) -> ClientHandshake:
        return self._tls.handshake(host, wanted, self._sessions.take(key))


def _waiting(reply: Reply) -> Reply:
    return attrs.evolve(reply, code=451, status=f"4{reply.status[1:]}")


class _Sessions:
    """TLS sessions for the next handshake; each is used once, as RFC 8446 C.4 asks."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._kept: OrderedDict[Hashable, tuple[SSL.Session, float]] = OrderedDict()

    def keep(self, key: Hashable, session: SSL.Session | None) -> None:
        if session is not None:
            self._kept.pop(key, None)
            self._kept[key] = session, self._clock.seconds() + SESSION_LIFE
            while len(self._kept) > SESSIONS:
                self._kept.popitem(last=False)

    def take(self, key: Hashable) -> SSL.Session | None:
        session, until = self._kept.pop(key, (None, 0.0))
        return session if self._clock.seconds() < until else None
