"""Explaining: a Decision in lines for a person, as ``securegw explain`` prints them.

Not translated: the reader is an administrator who compares it with rules and logs. The subject is never told.
"""

from __future__ import annotations

from collections.abc import Iterator

from securegw.policy.decision import PLAIN, Decision, Ruling, Value


def explain(decision: Decision) -> list[str]:
    """What happens, why, and which rule said so, aspect by aspect."""
    return [*_outcome(decision), *map(_ruling, decision.rulings)]


def _outcome(decision: Decision) -> Iterator[str]:
    by = f', by rule "{decision.rule}"' if decision.rule else ""
    yield f"{decision.outcome}: {decision.reason}{by}"
    if decision.sentence:
        reader = "administrator" if decision.quarantined else "sender"
        yield f"the {reader} reads: {decision.sentence}"
    if decision.found:
        yield "found in it: " + ", ".join(decision.found)
    if decision.outcome == "send":
        yield _method(decision)
        yield _signature(decision)
    if decision.subject is not None:
        yield "subject: keywords are removed"
    if decision.strip_fields:
        yield "fields removed: " + ", ".join(decision.strip_fields)
    yield f"mark: {_said(decision.mark)}, tag: {_said(decision.tag)}"


def _method(decision: Decision) -> str:
    if decision.method == PLAIN:
        return "method: plain, not encrypted"
    return "method: " + ", else ".join(decision.methods)


def _signature(decision: Decision) -> str:
    if not decision.sign:
        return "sign: no"
    return "sign: yes, else not sent" if decision.must_sign else "sign: yes, with a certificate if there is one"


def _ruling(ruling: Ruling) -> str:
    source = f'rule "{ruling.rule}": {ruling.reason}' if ruling.rule else "no rule speaks of it"
    return f"  {ruling.aspect} = {_said(ruling.value)} ({source})"


def _said(value: Value) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, str) else ", ".join(value) or "none"
