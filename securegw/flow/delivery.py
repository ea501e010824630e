"""Delivers finished mails: tries, waits, tries again, and tells the sender when it gives up.

The relay never raises for a neighbour's trouble: each recipient gets a reply. What a reply means for the row is
decided here, in one transaction with the notice (RFC 5321 4.5.4.1, RFC 3464).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

import attrs
import txaio
from twisted.internet.defer import Deferred, gatherResults

from securegw import config, counters
from securegw.clients.relay import Hop, Reply
from securegw.clients.smtp_dialogue import Tls
from securegw.config import setting
from securegw.flow import history
from securegw.mail import message as messages
from securegw.mail.address import parse_path
from securegw.mail.errors import MailError, NoSuchDomain
from securegw.mail.notice import Failure
from securegw.store import queue

if TYPE_CHECKING:
    from securegw.clients.mx import Resolver
    from securegw.clients.relay import Relay
    from securegw.flow.claims import Claims
    from securegw.flow.notices import Notices
    from securegw.flow.places import Places
    from securegw.flow.treatment import Finished
    from securegw.store.database import Database
    from securegw.store.domains import Route
    from securegw.store.items import Outcome
    from securegw.store.queue import Item, Recipient
    from securegw.workers import Work

log = txaio.make_logger()

COUNTERS = {
    "done": counters.declare("securegw_delivered", "Recipients whose mail the next hop has taken."),
    "waiting": counters.declare("securegw_deferred", "Tries after which a recipient's mail waits for another."),
    "failed": counters.declare("securegw_failed", "Recipients whose mail came back."),
}

HOP = re.compile(r"(?:\[([^\]\s]+)\]|([^\[\]:\s]+))(?::(\d{1,5}))?")
MINUTE = 60.0
PLAN = (1 * MINUTE, 5 * MINUTE, 15 * MINUTE, 30 * MINUTE, 60 * MINUTE, 120 * MINUTE, 240 * MINUTE)


@attrs.frozen
class DeliverySettings:
    """How long a mail is tried."""

    life: float = setting(config.duration, default="5d", help="How long a mail is tried before it goes back.")
    first_retry: float = setting(
        config.duration,
        default="1m",
        help="Wait before the second try; later waits are 5, 15, 30, 60, 120, 240 times it.",
    )


def split_hop(hop: str) -> tuple[str, int, bool]:
    """Host, port, and whether the host is taken as it stands: ``[host]:port`` is, ``host:port`` is asked for its MX."""
    found = HOP.fullmatch(hop)
    if found is None:
        raise NoSuchDomain("The route of this domain is not valid.", detail=hop)
    literal, name, port = found.groups()
    return literal or name, int(port or 25), literal is not None


@attrs.define(eq=False, kw_only=True)
class Delivery:
    """One try of one mail: all its recipients, by their ways."""

    settings: DeliverySettings
    places: Places
    resolver: Resolver
    relay: Relay
    notices: Notices
    claims: Claims
    database: Database
    workers: Work
    now: Callable[[], float]

    async def deliver(self, item: Item, raw: bytes) -> None:
        """Try what still waits, and commit what came of it."""
        waiting = [recipient for recipient in item.recipients if recipient.state == "waiting"]
        replies = await self._try(item, waiting, raw)
        settled = tuple(self._settle(recipient, replies, item) for recipient in item.recipients)
        await self._commit(item, raw, settled)

    async def _try(self, item: Item, waiting: list[Recipient], raw: bytes) -> dict[str, Reply]:
        ways: dict[tuple[Route, str], list[str]] = defaultdict(list)
        for recipient in waiting:
            address = parse_path(recipient.address, utf8=True)
            route = self.places.route(address)
            ways[(route, "" if route.hop else address.domain)].append(recipient.address)
        tries = [
            Deferred.fromCoroutine(self._send(item, route, domain, addresses, raw))
            for (route, domain), addresses in ways.items()
        ]
        replies: dict[str, Reply] = {}
        for answered in await gatherResults(tries):
            replies.update(answered)
        return replies

    async def _send(self, item: Item, route: Route, domain: str, addresses: list[str], raw: bytes) -> dict[str, Reply]:
        try:
            hop = await self._hop(route, domain)
        except MailError as error:
            reply = Reply(error.code, error.status, error.sentence, remote="")
            return dict.fromkeys(addresses, reply)
        sent = await self.relay.send(
            hop,
            item.sender,
            addresses,
            raw,
            eight_bit=bool(item.source.get("eight_bit")),
            utf8=bool(item.source.get("utf8")),
        )
        return dict(sent.recipients)

    async def _hop(self, route: Route, domain: str) -> Hop:
        """Where a route leads: ``[host]:port`` as it stands, ``host`` and bare domains by MX."""
        if not route.hop:
            hosts = await self.resolver.mx(domain)
            return Hop(tuple((host, 25) for host in hosts), tls=cast(Tls, route.tls), name=domain)
        host, port, as_it_stands = split_hop(route.hop)
        if as_it_stands:
            return Hop(((host, port),), tls=cast(Tls, route.tls), name=route.hop)
        hosts = await self.resolver.mx(host)
        return Hop(tuple((each, port) for each in hosts), tls=cast(Tls, route.tls), name=route.hop)

    def _settle(self, recipient: Recipient, replies: dict[str, Reply], item: Item) -> Recipient:
        reply = replies.get(recipient.address)
        if reply is None:
            return recipient
        state = self._state(reply, item)
        COUNTERS[state].inc()
        return attrs.evolve(recipient, state=state, reply=f"{reply.code} {reply.status} {reply.text}"[:500])

    def _state(self, reply: Reply, item: Item) -> Outcome:
        if reply.code // 100 == 2:
            return "done"
        return "failed" if reply.code // 100 == 5 or self._is_old(item) else "waiting"

    def _is_old(self, item: Item) -> bool:
        return self.now() - item.received > self.settings.life

    async def _commit(self, item: Item, raw: bytes, settled: tuple[Recipient, ...]) -> None:
        changed = [new for new, old in zip(settled, item.recipients, strict=True) if new != old]
        waits = any(recipient.state == "waiting" for recipient in settled)
        told = self._notices(item, raw, [r for r in changed if r.state == "failed"])
        progress = queue.Progress(
            id=item.id,
            session=item.session or 0,
            recipients=settled,
            next_try=self.now() + self._wait(item.tries) if waits else None,
            note=next((r.reply for r in settled if r.state == "waiting"), ""),
            entries=tuple(finished.entry for finished in told),
            also=(history.delivered(item, changed, self.now()),),
            now=self.now(),
        )
        await self.workers.settle(self.database.write_many(queue.delivered_many, progress))
        for recipient in changed:
            log.info(
                "{state} {trace} to {to}: {reply}",
                state=recipient.state,
                trace=item.trace,
                to=recipient.address,
                reply=recipient.reply,
            )
        for finished in told:
            if finished.entry.session is not None:
                self.claims.take(finished.entry.item(), finished.raw)

    def _notices(self, item: Item, raw: bytes, failures: list[Recipient]) -> tuple[Finished, ...]:
        reports = [
            Failure(
                recipient=recipient.address,
                status=recipient.reply.split(" ")[1],
                diagnostic=recipient.reply,
                sentence="",
            )
            for recipient in failures
        ]
        return self.notices.about(item, messages.read(raw), reports, self.now())

    def _wait(self, tries: int) -> float:
        return PLAN[min(tries, len(PLAN) - 1)] / MINUTE * self.settings.first_retry
