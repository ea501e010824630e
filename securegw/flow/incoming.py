"""Incoming mail: opened with the recipient's key, verified, marked; forged marks are removed; certificates learned.

Inner headers never win over outer ones (SEC3). What cannot be opened is delivered as it came, and says so. A mail
without marks and without S/MIME passes byte-identical (REL6).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING

import attrs
import txaio

from securegw.crypto import methods
from securegw.crypto.smime import Opened
from securegw.crypto.verdict import Verdict
from securegw.flow import reprocess
from securegw.flow.deciding import Case, copies, direction_of
from securegw.flow.dressing import Dress, dressed
from securegw.flow.filing import sealed
from securegw.flow.history import decided, in_short, judged
from securegw.flow.marking import mark_of, portal_mark, without_forgeries
from securegw.flow.quarantine import is_released
from securegw.flow.treatment import NOTHING, Accepted, Finished, Step, Treatment, successor
from securegw.fresh import Fresh
from securegw.ids import new_id
from securegw.keys import harvest
from securegw.mail import message as messages
from securegw.mail.address import Address, author
from securegw.mail.notice import Failure
from securegw.store import opened as openings
from securegw.store import queue

if TYPE_CHECKING:
    from securegw.crypto.methods import Method
    from securegw.crypto.seal import MasterKey
    from securegw.flow.claims import Claims
    from securegw.flow.contents import Examiner
    from securegw.flow.notices import Notices
    from securegw.flow.passages import Passages
    from securegw.flow.places import Places
    from securegw.flow.proofs import Proofs
    from securegw.flow.undecryptable import Undecryptable
    from securegw.keys.keyring import Keyring
    from securegw.mail.message import Message
    from securegw.policy.decision import Decision
    from securegw.store.keystore import Held
    from securegw.store.queue import Item
    from securegw.workers.work import Work

log = txaio.make_logger()

INLINE = 64 * 1024  # up to here it takes less to write marks and to seal than to hand the mail to a thread
LARGE = 1 << 20
LEARNED = 60.0  # seconds for which a certificate that was learned is not learned again


@attrs.frozen
class Sight:
    """A mail as one recipient gets it: its bytes, and the verdict if there was anything to open or verify.

    ``written_by`` is its author by its outer header, which is never another one's after it was opened (SEC3).
    """

    raw: bytes
    opened: Opened | None = None
    written_by: Address | None = None

    @cached_property
    def message(self) -> Message:
        return messages.read(self.raw)

    @property
    def verdict(self) -> Verdict:
        return self.opened.verdict if self.opened is not None else Verdict()


@attrs.define(eq=False, kw_only=True)
class Incoming:
    """Opens, verifies and marks."""

    host: str
    places: Places
    keyring: Keyring
    notices: Notices
    claims: Claims
    examiner: Examiner
    proofs: Proofs
    passages: Passages
    undecryptable: Undecryptable
    workers: Work
    master: MasterKey
    now: Callable[[], float]
    learned: Fresh[tuple[str, int]] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.learned = Fresh(self.now, LEARNED)

    async def treat(self, accepted: Accepted, recipients: list[Address]) -> Treatment:
        """Everything that comes of a mail for our own users."""
        inside = accepted.is_from_inside and accepted.sender is not None and self.places.manages(accepted.sender)
        return await (self._pass_on(accepted, recipients) if inside else self._take_in(accepted, recipients))

    async def _pass_on(self, accepted: Accepted, recipients: list[Address]) -> Treatment:
        """From one of ours to another: untouched, but for what is to be opened again."""
        if any(map(reprocess.is_asked, recipients)):
            others = [address for address in recipients if not reprocess.is_asked(address)]
            again = await self._reprocess(accepted, next(filter(reprocess.is_asked, recipients)))
            return again + (await self._pass_on(accepted, others) if others else NOTHING)
        case = await self._case(accepted, accepted.message, inside=True)
        decisions = [(recipient, case.decide(recipient, "internal")) for recipient in recipients]
        told = decided(accepted.item, decisions, self.now())
        treatment = Treatment(also=(told,), copies=copies(decision for _, decision in decisions))
        for recipient, decision in decisions:
            if decision.outcome != "send":
                treatment += await self._not_sent(accepted, recipient, decision)
            else:
                treatment += Treatment(stays=(queue.Recipient(str(recipient), decision=in_short(decision)),))
        return _shared(treatment)

    async def _reprocess(self, accepted: Accepted, asked: Address) -> Treatment:
        """Open again what a user brings, and give it to him alone; of what stays closed he is told (R10)."""
        user = accepted.sender
        assert user is not None, "a user of ours has an address"
        treatment, sentence = NOTHING, reprocess.NOTHING_THERE
        for raw in await self.workers.process(reprocess.attached, accepted.raw):
            if not reprocess.openable(raw):
                continue
            again = attrs.evolve(accepted, raw=raw, message=messages.read(raw))
            clean = self._without_forgeries(again)
            sight = await self.look(again, clean, user)
            if sight.verdict.encrypted == "failed":
                treatment += self._told(accepted, asked, reprocess.NOT_OPENED)
            else:
                treatment += await self._given_back(accepted, asked, again, clean, sight)
            sentence = ""
        return treatment + self._told(accepted, asked, sentence) if sentence else treatment

    async def _given_back(
        self, accepted: Accepted, asked: Address, again: Accepted, clean: Message, sight: Sight
    ) -> Treatment:
        """The rules for what comes in are asked again, now that it is open; kept or refused is the mail that asks."""
        user = accepted.sender
        assert user is not None, "a user of ours has an address"
        case = await self._opened_case(await self._case(again, clean, inside=False), clean, sight)
        decision = case.decide(user, "incoming", verdict=sight.verdict)
        if decision.outcome != "send":
            said = decided(again.item, [(user, decision)], self.now())
            return await self._not_sent(accepted, asked, decision) + Treatment(also=(said,))
        dress = self._dress(again, sight, decision)
        raw = sight.raw if dress is None else await self._worked(sight.raw, dressed, sight.message, dress, self.proofs)
        row = queue.Recipient(str(user), decision=in_short(decision))
        finished = self._finished(again, row, raw)
        entry = attrs.evolve(finished.entry, sender="")  # if it cannot be delivered, nobody outside hears of it
        steps = await self._steps(again, sight, user)
        told = (*steps, decided(again.item, [(user, decision)], self.now()))
        return Treatment(finished=(Finished(entry, raw),), also=told)

    def _told(self, accepted: Accepted, asked: Address, sentence: str) -> Treatment:
        failure = Failure(recipient=str(asked), status="5.6.0", diagnostic=sentence, sentence=sentence)
        return Treatment(finished=self.notices.about(accepted.item, accepted.message, (failure,), self.now()))

    async def _take_in(self, accepted: Accepted, recipients: list[Address]) -> Treatment:
        clean = self._without_forgeries(accepted)
        case = await self._case(accepted, clean, inside=False)
        direction = direction_of(ours=True, inside=False)
        treatment, decisions = NOTHING, []
        for recipient in recipients:
            sight = await self.look(accepted, clean, recipient)
            opened = await self._opened_case(case, clean, sight)
            decision = opened.decide(recipient, direction, verdict=_as_it_came(accepted, sight))
            decisions.append((recipient, decision))
            treatment += await self._treat_one(accepted, sight, recipient, decision)
        told = decided(accepted.item, decisions, self.now())
        return _shared(treatment + Treatment(also=(told,), copies=copies(decision for _, decision in decisions)))

    async def _case(self, accepted: Accepted, message: Message, *, inside: bool) -> Case:
        rules = self.places.rules
        contents = await self.examiner.look(message.raw, message, rules, "internal" if inside else "incoming")
        released = is_released(accepted.item)
        return Case(accepted.message, accepted.item.sender.lower(), inside, rules, contents=contents, released=released)

    async def _opened_case(self, case: Case, clean: Message, sight: Sight) -> Case:
        """What was inside of a seal or an opaque signature counts for the rules, its header never does (SEC3)."""
        if sight.raw is clean.raw or sight.opened is None:
            return case
        contents = await self.examiner.look(sight.raw, sight.message, case.rules, "incoming")
        return attrs.evolve(case, contents=contents)

    def _without_forgeries(self, accepted: Accepted) -> Message:
        keywords = tuple(self.places.rules.keywords.texts.values())
        return without_forgeries(accepted.message, self.host, keywords)

    async def look(self, accepted: Accepted, clean: Message, recipient: Address) -> Sight:
        """Open and verify for one recipient, unless its sender has tried too often with what cannot be opened."""
        method = methods.recognise(clean)
        if method is None:
            return Sight(clean.raw)
        if _is_sealed(method, clean) and await self.undecryptable.too_many(accepted):
            left = Verdict(encrypted="failed", reasons=("too-many-not-opened",))
            return Sight(clean.raw, Opened(clean.raw, verdict=left), author(clean))
        written_by = author(clean)
        opened = await self._open(method, clean, recipient, written_by)
        return Sight(opened.raw, opened, written_by)

    async def _treat_one(self, accepted: Accepted, sight: Sight, recipient: Address, decision: Decision) -> Treatment:
        steps = await self._steps(accepted, sight, recipient)
        if decision.outcome != "send":
            return await self._not_sent(accepted, recipient, decision) + Treatment(also=steps)
        row = queue.Recipient(str(recipient), decision=in_short(decision))
        dress = self._dress(accepted, sight, decision)
        if dress is not None:
            raw = await self._worked(sight.raw, dressed, sight.message, dress, self.proofs)
        else:
            raw = sight.raw
        if raw is accepted.raw:
            return Treatment(stays=(row,), also=steps)
        return Treatment(finished=(self._finished(accepted, row, raw),), also=steps)

    def _dress(self, accepted: Accepted, sight: Sight, decision: Decision) -> Dress | None:
        """What is written into the mail before it is delivered; None if nothing is."""
        banner = self.places.rules.banners.get(decision.banner)
        mark = None
        if sight.opened is not None:
            mark = mark_of(sight.verdict)
        elif accepted.door == "portal":
            mark = portal_mark(accepted.item.sender)
        if mark is None and banner is None:
            return None
        return Dress(
            mark=mark,
            decision=decision,
            host=self.host,
            trace=accepted.item.trace,
            banner=banner,
            strip=decision.strips_signature and sight.verdict.signed_ok,
            disarm="unauthenticated-cipher" in sight.verdict.reasons and not sight.verdict.signed_ok,
        )

    async def _not_sent(self, accepted: Accepted, recipient: Address, decision: Decision) -> Treatment:
        if decision.outcome == "refuse":
            sentence = decision.sentence
            failure = Failure(recipient=str(recipient), status="5.7.1", diagnostic=sentence, sentence=sentence)
            return Treatment(finished=self.notices.about(accepted.item, accepted.message, (failure,), self.now()))
        identity = new_id()
        entry = successor(
            accepted.item,
            id=identity,
            recipients=(queue.Recipient(str(recipient), decision=in_short(decision)),),
            body=await sealed(identity, accepted.raw, self.master, self.claims.database.bodies, self.workers),
            session=None,
            state="held",
            note=decision.sentence,
        )
        return Treatment(finished=(Finished(entry, accepted.raw),))

    async def _open(self, method: Method, clean: Message, recipient: Address, written_by: Address | None) -> Opened:
        """In a process: a stranger has made this."""
        keys = await self.keyring.openers(recipient)
        roots = await self.keyring.roots()
        known = await self.keyring.known(written_by)
        assert method.open is not None, "what is recognised can be opened"
        return await self.workers.process(method.open, clean.raw, keys, roots, self.now(), written_by, known=known)

    async def _steps(self, accepted: Accepted, sight: Sight, recipient: Address) -> tuple[Step, ...]:
        """What is written down of a mail: the verdict, what was learned, that it was opened, that it was not."""
        steps: list[Step] = []
        opened = sight.opened
        if opened is not None:
            steps.append(judged(accepted.item, opened, recipient, self.now()))
            lessons = self._lessons(accepted.item, opened, sight.written_by)
            steps += [(harvest.keep, (accepted.item.trace, row)) for row in lessons]
        if sight.verdict.encrypted == "failed":
            steps.append(self.undecryptable.failed(accepted))
        if sight.verdict.encrypted == "opened" or accepted.door == "portal":
            name = accepted.item.message_id
            steps.append((openings.note, [openings.Seen((name,), self.now())]))
            steps += await self.passages.noted(sight.raw, name or accepted.item.trace, recipient)
        return tuple(steps)

    def _lessons(self, item: Item, opened: Opened, author: Address | None) -> tuple[Held, ...]:
        """What is to be learned, unless the very same was a moment ago: who writes often is not looked up each time.

        A mail that comes by once more was not written down before, nor was what it teaches.
        """
        if author is None:
            return ()
        told = (author.key, opened.verdict, opened.certificates, opened.links, opened.announced)
        key = f"{author.key} {hash(told)}"
        this = item.id, item.tries
        if self.learned.knows(key):
            before = self.learned[key]
            if before == this or before[0] != item.id:
                return ()
        self.learned.keep(key, this)
        return harvest.learn(opened, author, self.now())

    async def _worked(self, raw: bytes, function: Callable[..., bytes], *arguments: object) -> bytes:
        if len(raw) <= INLINE:
            return function(*arguments)
        return await self.workers.thread(function, *arguments)

    def _finished(self, accepted: Accepted, row: queue.Recipient, raw: bytes) -> Finished:
        entry = successor(
            accepted.item,
            id=new_id(),
            kind="ready",
            recipients=(row,),
            size=len(raw),
            body=(),  # sealed if the queue gets it
            direction="incoming",
            session=self.claims.birth(len(raw)),
            next_try=0.0,
        )
        return Finished(entry, raw)


def _as_it_came(accepted: Accepted, sight: Sight) -> Verdict:
    """What the rules are told of it: an answer from the portal was sealed all the way, though not by S/MIME."""
    if accepted.door == "portal" and sight.verdict.encrypted == "none":
        return attrs.evolve(sight.verdict, encrypted="opened")
    return sight.verdict


def _is_sealed(method: Method, clean: Message) -> bool:
    return method.recognise is not None and method.recognise(clean) == "encrypted"


def _shared(treatment: Treatment) -> Treatment:
    """Recipients with the very same bytes share one mail, and so do those for whom it is held for the same reason."""
    if len(treatment.finished) < 2:  # to hash a large mail takes its time
        return treatment
    kept: dict[bytes, Finished] = {}
    held: dict[str, Finished] = {}
    alone: list[Finished] = []
    for finished in treatment.finished:
        first = kept.get(finished.raw)
        if finished.entry.state == "held":
            why = repr(finished.entry.recipients[0].decision)
            held[why] = _together(held[why], finished) if why in held else finished
        elif finished.entry.kind != "ready":
            alone.append(finished)
        elif first is None or first.entry.sender != finished.entry.sender:
            kept[finished.raw] = finished
        else:
            kept[finished.raw] = _together(first, finished)
    return attrs.evolve(treatment, finished=(*kept.values(), *alone, *held.values()))


def _together(first: Finished, second: Finished) -> Finished:
    recipients = first.entry.recipients + second.entry.recipients
    return Finished(attrs.evolve(first.entry, recipients=recipients), first.raw)
