"""A thousand rules cost less than a millisecond a mail."""

from __future__ import annotations

import time

import pytest

from securegw.policy.decide import decide
from securegw.policy.rules import default_rules_text, read_rules

KINDS = {
    "recipients": 'when = {{ recipient = ["@d{0}.test", "*.e{0}.test"] }}',
    "headers": 'when = {{ direction = "outgoing", header = {{ subject = "*word{0}*" }} }}',
    "senders": 'when = {{ sender = "user{0}@inside.test", size_over = "1 KB" }}',
    "sizes": 'when = {{ direction = "outgoing", size_over = "1{0} KB" }}',
    "exceptions": 'unless = {{ sender = "@inside.test" }}\nwhen = {{ header = {{ x-class = "c{0}" }} }}',
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_thousand_rules(outgoing, kind, record_property) -> None:
    own = "".join(
        f'[[rule]]\nname = "r{number}"\n{KINDS[kind].format(number)}\nencrypt = "must"\n\n' for number in range(1000)
    )
    book = read_rules(default_rules_text().replace("\n[[rule]]\n", f"\n{own}\n[[rule]]\n", 1))
    facts = outgoing("Re: [confidential] the results of last week", headers={"x-class": "none"}, size=5000)
    assert decide(facts, book).rule == "asked for encryption"
    best = min(_once(facts, book) for _ in range(100))
    record_property("microseconds", round(best * 1e6))
    print(f"{kind}: {best * 1e6:.0f} us a mail")
    assert best < 0.001


def _once(facts, book) -> float:
    began = time.process_time()
    decide(facts, book)
    return time.process_time() - began
