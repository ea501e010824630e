"""Incoming mail: opened with the recipient's key, verified, marked; forged marks are removed; certificates learned.

Inner headers never win over outer ones (SEC3). What cannot be opened is delivered as it came, and says so. A mail
without marks and without S/MIME passes byte-identical (REL6).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import attrs
import txaio

from securegw.crypto import smime
from securegw.flow.claims import BODY
from securegw.flow.journey import Accepted, Finished, Step, Treatment, successor
from securegw.flow.marking import mark_of, marked, portal_mark, without_forgeries
from securegw.keys import harvest
from securegw.mail import message as messages
from securegw.mail.address import Address, author
from securegw.mail.notice import Failure
from securegw.policy import facts as policy_facts
from securegw.policy.decide import decide
from securegw.store import events, queue

if TYPE_CHECKING:
    from securegw.crypto.seal import MasterKey
    from securegw.crypto.smime import Opened
    from securegw.flow.claims import Claims
    from securegw.flow.notices import Notices
    from securegw.flow.places import Places
    from securegw.keys.keyring import Keyring
    from securegw.policy.decision import Decision
    from securegw.workers import Work

log = txaio.make_logger()


@attrs.define(eq=False, kw_only=True)
class Incoming:
    """Opens, verifies and marks."""

    host: str
    places: Places
    keyring: Keyring
    notices: Notices
    claims: Claims
    workers: Work
    master: MasterKey
    now: Callable[[], float]

    async def treat(self, accepted: Accepted, recipients: list[Address]) -> Treatment:
        """Everything that comes of a mail for our own users."""
        internal = accepted.is_from_inside and accepted.sender is not None and self.places.manages(accepted.sender)
        if internal:
            return Treatment(stays=tuple(queue.Recipient(str(recipient)) for recipient in recipients))
        keywords = tuple(self.places.rules.keywords.texts.values())
        clean = without_forgeries(accepted.raw, self.host, keywords)
        treatment = Treatment()
        for recipient in recipients:
            treatment += await self._treat_one(accepted, clean, recipient)
        return _shared(treatment)

    async def _treat_one(self, accepted: Accepted, clean: bytes, recipient: Address) -> Treatment:
        decision = self._decide(accepted, recipient)
        if decision.outcome == "refuse":
            failure = Failure(
                recipient=str(recipient), status="5.7.1", diagnostic=decision.sentence, sentence=decision.sentence
            )
            told = self.notices.about(accepted.item, accepted.message, (failure,), self.now())
            return Treatment(finished=told)
        row = queue.Recipient(str(recipient), decision=decision.as_dict())
        raw = clean
        steps: tuple[Step, ...] = ()
        if smime.recognise(messages.read(clean)) is not None:
            opened = await self._open(clean, recipient)
            raw = marked(opened.raw, mark_of(opened.verdict), decision, self.host)
            steps = self._learned(accepted, opened, recipient)
        elif accepted.door == "portal":
            raw = marked(clean, portal_mark(accepted.item.sender), decision, self.host)
        if raw is accepted.raw:
            return Treatment(stays=(row,), also=steps)
        return Treatment(finished=(self._finished(accepted, row, raw),), also=steps)

    def _decide(self, accepted: Accepted, recipient: Address) -> Decision:
        facts = policy_facts.gather(
            accepted.message,
            direction="incoming",
            sender=accepted.item.sender.lower(),
            recipient=recipient.key,
            inside=False,
            usable=frozenset(),
        )
        return decide(facts, self.places.rules)

    async def _open(self, raw: bytes, recipient: Address) -> Opened:
        """In a process: a stranger has made this."""
        keys = await self.keyring.openers(recipient)
        written_by = author(messages.read(raw))
        roots = await self.keyring.roots()
        return await self.workers.process(smime.open, raw, keys, roots, self.now(), written_by)

    def _learned(self, accepted: Accepted, opened: Opened, recipient: Address) -> tuple[Step, ...]:
        written_by = author(messages.read(opened.raw))
        trace = accepted.item.trace
        told = events.Event(
            time=self.now(),
            kind="verdict",
            actor="gateway",
            trace=trace,
            item=accepted.item.id,
            address=recipient.key,
            detail={**attrs.asdict(opened.verdict), "layers": list(opened.layers)},
        )
        rows = harvest.learn(opened, written_by, self.now())
        return ((events.record, told), *((harvest.keep, (trace, row)) for row in rows))

    def _finished(self, accepted: Accepted, row: queue.Recipient, raw: bytes) -> Finished:
        identity = queue.new_id()
        entry = successor(
            accepted.item,
            id=identity,
            kind="ready",
            recipients=(row,),
            size=len(raw),
            body=tuple(self.master.seal_parts(BODY, identity, raw)),
            direction="incoming",
            session=self.claims.birth(len(raw)),
            next_try=0.0,
        )
        return Finished(entry, raw)


def _shared(treatment: Treatment) -> Treatment:
    """Recipients with the very same bytes share one mail."""
    kept: dict[bytes, Finished] = {}
    for finished in treatment.finished:
        first = kept.get(finished.raw)
        if first is None or first.entry.sender != finished.entry.sender:
            kept[finished.raw] = finished
        else:
            together = attrs.evolve(first.entry, recipients=first.entry.recipients + finished.entry.recipients)
            kept[finished.raw] = Finished(together, first.raw)
    return attrs.evolve(treatment, finished=tuple(kept.values()))
