"""The rule set: rules as closures, with an index of which to ask at all.

Not the document they come from, see ``rules``; not the deciding, see ``decide``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property

import attrs

from securegw.mail.insertion import Insertion
from securegw.policy.conditions import CONTENT, Check, all_hold
from securegw.policy.decision import Value
from securegw.policy.facts import DIRECTIONS, Facts
from securegw.policy.findings import Pattern
from securegw.policy.keywords import Keywords
from securegw.policy.patterns import anchors

# What must be true of a mail for a rule to be asked at all: (condition, value). For ``header`` the condition is
# followed by the name of the field, and the value is a piece of text in it.
Anchor = tuple[str, str]

ALWAYS: Anchor = ("", "")
HEADER = "header "

# What a rule may say that lets a mail pass easier than rules below it might.
LOOSE: frozenset[tuple[str, Value]] = frozenset(
    {
        ("refuse", False),
        ("quarantine", False),
        ("encrypt", "possible"),
        ("encrypt", "never"),
        ("sign", "possible"),
        ("sign", "never"),
        ("signature", "strip"),
        ("mark", False),
        ("copy", False),
    }
)


@attrs.frozen
class Rule:
    """One ``[[rule]]``: what it is called, when it holds, and what it then says of which aspects.

    ``by_keyword`` tells that it holds because the sender asked for it. ``asks`` names its conditions,
    ``ways`` the directions it may hold in. One of ``anchors`` is true of every mail for which the rule holds.
    """

    name: str
    reason: str
    says: tuple[tuple[str, Value], ...]
    checks: tuple[Check, ...] = attrs.field(default=(), eq=False, repr=False)
    by_keyword: bool = False
    asks: frozenset[str] = frozenset()
    ways: frozenset[object] = frozenset(DIRECTIONS)
    anchors: tuple[Anchor, ...] = (ALWAYS,)

    @property
    def is_strict(self) -> bool:
        """Whether no mail leaves easier, or with less to tell of it, because of this rule."""
        return LOOSE.isdisjoint(self.says)

    @property
    def quarantines(self) -> bool:
        return any(aspect == "quarantine" and value is not False for aspect, value in self.says)


@attrs.frozen
class Index:
    """Which rules to ask: most of a thousand rules have no say in a given mail, and looking that up is cheap."""

    anchored: Mapping[Anchor, Sequence[int]] = attrs.field(hash=False)
    worded: Mapping[str, Sequence[tuple[str, int]]] = attrs.field(hash=False)

    def candidates(self, facts: Facts, asked: frozenset[str]) -> list[int]:
        """The numbers of the rules that could hold, in order."""
        numbers: set[int] = set()
        for anchor in _anchors(facts, asked):
            if anchor in self.anchored:
                numbers.update(self.anchored[anchor])
        for name, pieces in self.worded.items():
            for value in facts.headers.folded(name):
                numbers.update([number for piece, number in pieces if piece in value])
        return sorted(numbers)


def _anchors(facts: Facts, asked: frozenset[str]) -> list[Anchor]:
    return [
        ALWAYS,
        *[("keyword", keyword) for keyword in asked],
        *[("recipient", pattern) for pattern in anchors(facts.recipient)],
        *[("sender", pattern) for pattern in anchors(facts.sender)],
    ]


def index_of(rules: Sequence[Rule]) -> Index:
    anchored: dict[Anchor, list[int]] = {}
    worded: dict[str, list[tuple[str, int]]] = {}
    for number, rule in enumerate(rules):
        for condition, value in rule.anchors:
            if condition.startswith(HEADER):
                worded.setdefault(condition.removeprefix(HEADER), []).append((value, number))
            else:
                anchored.setdefault((condition, value), []).append(number)
    return Index(anchored, worded)


@attrs.frozen
class Rules:
    """A whole rule document, ready to be asked. Two of the same text, version and methods are equal.

    ``asks`` names for each direction the conditions of its rules: what no rule asks for need not be found out.
    """

    text: str = attrs.field(repr=False)
    version: int
    methods: tuple[str, ...]
    keywords: Keywords = attrs.field(eq=False, repr=False)
    rules: tuple[Rule, ...] = attrs.field(eq=False, repr=False)
    index: Index = attrs.field(eq=False, repr=False)
    banners: Mapping[str, Insertion] = attrs.field(factory=dict, eq=False, repr=False)
    patterns: tuple[Pattern, ...] = attrs.field(default=(), eq=False, repr=False)
    asks: Mapping[str, frozenset[str]] = attrs.field(factory=dict, eq=False, repr=False)

    @property
    def digest(self) -> str:
        """SHA-256 of the text: names the document in the audit trail, whatever node reads it."""
        return hashlib.sha256(self.text.encode("utf-8", "surrogatepass")).hexdigest()

    @cached_property
    def refuses_at_door(self) -> bool:
        """Whether a rule refuses incoming mail, and that can be told before it is looked into."""
        refusing = (
            "incoming" in rule.ways and any(aspect == "refuse" and value is not False for aspect, value in rule.says)
            for rule in self.rules
        )
        return self.asks.get("incoming", frozenset()).isdisjoint(CONTENT) and any(refusing)

    def holding(self, facts: Facts, asked: frozenset[str]) -> Iterator[tuple[Rule, bool]]:
        """The rules that hold, in order; False beside one of which it cannot be known now."""
        for number in self.index.candidates(facts, asked):
            answer = all_hold(self.rules[number].checks, facts, asked)
            if answer is not False:
                yield self.rules[number], answer is True
