"""The rule set: rules as closures, with an index of which to ask at all.

Not the document they come from, see ``rules``; not the deciding, see ``decide``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence

import attrs

from securegw.policy.conditions import Check
from securegw.policy.decision import Value
from securegw.policy.facts import Facts
from securegw.policy.keywords import Keywords
from securegw.policy.patterns import anchors


@attrs.frozen
class Rule:
    """One ``[[rule]]``: what it is called, when it holds, and what it then says of which aspects."""

    name: str
    reason: str
    says: tuple[tuple[str, Value], ...]
    when: tuple[Check, ...] = attrs.field(default=(), eq=False, repr=False)
    unless: tuple[Check, ...] = attrs.field(default=(), eq=False, repr=False)
    by_keyword: bool = False
    anchors: tuple[str, ...] = ()

    def holds(self, facts: Facts, asked: frozenset[str]) -> bool | None:
        """True, False, or None where a fact that it asks for cannot be known now."""
        answer = _all(self.when, facts, asked)
        if answer is False or not self.unless:
            return answer
        exempt = _all(self.unless, facts, asked)
        if exempt is not False:
            return None if exempt is None else False
        return answer


def _all(checks: tuple[Check, ...], facts: Facts, asked: frozenset[str]) -> bool | None:
    known = True
    for check in checks:
        answer = check(facts, asked)
        if answer is False:
            return False
        known = known and answer is not None
    return True if known else None


@attrs.frozen
class Rules:
    """A whole rule document, ready to be asked. Two of the same text, version and methods are equal."""

    text: str = attrs.field(repr=False)
    version: int
    methods: tuple[str, ...]
    keywords: Keywords = attrs.field(eq=False, repr=False)
    rules: tuple[Rule, ...] = attrs.field(eq=False, repr=False)
    index: Mapping[str, tuple[int, ...]] = attrs.field(eq=False, repr=False)

    @property
    def digest(self) -> str:
        """SHA-256 of the text: names the document in the audit trail, whatever node reads it."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    def holding(self, facts: Facts, asked: frozenset[str]) -> Iterator[tuple[Rule, bool]]:
        """The rules that hold, in order; False beside one of which it cannot be known now."""
        keys = ["", *anchors(facts.recipient), *asked]
        numbers = {number for key in keys for number in self.index.get(key, ())}
        for number in sorted(numbers):
            answer = self.rules[number].holds(facts, asked)
            if answer is not False:
                yield self.rules[number], answer is True


def index_of(rules: Sequence[Rule]) -> dict[str, tuple[int, ...]]:
    """Which rules to ask: a rule about a keyword or a recipient is found under it, all others always."""
    found: dict[str, list[int]] = {}
    for number, rule in enumerate(rules):
        for anchor in rule.anchors:
            found.setdefault(anchor, []).append(number)
    return {anchor: tuple(numbers) for anchor, numbers in found.items()}
