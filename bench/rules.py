"""Deciding: what a thousand rules of one's own cost a mail, in microseconds of CPU; the goal is below 1,000.

There is no peer here: nobody else keeps such rules apart from the rest. ``python -m bench.rules`` prints the figures.
"""

from __future__ import annotations

import time

from securegw.policy.decide import decide
from securegw.policy.facts import Facts
from securegw.policy.findings import examine, read_pattern
from securegw.policy.rules import Rules, default_rules_text, read_rules

KINDS = {
    "recipients": 'when = {{ recipient = ["@d{0}.test", "*.e{0}.test"] }}',
    "headers": 'when = {{ direction = "outgoing", header = {{ subject = "*word{0}*" }} }}',
    "senders": 'when = {{ sender = "user{0}@inside.test", size_over = "1 KB" }}',
    "sizes": 'when = {{ direction = "outgoing", size_over = "1{0} KB" }}',
    "exceptions": 'unless = {{ sender = "@inside.test" }}\nwhen = {{ header = {{ x-class = "c{0}" }} }}',
}
ROUNDS = 200


def document(kind: str, count: int) -> str:
    """So many rules of one kind, in front of the shipped ones."""
    own = "".join(
        f'[[rule]]\nname = "r{number}"\n{KINDS[kind].format(number)}\nencrypt = "must"\n\n' for number in range(count)
    )
    return default_rules_text().replace("\n[[rule]]\n", f"\n{own}\n[[rule]]\n", 1)


def microseconds(facts: Facts, rules: Rules) -> float:
    """The median CPU time of one decision."""
    times = []
    for _ in range(ROUNDS):
        began = time.process_time()
        decide(facts, rules)
        times.append(time.process_time() - began)
    return sorted(times)[ROUNDS // 2] * 1e6


def look_inside_ms() -> float:
    """The CPU time to look for twenty patterns in a mail with a megabyte of text; it is spent in a process."""
    text = b"".join(b"line %d of the results, 756.%d\r\n" % (number, number) for number in range(25_000))
    raw = b"Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\n" + text
    patterns = [read_pattern(f"p{n}", [f"case {n}#####", f"ward {n}-@@ ####"]) for n in range(18)]
    patterns += [read_pattern("insurance", ["756~####~####~##"]), read_pattern("card", ["####~####~####~####"])]
    began = time.process_time()
    examine(raw, patterns)
    return (time.process_time() - began) * 1e3


def main() -> None:
    facts = Facts(
        direction="outgoing", sender="ann@inside.test", recipient="bob@outside.test", inside=True, size=5000,
        subject="Re: [confidential] the results of last week", usable=frozenset({"smime", "carrier"}),
    )  # fmt: skip
    print(f"{'the shipped rules alone':32}{microseconds(facts, read_rules(default_rules_text())):8.0f} us")
    print(f"{'looking into 1 MB for 20 patterns':32}{look_inside_ms() * 1e3:8.0f} us")
    for kind in KINDS:
        print(f"{'1,000 more, by ' + kind:32}{microseconds(facts, read_rules(document(kind, 1000))):8.0f} us")


if __name__ == "__main__":
    main()
