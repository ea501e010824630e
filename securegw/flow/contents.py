"""Contents: what the rules ask of a mail beyond its header, and only if a rule asks - files, texts, sealed origins.

Taking the mail apart (``inside``) is done in a process and bounded there; what could not be done is told as "not
examined", and then the rules do not let it pass as harmless. Whether something in a mail came sealed and was opened
here is told by our mark in it or in a mail that it carries, by the Message-IDs that it cites, or by passages that are
copied (threats 5.5.33).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import attrs
import txaio

from securegw.flow.inside import NO_FINDINGS, Inside, cited, look_inside, skim
from securegw.mail.errors import WorkerLost
from securegw.policy.conditions import CONTENT
from securegw.policy.findings import Findings, Pattern
from securegw.store import opened

if TYPE_CHECKING:
    from securegw.flow.passages import Passages
    from securegw.flow.proofs import Proofs
    from securegw.mail.message import Message
    from securegw.policy.facts import Direction
    from securegw.policy.rules import Rules
    from securegw.store.database import Database
    from securegw.workers.work import Work

log = txaio.make_logger()

SEALED_PART = "a sealed part"
INLINE = 1 << 20  # a larger mail is looked through in a thread


@attrs.frozen
class Contents:
    """What was found in one mail, for the facts of its decisions."""

    found: frozenset[str] = frozenset()
    attachments: tuple[str, ...] = ()
    examined: bool = True
    unreadable: tuple[str, ...] = ()
    unlisted: bool = False
    opened_here: bool = False


class Examiner:
    """Looks into mails, as far as the rules ask."""

    def __init__(self, database: Database, workers: Work, proofs: Proofs, passages: Passages) -> None:
        self.database = database
        self.workers = workers
        self.proofs = proofs
        self.passages = passages

    async def look(
        self, raw: bytes, message: Message, rules: Rules, direction: Direction, sender: str = ""
    ) -> Contents:
        """Everything that these rules ask for in this direction; ``sender`` is one of ours who may have copied text."""
        asked = rules.asks.get(direction, frozenset()) & CONTENT
        if not asked:
            return Contents()
        if "opened_here" not in asked:
            inside = Inside(NO_FINDINGS)
        else:
            inside = skim(message) if len(raw) <= INLINE else await self.workers.thread(skim, message)
        if inside.carries_a_mail or asked - {"opened_here", "examined"}:
            apart = await self._apart(raw, rules.patterns if "pattern" in asked else (), asked)
            inside = attrs.evolve(apart, marks=(*inside.marks, *apart.marks))
        return told(
            inside.findings,
            direction,
            "opened_here" in asked and await self._opened_here(message, inside, sender),
        )

    async def _apart(self, raw: bytes, patterns: Sequence[Pattern], asked: frozenset[str]) -> Inside:
        try:
            return await self.workers.process(look_inside, raw, patterns, asked)
        except WorkerLost:
            log.warn("a mail could not be examined: its worker was lost")
            return Inside(Findings(examined=False))

    async def _opened_here(self, message: Message, inside: Inside, sender: str) -> bool:
        if self.proofs.any_opened(inside.marks):
            return True
        ids = (*cited(message), *inside.ids)
        known = self.database.read(opened.any_known, ids) if ids else None
        if known is not None and await self.workers.settle(known):
            return True
        return await self.passages.are_in(message.raw, sender)


def told(findings: Findings, direction: Direction, opened_here: bool) -> Contents:
    """The findings as facts. What somebody of ours has sealed himself cannot be read; what comes in sealed and cannot
    be opened is nothing to doubt about, or a rule would tell the outside which seals we open (5.5.31)."""
    sealed = findings.sealed and direction == "outgoing"
    unreadable = (*findings.unreadable, *((SEALED_PART,) if sealed else ()))
    return Contents(
        findings.found, findings.attachments, findings.examined, unreadable, findings.unlisted or sealed, opened_here
    )
