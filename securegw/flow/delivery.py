"""Delivers finished mails: tries, waits, tries again, and tells the sender when it gives up.

The relay never raises for a neighbour's trouble: each recipient gets a reply. What a reply means for the row is
decided here, in one transaction with the notice (RFC 5321 4.5.4.1, RFC 3464).
"""

from __future__ import annotations

import functools
import operator
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

import attrs
import txaio
from twisted.internet.defer import Deferred, gatherResults

from securegw import config, counters
from securegw.clients.relay import Reply
from securegw.config import setting
from securegw.flow import history
from securegw.flow.hours import Hours
from securegw.flow.notices import is_wanted, wishes_of
from securegw.flow.treatment import NOTHING, Treatment
from securegw.flow.ways import Ways
from securegw.mail import message as messages
from securegw.mail.address import parse_path
from securegw.mail.envelope import Wishes
from securegw.mail.errors import BadAddress, BareLine, MailError
from securegw.mail.notice import Failure
from securegw.store import events, queue
from securegw.store.items import Recipient

if TYPE_CHECKING:
    from securegw.clients.relay import Relay
    from securegw.flow.claims import Claims
    from securegw.flow.notices import Notices
    from securegw.flow.places import Places
    from securegw.flow.stored import Stored
    from securegw.flow.treatment import Step
    from securegw.store.database import Database
    from securegw.store.domains import Route
    from securegw.store.items import Outcome
    from securegw.store.queue import Item
    from securegw.workers.work import Work

log = txaio.make_logger()

COUNTERS = {
    "done": counters.declare("securegw_delivered", "Recipients whose mail the next hop has taken."),
    "waiting": counters.declare("securegw_deferred", "Tries after which a recipient's mail waits for another."),
    "failed": counters.declare("securegw_failed", "Recipients whose mail came back."),
}

HOST = re.compile(r"\[?([A-Za-z0-9.-]+)(?:[\[\]:]|\Z)")
INLINE = 64 << 10  # a larger text is looked through in a thread
WARNED = "warned"
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
    warn_after: float = setting(
        config.duration, default="4h", help="When the sender is told, once, that a mail still waits; 0s: never."
    )


@attrs.frozen
class Tried:
    """What came of one try: the replies, and the recipients for whom the next hop sends the notices now."""

    replies: Mapping[str, Reply] = attrs.field(factory=dict)
    cared_for: frozenset[str] = frozenset()

    def is_taken(self, recipients: Iterable[Recipient]) -> bool:
        """Whether the next hop has it for all of them."""
        replies = [self.replies.get(recipient.address) for recipient in recipients]
        return all(reply is not None and reply.code // 100 == 2 for reply in replies)

    def __or__(self, other: Tried) -> Tried:
        return Tried({**self.replies, **other.replies}, self.cared_for | other.cared_for)


@attrs.define(eq=False, kw_only=True)
class Delivery:
    """One try of one mail: all its recipients, by their ways."""

    settings: DeliverySettings
    places: Places
    relay: Relay
    notices: Notices
    claims: Claims
    database: Database
    workers: Work
    now: Callable[[], float]
    ways: Ways
    hours: Hours

    async def deliver(self, item: Item, raw: bytes | Stored) -> None:
        """Try what still waits, and commit what came of it."""
        await self.conclude(item, raw, await self.attempt(item, raw))

    async def attempt(self, item: Item, raw: bytes | Stored, *, checked: bool = False) -> Tried:
        """One try for all recipients that still wait; nothing is written down of it. ``checked`` if somebody knows
        already that the text may go on the wire."""
        waiting = [recipient for recipient in item.recipients if recipient.state == "waiting"]
        return await self._try(item, waiting, raw, checked or await self._is_good(raw))

    async def conclude(
        self, item: Item, raw: bytes | Stored, tried: Tried, treated: queue.Treated | None = None
    ) -> None:
        """Commit what came of a try, together with the treatment if that is not written down yet."""
        settled = tuple(self._settle(recipient, tried, item) for recipient in item.recipients)
        await self._commit(item, settled, await self._tell(item, raw, settled, tried), treated)

    # --- one try --------------------------------------------------------------------------------------------------

    async def _try(self, item: Item, waiting: list[Recipient], raw: bytes | Stored, checked: bool) -> Tried:
        """All ways at once: a dead one does not hold up the others."""
        groups: dict[tuple[Route, str], list[Recipient]] = defaultdict(list)
        refused: dict[str, Reply] = {}
        for recipient in waiting:
            try:
                address = parse_path(recipient.address, utf8=True)
            except BadAddress as error:  # no rule and no row puts anything but an address on the wire (5.2.19)
                refused[recipient.address] = _reply(error)
                continue
            route = self.places.route(address)
            groups[(route, "" if route.hop else address.domain)].append(recipient)
        sends = [
            self._send(item, route, domain, recipients, raw, checked=checked)
            for (route, domain), recipients in groups.items()
        ]
        if len(sends) == 1:
            tried = await sends[0]
            return Tried(refused) | tried if refused else tried
        tries = [Deferred.fromCoroutine(send) for send in sends]
        return functools.reduce(operator.or_, await gatherResults(tries), Tried(refused))

    async def _is_good(self, raw: bytes | Stored) -> bool:
        """Whether a large text may go on the wire, found out beside the reactor; what is wrong says who sends it."""
        if not isinstance(raw, bytes):
            return raw.good
        if len(raw) <= INLINE:
            return False
        try:
            await self.workers.thread(messages.check_wire, raw)
        except BareLine:
            return False
        return True

    async def _send(
        self, item: Item, route: Route, domain: str, recipients: list[Recipient], raw: bytes | Stored, *, checked: bool
    ) -> Tried:
        addresses = [recipient.address for recipient in recipients]
        try:
            hop = await self.ways.hop(route, domain)
        except MailError as error:
            log.info("no way to {domain}: {detail}", domain=domain or route.pattern, detail=error.detail)
            return Tried(dict.fromkeys(addresses, _reply(error)))
        sent = await self.relay.send(
            hop,
            item.sender,
            addresses,
            raw,
            eight_bit=bool(item.source.get("eight_bit")),
            utf8=bool(item.source.get("utf8")),
            wishes=_wishes(item, recipients),
            ret=_ret(item),
            envid=str(item.source.get("envid", "")),
            checked=checked,
        )
        return Tried(sent.recipients, frozenset(addresses) if sent.dsn else frozenset())

    def _settle(self, recipient: Recipient, tried: Tried, item: Item) -> Recipient:
        reply = tried.replies.get(recipient.address)
        if reply is None:
            return recipient
        state = self._state(reply, item)
        COUNTERS[state].inc()
        words = f"{reply.code} {reply.status} {reply.text}"[:500]
        return Recipient(recipient.address, state, words, recipient.decision, recipient.notify, recipient.original)

    def _state(self, reply: Reply, item: Item) -> Outcome:
        if reply.code // 100 == 2:
            return "done"
        return "failed" if reply.code // 100 == 5 or self._is_old(item) else "waiting"

    def _is_old(self, item: Item) -> bool:
        """Old by a clock that nobody has moved (D8)."""
        return self.now() - item.received > self.settings.life and self.hours.agree()

    # --- what the sender is told ----------------------------------------------------------------------------------

    async def _tell(self, item: Item, raw: bytes | Stored, settled: tuple[Recipient, ...], tried: Tried) -> Treatment:
        """The notices about this try, each kind by itself; the mail is not even read where there is no news."""
        news = [new for new, old in zip(settled, item.recipients, strict=True) if new.state != old.state]
        failed = [_failure(each, tried) for each in news if each.state == "failed"]
        relayed = [_failure(each, tried) for each in news if _is_to_be_confirmed(item, each, tried)]
        late = [_failure(each, tried) for each in await self._late(item, settled)]
        if not (failed or relayed or late):
            return NOTHING
        message = messages.read(raw if isinstance(raw, bytes) else raw.head)
        now, until = self.now(), item.received + self.settings.life
        warning = self.notices.about(item, message, late, now, "delayed", until)
        told = self.notices.about(item, message, failed, now)
        told += self.notices.about(item, message, relayed, now, "relayed")
        return Treatment(finished=told + warning, also=(_noted(item, now),) if warning else ())

    async def _late(self, item: Item, settled: tuple[Recipient, ...]) -> list[Recipient]:
        """Those that still wait, if it is time to say so and nobody has said it of this mail; the history knows."""
        waiting = [recipient for recipient in settled if recipient.state == "waiting"]
        after = self.settings.warn_after
        if not waiting or not 0 < after <= self.now() - item.received or not self.hours.agree():
            return []
        told = self.database.read(events.find, trace=item.trace, item=item.id, kind=WARNED, limit=1)
        return [] if await self.workers.settle(told) else waiting

    # --- the end of a try -----------------------------------------------------------------------------------------

    async def _commit(
        self, item: Item, settled: tuple[Recipient, ...], told: Treatment, treated: queue.Treated | None
    ) -> None:
        changed = [new for new, old in zip(settled, item.recipients, strict=True) if new != old]
        waits = any(recipient.state == "waiting" for recipient in settled)
        progress = queue.Progress(
            id=item.id,
            session=item.session or 0,
            before=item.recipients,
            news=settled,
            next_try=self.now() + self._wait(item.tries) if waits else None,
            note=next((r.reply for r in settled if r.state == "waiting"), ""),
            entries=tuple(finished.entry for finished in told.finished),
            also=(history.delivered(item, changed, self.now()), *told.also),
            treated=treated,
            now=self.now(),
        )
        noted = await self.claims.conclude(progress)
        for recipient in changed:
            log.info(
                "{state} {trace} to {to}: {reply}",
                state=recipient.state,
                trace=item.trace,
                to=recipient.address,
                reply=recipient.reply,
            )
        for finished in told.finished:
            if noted and finished.entry.session is not None:
                self.claims.take(finished.entry.item(), finished.raw)

    def _wait(self, tries: int) -> float:
        return PLAN[min(tries, len(PLAN) - 1)] / MINUTE * self.settings.first_retry


def _reply(error: MailError) -> Reply:
    return Reply(error.code, error.status, error.sentence, remote="")


def _wishes(item: Item, recipients: list[Recipient]) -> dict[str, Wishes]:
    """Those that the next hop is told (RFC 3461 5.2.2)."""
    wished = ((recipient.address, wishes_of(item, recipient)) for recipient in recipients)
    return {address: wishes for address, wishes in wished if wishes != Wishes()}


def _ret(item: Item) -> str:
    """What may come back of a mail. Of one that we opened never its text, whoever writes the notice (5.5.32)."""
    return "HDRS" if item.direction == "incoming" else str(item.source.get("ret", ""))


def _is_to_be_confirmed(item: Item, recipient: Recipient, tried: Tried) -> bool:
    """Taken by a next hop that will not tell the sender, who wants to know (RFC 3461 5.2.2)."""
    if recipient.state != "done" or recipient.address in tried.cared_for:
        return False
    return is_wanted(wishes_of(item, recipient), "relayed")


def _noted(item: Item, now: float) -> Step:
    """That the sender was told of the delay."""
    event = events.Event(
        time=now,
        kind=WARNED,
        actor="gateway",
        trace=item.trace,
        item=item.id,
        message_id=item.message_id,
        address=item.sender,
    )
    return events.record_many, [event]


def _failure(recipient: Recipient, tried: Tried) -> Failure:
    """A recipient as the notice has it; who waited too long has failed by that, whatever the last reply was."""
    reply = tried.replies.get(recipient.address)
    status = reply.status if reply else "4.0.0"
    expired = recipient.state == "failed" and status.startswith("4")
    host = HOST.match(reply.remote) if reply and reply.remote.count(":") < 2 else None
    return Failure(
        recipient=recipient.address,
        status="5.4.7" if expired else status,
        diagnostic=recipient.reply,
        remote=host[1] if host else "",
    )
