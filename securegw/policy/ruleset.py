"""The rule set: rules as closures, with an index of which to ask at all.

Not the document they come from, see ``rules``; not the deciding, see ``decide``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence

import attrs

from securegw.policy.conditions import Check, all_hold
from securegw.policy.decision import Value
from securegw.policy.facts import Facts
from securegw.policy.keywords import Keywords
from securegw.policy.patterns import anchors

# What must be true of a mail for a rule to be asked at all: (condition, value).
Anchor = tuple[str, str]

ALWAYS: Anchor = ("", "")


@attrs.frozen
class Rule:
    """One ``[[rule]]``: what it is called, when it holds, and what it then says of which aspects."""

    name: str
    reason: str
    says: tuple[tuple[str, Value], ...]
    checks: tuple[Check, ...] = attrs.field(default=(), eq=False, repr=False)
    by_keyword: bool = False
    anchors: tuple[Anchor, ...] = (ALWAYS,)


@attrs.frozen
class Rules:
    """A whole rule document, ready to be asked. Two of the same text, version and methods are equal."""

    text: str = attrs.field(repr=False)
    version: int
    methods: tuple[str, ...]
    keywords: Keywords = attrs.field(eq=False, repr=False)
    rules: tuple[Rule, ...] = attrs.field(eq=False, repr=False)
    index: Mapping[Anchor, tuple[int, ...]] = attrs.field(eq=False, repr=False)

    @property
    def digest(self) -> str:
        """SHA-256 of the text: names the document in the audit trail, whatever node reads it."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    def holding(self, facts: Facts, asked: frozenset[str]) -> Iterator[tuple[Rule, bool]]:
        """The rules that hold, in order; False beside one of which it cannot be known now."""
        for number in self._candidates(facts, asked):
            answer = all_hold(self.rules[number].checks, facts, asked)
            if answer is not False:
                yield self.rules[number], answer is True

    def _candidates(self, facts: Facts, asked: frozenset[str]) -> Sequence[int]:
        numbers = {
            number for anchor in (ALWAYS, *_anchors(facts, asked)) for number in self.index.get(anchor, ())
        }
        return sorted(numbers)


def _anchors(facts: Facts, asked: frozenset[str]) -> Iterator[Anchor]:
    yield from (("keyword", keyword) for keyword in asked)
    yield from (("recipient", pattern) for pattern in anchors(facts.recipient))
    yield from (("sender", pattern) for pattern in anchors(facts.sender))
    yield from (("header", name) for name in facts.headers)


def index_of(rules: Sequence[Rule]) -> dict[Anchor, tuple[int, ...]]:
    """Which rules to ask: one about a keyword, an address or a field is found under it, all others always."""
    found: dict[Anchor, list[int]] = {}
    for number, rule in enumerate(rules):
        for anchor in rule.anchors:
            found.setdefault(anchor, []).append(number)
    return {anchor: tuple(numbers) for anchor, numbers in found.items()}
