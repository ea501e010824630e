"""How the rules are asked: the same call for the journey of a mail and for ``securegw explain``. Pure.

The portal can take a letter for anybody, but only from a user of ours: a stranger's mail never becomes a carrier.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import attrs

from securegw.flow.contents import Contents
from securegw.policy.decide import decide
from securegw.policy.facts import Direction, Facts, gather
from securegw.policy.keywords import Given

if TYPE_CHECKING:
    from collections.abc import Iterable

    from securegw.crypto.verdict import Verdict
    from securegw.mail.address import Address
    from securegw.mail.message import Message
    from securegw.policy.decision import Decision
    from securegw.policy.rules import Rules

CARRIER, ZIP = frozenset({"carrier"}), frozenset({"zip"})
NOTHING_ASKED = Contents()


@attrs.frozen(slots=False)
class Case:
    """One mail before the rules: ``sender`` is the envelope's (empty: nobody), ``inside`` says that a user of ours
    sends it, and the rights are that user's; ``released``: an administrator has let it out of quarantine."""

    message: Message
    sender: str
    inside: bool
    rules: Rules
    may_sign: bool = True
    may_encrypt: bool = True
    contents: Contents = NOTHING_ASKED
    released: bool = False

    @cached_property
    def _facts(self) -> Facts:
        """Read once, whatever the number of recipients."""
        facts = gather(
            self.message,
            direction="outgoing",
            sender=self.sender,
            recipient="",
            inside=self.inside,
            may_sign=self.may_sign,
            may_encrypt=self.may_encrypt,
            usable=None,
        )
        if self.released:
            facts = attrs.evolve(facts, released=True)
        if self.contents == NOTHING_ASKED:
            return facts
        return attrs.evolve(facts, **attrs.asdict(self.contents, recurse=False))

    @cached_property
    def given(self) -> Given:
        """The values that came with keywords; the decision does not have them."""
        return self.rules.keywords.given(self._facts)

    def decide(
        self,
        recipient: Address,
        direction: Direction,
        methods: frozenset[str] = frozenset(),
        verdict: Verdict | None = None,
    ) -> Decision:
        """The decision for one recipient; ``methods`` are those for which there is a key, ``verdict`` what was found
        out about a mail that came in for him."""
        usable = methods
        if self.inside and direction == "outgoing":
            usable |= CARRIER | ZIP if self.given.password else CARRIER
        found = {} if verdict is None else {"encrypted": verdict.encrypted, "signed": _in_a_word(verdict)}
        return decide(self._facts.to(recipient.key, usable, direction=direction, **found), self.rules)


def _in_a_word(verdict: Verdict) -> str:
    return "none" if not verdict.signed else "good" if verdict.signed_ok else "bad"


def copies(decisions: Iterable[Decision]) -> tuple[str, ...]:
    """The mailboxes in which rules want a copy of what is sent."""
    wanted = (each.ruling("copy") for each in decisions if each.outcome == "send")
    return tuple(str(ruling.value) for ruling in wanted if ruling is not None and ruling.value)


def direction_of(*, ours: bool, inside: bool) -> Direction:
    """Where a mail goes: ``ours`` if its recipient is, ``inside`` if a user of ours sends it."""
    if not ours:
        return "outgoing"
    return "internal" if inside else "incoming"
