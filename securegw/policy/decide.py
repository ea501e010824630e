"""Deciding: facts and rules in, a Decision out. Pure: no clock, no network, no database, no surprise.

Not the work itself. The first rule that speaks of an aspect decides that aspect. In doubt nothing leaves: what is
not known now makes the mail wait, what cannot be done as asked gives it back to its sender.
"""

from __future__ import annotations

import functools

import attrs

from securegw.policy import decision as words
from securegw.policy.actions import ACTIONS
from securegw.policy.conditions import CONTENT
from securegw.policy.decision import PLAIN, Decision, Outcome, Ruling
from securegw.policy.facts import Facts
from securegw.policy.keywords import Asked
from securegw.policy.marks import own_fields
from securegw.policy.rules import Rule, Rules

SENTENCES = {
    words.TWO_SUBJECTS: "The message has more than one Subject field, so what was asked for is not clear.",
    words.MAY_NOT_SIGN: "The message asks for a signature, but this sender may not sign.",
    words.MAY_NOT_ENCRYPT: "The message has to be encrypted, but this sender may not encrypt.",
    words.NO_METHOD: "The message has to be encrypted, and there is no way to do so for this recipient.",
    words.NOT_KNOWN_NOW: "Whether the message can be protected for this recipient cannot be told now.",
    words.NOT_EXAMINED: "The rules ask what is in the message, and it is built so that this cannot be told.",
    words.UNREADABLE: "A rule asks what is in the files of the message, and one is encrypted, damaged or too large.",
    words.NO_RULE: "No rule says how to protect this message; an administrator has to add one.",
}


def decide(facts: Facts, rules: Rules) -> Decision:
    """What shall happen to this mail for this recipient."""
    asked = rules.keywords.read(facts)
    verdict = _collect(facts, rules, asked)
    case = _Case(facts, asked, verdict)
    if asked.two_subjects or asked.given.problem:
        return _unclear(case)
    if verdict.against is not None:
        return _contradiction(case, rules, *verdict.against)
    if isinstance(case.says("quarantine"), str):
        return _by_rule(case, "hold", "quarantine")
    if isinstance(case.says("refuse"), str):
        return _by_rule(case, "refuse", "refuse")
    if verdict.unknown is not None:
        return _not_known(case, verdict.unknown)
    return _protection(case)


@attrs.frozen
class _Verdict:
    """The rulings by aspect, in the order of ACTIONS; a rule that could not be judged; two that contradict."""

    rulings: dict[str, Ruling]
    unknown: Rule | None
    against: tuple[str, str] | None


def _collect(facts: Facts, rules: Rules, asked: Asked) -> _Verdict:
    rulings: dict[str, Ruling] = {}
    unknown: Rule | None = None
    wishes: list[Rule] = []
    for rule, known in rules.holding(facts, asked.keywords):
        open_aspects = [(aspect, value) for aspect, value in rule.says if aspect not in rulings]
        if not known and not _holds_in_doubt(rule, facts):
            unknown = unknown or (rule if open_aspects else None)
            continue
        for aspect, value in open_aspects:
            rulings[aspect] = Ruling(aspect, value, rule.name, rule.reason)
        if rule.by_keyword:
            wishes.append(rule)
    return _Verdict(_complete(rulings, facts), unknown, _opposed(wishes))


def _holds_in_doubt(rule: Rule, facts: Facts) -> bool:
    """A file that cannot be read counts as holding what a strict rule looks for; quarantine is made for any doubt."""
    closed = facts.examined and bool(facts.unreadable or facts.unlisted)
    return rule.is_strict and not rule.asks.isdisjoint(CONTENT) and (closed or rule.quarantines)


def _complete(rulings: dict[str, Ruling], facts: Facts) -> dict[str, Ruling]:
    fallen_back = _fallbacks(facts.direction)
    if facts.released:
        rulings["quarantine"] = Ruling("quarantine", False, "", words.RELEASED)
    return {
        action.name: rulings.get(action.name) or fallen_back[action.name]
        for action in ACTIONS
        if action.name in rulings or action.name in fallen_back
    }


@functools.cache
def _fallbacks(direction: str) -> dict[str, Ruling]:
    """What holds where no rule has spoken."""
    return {
        action.name: Ruling(action.name, action.fallback[direction], "", words.NO_RULE)
        for action in ACTIONS
        if direction in action.fallback
    }


def _opposed(wishes: list[Rule]) -> tuple[str, str] | None:
    """Two keyword rules that ask for opposite things: what administrators wrote has an order, wishes do not."""
    if len(wishes) < 2:
        return None
    for action in ACTIONS:
        said = {dict(rule.says).get(action.name): rule.name for rule in reversed(wishes)}
        if action.opposites and action.opposites <= set(said):
            first, second = sorted(action.opposites, key=str)
            return said[first], said[second]
    return None


@attrs.frozen
class _Case:
    """One mail under judgement: makes the Decision with all that is the same in every outcome."""

    facts: Facts
    asked: Asked
    verdict: _Verdict

    def says(self, aspect: str) -> words.Value | None:
        ruling = self.verdict.rulings.get(aspect)
        return None if ruling is None else ruling.value

    def rule(self, aspect: str) -> str:
        ruling = self.verdict.rulings.get(aspect)
        return "" if ruling is None else ruling.rule

    def stop(self, outcome: Outcome, reason: str, rule: str = "", sentence: str = "") -> Decision:
        return self._decision(outcome, reason, rule, sentence=sentence or SENTENCES[reason])

    def send(self, methods: tuple[str, ...]) -> Decision:
        by = self.verdict.rulings["encrypt"]
        sign = self.says("sign") != "never" and self.facts.may_sign
        return self._decision(
            "send", by.reason, by.rule, sign=sign, method=methods[0] if methods else PLAIN, methods=methods
        )

    def _decision(
        self,
        outcome: Outcome,
        reason: str,
        rule: str,
        *,
        sentence: str = "",
        sign: bool = False,
        method: str = "",
        methods: tuple[str, ...] = (),
    ) -> Decision:
        return Decision(
            outcome=outcome,
            reason=reason,
            rule=rule,
            sentence=sentence,
            sign=sign,
            method=method,
            methods=methods,
            mark=self.says("mark") is True,
            tag=self.says("tag") is True,
            subject=self.asked.subject,
            strip_fields=self._strip_fields(),
            rulings=tuple(self.verdict.rulings.values()),
            found=_found(self.facts),
        )

    def _strip_fields(self) -> tuple[str, ...]:
        """What must not leave: control fields, what a rule names, and marks that are for inside alone."""
        said = self.says("strip")
        named = [name for name in said if name in self.facts.headers] if isinstance(said, tuple) else []
        ours = own_fields(self.facts.headers) if self.facts.direction == "outgoing" else ()
        return tuple(dict.fromkeys((*self.asked.strip_fields, *named, *ours)))


def _unclear(case: _Case) -> Decision:
    """What the subject asks for cannot be obeyed."""
    if case.asked.two_subjects:
        return case.stop("refuse", words.TWO_SUBJECTS)
    return case.stop("refuse", words.KEYWORD_VALUE, sentence=case.asked.given.problem)


def _not_known(case: _Case, rule: Rule) -> Decision:
    """A rule that cannot be judged: what may be known later waits, what will never be known goes back."""
    if rule.asks.isdisjoint(CONTENT):
        return case.stop("wait", words.NOT_KNOWN_NOW, rule.name)
    if not case.facts.examined:
        return case.stop("refuse", words.NOT_EXAMINED, rule.name)
    if case.facts.unreadable or case.facts.unlisted:
        return case.stop("refuse", words.UNREADABLE, rule.name)
    return case.stop("wait", words.NOT_KNOWN_NOW, rule.name)


def _by_rule(case: _Case, outcome: Outcome, aspect: str) -> Decision:
    """A rule refuses or keeps it, with its own sentence."""
    by = case.verdict.rulings[aspect]
    return case.stop(outcome, by.reason, by.rule, str(by.value))


def _contradiction(case: _Case, rules: Rules, *names: str) -> Decision:
    texts = sorted(rules.keywords.texts[name] for name in case.asked.keywords)
    sentence = f"The message asks for things that exclude each other: {', '.join(texts)}. Please ask for one."
    return case.stop("refuse", words.CONTRADICTION, " / ".join(names), sentence)


def _protection(case: _Case) -> Decision:
    """Signature and encryption, once nothing else stands in the way."""
    facts, encrypt = case.facts, case.says("encrypt")
    if encrypt is None:
        return case.stop("wait", words.NO_RULE)
    if case.says("sign") == "always" and not facts.may_sign:
        return case.stop("refuse", words.MAY_NOT_SIGN, case.rule("sign"))
    if encrypt == "never" or (encrypt == "possible" and not facts.may_encrypt):
        return case.send(())
    if not facts.may_encrypt:
        return case.stop("refuse", words.MAY_NOT_ENCRYPT, case.rule("encrypt"))
    return _encryption(case, required=encrypt == "must")


def _otherwise(case: _Case) -> Outcome:
    said = case.says("otherwise")
    return "wait" if said == "wait" else "hold" if said == "hold" else "refuse"


def _encryption(case: _Case, *, required: bool) -> Decision:
    wanted = case.says("methods")
    order = wanted if isinstance(wanted, tuple) else ()
    if order and case.facts.usable is None:
        return case.stop("wait", words.NOT_KNOWN_NOW, case.rule("encrypt"))
    methods = tuple(name for name in order if name in (case.facts.usable or ()))
    if required and not methods:
        return case.stop(_otherwise(case), words.NO_METHOD, case.rule("encrypt"))
    return case.send(methods)


def _found(facts: Facts) -> tuple[str, ...]:
    """What was found in the mail, in words for a list: no text of it, and of files that were read not the name."""
    patterns = [f"pattern {name}" for name in sorted(facts.found)]
    told = {
        "opened here": facts.opened_here,
        "unreadable file": bool(facts.unreadable),
        "archive without a list": facts.unlisted,
        "not examined": not facts.examined,
    }
    return (*patterns, *(word for word, true in told.items() if true))
