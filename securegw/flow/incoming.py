"""Incoming mail: opened with the recipient's key, verified, marked; forged marks are removed; certificates learned.

Inner headers never win over outer ones (SEC3). What cannot be opened is delivered as it came, and says so. A mail
without marks and without S/MIME passes byte-identical (REL6).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import attrs
import txaio

from securegw.crypto import methods
from securegw.flow.claims import BODY
from securegw.flow.deciding import Case, copies, direction_of
from securegw.flow.history import decided, in_short, judged
from securegw.flow.marking import mark_of, marked, portal_mark, without_forgeries
from securegw.flow.treatment import Accepted, Finished, Step, Treatment, successor
from securegw.keys import harvest
from securegw.mail import message as messages
from securegw.mail.address import Address, author
from securegw.mail.notice import Failure
from securegw.store import queue

if TYPE_CHECKING:
    from securegw.crypto.methods import Method
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
        inside = accepted.is_from_inside and accepted.sender is not None and self.places.manages(accepted.sender)
        case = Case(accepted.message, accepted.item.sender.lower(), inside, self.places.rules)
        direction = direction_of(ours=True, inside=inside)
        decisions = [(recipient, case.decide(recipient, direction)) for recipient in recipients]
        clean = accepted.raw if inside else self._without_forgeries(accepted)
        told = decided(accepted.item, decisions, self.now())
        treatment = Treatment(also=(told,), copies=copies(decision for _, decision in decisions))
        for recipient, decision in decisions:
            if decision.outcome != "send":
                treatment += self._back(accepted, recipient, decision)
            elif inside:
                treatment += Treatment(stays=(queue.Recipient(str(recipient), decision=in_short(decision)),))
            else:
                treatment += await self._treat_one(accepted, clean, recipient, decision)
        return _shared(treatment)

    def _without_forgeries(self, accepted: Accepted) -> bytes:
        keywords = tuple(self.places.rules.keywords.texts.values())
        return without_forgeries(accepted.raw, self.host, keywords)

    async def _treat_one(self, accepted: Accepted, clean: bytes, recipient: Address, decision: Decision) -> Treatment:
        row = queue.Recipient(str(recipient), decision=in_short(decision))
        raw = clean
        steps: tuple[Step, ...] = ()
        method = methods.recognise(messages.read(clean))
        if method is not None:
            opened = await self._open(method, clean, recipient)
            raw = marked(opened.raw, mark_of(opened.verdict), decision, self.host)
            steps = self._learned(accepted, opened, recipient)
        elif accepted.door == "portal":
            raw = marked(clean, portal_mark(accepted.item.sender), decision, self.host)
        if raw is accepted.raw:
            return Treatment(stays=(row,), also=steps)
        return Treatment(finished=(self._finished(accepted, row, raw),), also=steps)

    def _back(self, accepted: Accepted, recipient: Address, decision: Decision) -> Treatment:
        failure = Failure(
            recipient=str(recipient), status="5.7.1", diagnostic=decision.sentence, sentence=decision.sentence
        )
        return Treatment(finished=self.notices.about(accepted.item, accepted.message, (failure,), self.now()))

    async def _open(self, method: Method, raw: bytes, recipient: Address) -> Opened:
        """In a process: a stranger has made this."""
        keys = await self.keyring.openers(recipient)
        written_by = author(messages.read(raw))
        roots = await self.keyring.roots()
        assert method.open is not None, "what is recognised can be opened"
        return await self.workers.process(method.open, raw, keys, roots, self.now(), written_by)

    def _learned(self, accepted: Accepted, opened: Opened, recipient: Address) -> tuple[Step, ...]:
        written_by = author(messages.read(opened.raw))
        trace = accepted.item.trace
        rows = harvest.learn(opened, written_by, self.now())
        told = judged(accepted.item, opened, recipient, self.now())
        return (told, *((harvest.keep, (trace, row)) for row in rows))

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
