"""Which addresses of our domains exist, so that mail for others is refused at the door (RFC 5321 3.3).

Not who may send to them. A domain says how it is known: any address, those of a list in the database, or those that
its own mail server takes when it is asked. Whatever cannot be known now exists: never a refusal for good because
something is down for a while (REL4).
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Protocol

import attrs
import txaio
from twisted.internet.defer import CancelledError, Deferred, DeferredSemaphore, TimeoutError
from twisted.internet.interfaces import IReactorTime

from securegw import counters
from securegw.fresh import Fresh
from securegw.mail.address import Address
from securegw.mail.errors import MailError, UnknownRecipient
from securegw.store import recipients
from securegw.store.domains import Route

if TYPE_CHECKING:
    from securegw.clients.relay import Hop, Reply
    from securegw.flow.places import Places
    from securegw.flow.ways import Ways
    from securegw.store.database import Database
    from securegw.store.domains import Domain
    from securegw.workers.work import Work

log = txaio.make_logger()

LISTED = 1.0  # seconds for which an answer of the list holds, so that a burst asks once
EXISTS, UNKNOWN, DOWN = 3600.0, 300.0, 60.0
WAITING = 200  # callers ahead at once; who comes then is let in unasked

# What a server says of a mailbox that is not there. All else may be about us, or about today (RFC 3463 3.2).
NO_SUCH = frozenset({"5.1.0", "5.1.1", "5.1.3", "5.1.6", "5.1.10"})
NO_SUCH_CODES = frozenset({550, 551, 553})

REFUSED = counters.declare("securegw_unknown_recipients", "Recipients refused because they do not exist.")


class Caller(Protocol):
    """Asks a mail server about an address (clients/call_ahead)."""

    async def ask(self, hop: Hop, recipient: str) -> Reply | None:
        """What it says to RCPT; None if it could not be asked."""
        ...


def means_no_such(reply: Reply) -> bool:
    """Whether a reply to RCPT says that there is no such mailbox, and nothing else."""
    if reply.status == "5.0.0":  # it gave none
        return reply.code in NO_SUCH_CODES
    return reply.code // 100 == 5 and reply.status in NO_SUCH


@attrs.define(eq=False, kw_only=True)
class Recipients:
    """Knows who is inside, by the source that each domain names.

    A server is asked by so many ``connections`` at once, and after so many ``seconds`` it has not answered.
    """

    seconds: float
    connections: int
    places: Places
    ways: Ways
    caller: Caller
    database: Database
    workers: Work
    clock: IReactorTime
    listed: Fresh[bool] = attrs.field(init=False)
    exists: Fresh[bool] = attrs.field(init=False)
    unknown: Fresh[bool] = attrs.field(init=False)
    down: Fresh[bool] = attrs.field(init=False)
    turns: dict[str, DeferredSemaphore] = attrs.field(init=False, factory=dict)
    asking: int = attrs.field(init=False, default=0)

    def __attrs_post_init__(self) -> None:
        now = self.clock.seconds
        self.listed, self.exists = Fresh(now, LISTED), Fresh(now, EXISTS)
        self.unknown, self.down = Fresh(now, UNKNOWN), Fresh(now, DOWN)

    async def check(self, address: Address) -> None:
        """Raise UnknownRecipient if an address of ours does not exist. A postmaster always does (RFC 5321 4.5.1)."""
        domain = self.places.picture.domains.get(address.domain)
        if domain is None or address.local.lower() == "postmaster":
            return
        source = SOURCES.get(domain.recipients)
        if source is not None and not await source(self, domain, address):
            REFUSED.inc()
            raise UnknownRecipient

    async def _in_list(self, domain: Domain, address: Address) -> bool:
        """In the list, or the mailbox of which it is a part (``ann+bills@``)."""
        if not self.listed.knows(address.key):
            for key in dict.fromkeys((address.key, _mailbox(address).key)):
                found = await self.workers.settle(self.database.read(recipients.known, key, domain.tenant))
                if self.listed.keep(address.key, found):
                    break
        return self.listed[address.key]

    async def _by_calling(self, domain: Domain, address: Address) -> bool:
        """Ask its server, unless that has said so lately, is down, or too many ask already."""
        if self.exists.knows(address.key):
            return True
        if self.unknown.knows(address.key):
            return False
        if self.down.knows(domain.name) or self.asking >= WAITING:
            return True
        self.asking += 1
        try:
            reply = await self._in_time(self._in_turn(domain, address))
        finally:
            self.asking -= 1
        return self._learn(domain, address, reply)

    def _learn(self, domain: Domain, address: Address, reply: Reply | None) -> bool:
        if reply is None:
            log.warn("{domain}: its mail server does not say who exists; all are taken", domain=domain.name)
            return self.down.keep(domain.name, True)
        if means_no_such(reply):
            return not self.unknown.keep(address.key, True)
        return self.exists.keep(address.key, True) if reply.positive else True

    async def _in_turn(self, domain: Domain, address: Address) -> Reply | None:
        turn = self.turns.setdefault(domain.name, DeferredSemaphore(self.connections))
        await turn.acquire()
        try:
            if self.down.knows(domain.name):  # somebody before us has found out
                return None
            route = Route(pattern=domain.name, hop=domain.route, tls=domain.tls, fingerprints=domain.fingerprints)
            return await self.caller.ask(await self.ways.hop(route, domain.name), str(address))
        except MailError:  # its route leads nowhere now
            return None
        finally:
            self.clock.callLater(0, turn.release)  # not at once: a long row of waiters is not a deep stack

    async def _in_time(self, question: Coroutine[Any, Any, Reply | None]) -> Reply | None:
        asked = Deferred.fromCoroutine(question)
        asked.addTimeout(self.seconds, self.clock)
        try:
            return await asked
        except (TimeoutError, CancelledError):
            return None


def _mailbox(address: Address) -> Address:
    return attrs.evolve(address, local=address.local.partition("+")[0] or address.local)


# What a domain may say of its recipients; "any" needs no row. Another source is a row here.
SOURCES: dict[str, Callable[[Recipients, Domain, Address], Coroutine[Any, Any, bool]]] = {
    "list": Recipients._in_list,
    "call": Recipients._by_calling,
}
