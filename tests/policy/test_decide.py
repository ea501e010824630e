"""Deciding: the sending rows of the feature table with the shipped rules, and what must hold with any rules."""

from __future__ import annotations

from itertools import chain, combinations

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from securegw.policy.decide import decide
from securegw.policy.decision import Decision
from securegw.policy.facts import Facts
from securegw.policy.rules import read_rules

ALL = ("smime", "carrier")
CARRIER_ONLY = ("carrier",)


def subsets(names):
    return chain.from_iterable(combinations(names, size) for size in range(len(names) + 1))


@pytest.mark.parametrize(
    ("subject", "usable", "outcome", "methods", "rest"),
    [
        # S1 encrypted or not at all, and no keyword behind us
        ("[confidential] results", ALL, "send", ALL, "results"),
        ("[confidential] results", CARRIER_ONLY, "send", CARRIER_ONLY, "results"),
        ("[confidential] results", (), "refuse", (), "results"),
        ("[confidential] results", None, "wait", (), "results"),
        # S2 no crypto although keys exist
        ("[plain] menu", ALL, "send", (), "menu"),
        ("[noenc] menu", ALL, "send", (), "menu"),
        ("[noenc] menu", None, "send", (), "menu"),
        # S3 the portal although a certificate is stored
        ("[priv] results", ALL, "send", CARRIER_ONLY, "results"),
        ("[priv] results", ("smime",), "refuse", (), "results"),
        ("[priv] [confidential] results", ALL, "send", CARRIER_ONLY, "results"),
        # S6 any place, any case, whole bracket only
        ("results [CONFIDENTIAL]", ALL, "send", ALL, "results"),
        ("re[Confidential]sults", ALL, "send", ALL, "results"),
        ("Re: [confidential] results", ALL, "send", ALL, "Re: results"),
        ("confidential results", CARRIER_ONLY, "send", (), None),
        ("[confidential", CARRIER_ONLY, "send", (), None),
        ("[confidential report]", CARRIER_ONLY, "send", (), None),
        ("(confidential)", CARRIER_ONLY, "send", (), None),
        # no keyword: by certificate if there is one
        ("hello", ALL, "send", ("smime",), None),
        ("hello", CARRIER_ONLY, "send", (), None),
        ("hello", None, "wait", (), None),
        ("", (), "send", (), None),
        ("[confidential]", ALL, "send", ALL, ""),
    ],
)
def test_keywords_in_the_subject(rules, outgoing, subject, usable, outcome, methods, rest) -> None:
    decision = decide(outgoing(subject, usable=usable), rules)
    assert (decision.outcome, decision.methods, decision.subject) == (outcome, methods, rest)
    if outcome == "send":
        assert decision.method == (methods[0] if methods else "plain")
        assert decision.sentence == ""
    else:
        assert decision.method == ""
        assert decision.sentence


@pytest.mark.parametrize(
    ("field", "value", "methods", "stripped"),
    [
        # S4 Sensitivity, both spellings; it is the reader's too and stays
        ("Sensitivity", "company-confidential", ALL, ()),
        ("Sensitivity", "Company-Confidential", ALL, ()),
        ("Sensitivity", "companyconfidential", ALL, ()),
        ("Sensitivity", "private", CARRIER_ONLY, ()),
        ("Sensitivity", "personal", ("smime",), ()),
        # S5 control fields, whatever they say, never leave
        ("X-SMEnc", "yes", ALL, ("x-smenc",)),
        ("x-smenc", " YES ", ALL, ("x-smenc",)),
        ("X-SMWebmail", "yes", CARRIER_ONLY, ("x-smwebmail",)),
        ("X-SMPlain", "yes", (), ("x-smplain",)),
        ("X-SMEnc", "no", ("smime",), ("x-smenc",)),
    ],
)
def test_control_fields(rules, outgoing, field, value, methods, stripped) -> None:
    decision = decide(outgoing(headers={field: value}), rules)
    assert decision.outcome == "send"
    assert decision.methods == methods
    assert decision.strip_fields == stripped


@pytest.mark.parametrize(
    ("subject", "may_sign", "outcome", "sign", "must"),
    [
        ("hello", True, "send", True, False),
        ("hello", False, "send", False, False),
        ("[sign] hello", True, "send", True, True),
        ("[nosign] hello", True, "send", False, False),
        ("[plain] hello", True, "send", False, False),
        ("[confidential] hello", True, "send", True, False),
        ("[sign] hello", False, "refuse", False, True),  # S14
    ],
)
def test_signing(rules, outgoing, subject, may_sign, outcome, sign, must) -> None:
    decision = decide(outgoing(subject, may_sign=may_sign), rules)
    assert (decision.outcome, decision.sign, decision.must_sign) == (outcome, sign, must)


@pytest.mark.parametrize(
    ("subject", "outcome", "method", "reason"),
    [
        ("[confidential] hello", "refuse", "", "may-not-encrypt"),
        ("[priv] hello", "refuse", "", "may-not-encrypt"),
        ("hello", "send", "plain", "signed and encrypted where the keys are there"),
        ("[plain] hello", "send", "plain", "the sender asked for neither signature nor encryption"),
    ],
)
def test_sender_who_may_not_encrypt(rules, outgoing, subject, outcome, method, reason) -> None:  # S14
    decision = decide(outgoing(subject, may_encrypt=False), rules)
    assert (decision.outcome, decision.method, decision.reason) == (outcome, method, reason)


@pytest.mark.parametrize(
    ("subject", "headers", "named"),
    [
        ("[plain] [confidential] x", {}, ("[plain]", "[confidential]")),
        ("[confidential] x", {"X-SMPlain": "yes"}, ("[plain]", "[confidential]")),
        ("[plain] x", {"Sensitivity": "private"}, ("[plain]", "[priv]")),
        ("[noenc][priv] x", {}, ("[noenc]", "[priv]")),
        ("[sign][nosign] x", {}, ("[sign]", "[nosign]")),
        ("[sign][plain] x", {}, ("[sign]", "[plain]")),
        ("[con[plain]fidential] x", {}, ("[plain]", "[confidential]")),
    ],
)
def test_contradictions_go_back(rules, outgoing, subject, headers, named) -> None:  # S11
    decision = decide(outgoing(subject, headers=headers), rules)
    assert (decision.outcome, decision.reason, decision.method) == ("refuse", "contradiction", "")
    assert all(text in decision.sentence for text in named)


@pytest.mark.parametrize("subject", ["[plain][noenc] x", "[nosign][confidential] x", "[priv][confidential][sign] x"])
def test_wishes_that_agree_are_no_contradiction(rules, outgoing, subject) -> None:
    assert decide(outgoing(subject), rules).outcome == "send"


def test_nothing_usable_is_told_to_the_sender(rules, outgoing) -> None:  # S12
    decision = decide(outgoing("[confidential] x", usable=()), rules)
    assert (decision.outcome, decision.reason, decision.rule) == (
        "refuse",
        "no-method",
        "asked for encryption",
    )
    assert "no way" in decision.sentence


HIERARCHY = ("smime", "openpgp", "smime-domain", "openpgp-domain", "tls", "carrier")
HIERARCHY_RULES = """
[[rule]]
name = "all"
encrypt = "must"
methods = ["smime", "openpgp", "smime-domain", "openpgp-domain", "tls", "carrier"]
"""


@pytest.mark.parametrize("usable", list(subsets(HIERARCHY)))
def test_hierarchy(outgoing, usable) -> None:  # S15: every combination of what the recipient has
    decision = decide(outgoing(usable=usable), read_rules(HIERARCHY_RULES, methods=HIERARCHY))
    best = next((name for name in HIERARCHY if name in usable), "")
    assert (decision.method, decision.outcome) == (best, "send" if usable else "refuse")
    assert decision.methods == tuple(name for name in HIERARCHY if name in usable)


def test_policy_per_target_beats_the_rest(outgoing, rules) -> None:  # S16
    when = 'when.recipient = ["@lab.test", "*.lab.test"]'
    own = f'[[rule]]\nname = "lab"\n{when}\nencrypt = "must"\nmethods = ["carrier"]\n'
    book = read_rules(rules.text.replace("\n[[rule]]\n", f"\n{own}\n[[rule]]\n", 1))
    for recipient, methods in [
        ("x@lab.test", CARRIER_ONLY),
        ("x@a.lab.test", CARRIER_ONLY),
        ("x@notlab.test", ("smime",)),
        ("x@lab.test.evil", ("smime",)),
    ]:
        assert decide(outgoing(recipient=recipient), book).methods == methods
    assert decide(outgoing("[plain] x", recipient="x@lab.test"), book).methods == CARRIER_ONLY


def test_mixed_recipients_each_get_their_own(rules, outgoing) -> None:  # S13
    facts = outgoing("[confidential] x")
    decisions = [decide(facts.to(*pair), rules) for pair in [("a@x.test", ALL), ("b@x.test", ()), ("c@x.test", None)]]
    assert [decision.outcome for decision in decisions] == ["send", "refuse", "wait"]


def test_meeting_requests_can_be_exempt(outgoing) -> None:  # S20
    book = read_rules(
        '[[rule]]\nname = "calendar"\nwhen = {calendar = true}\nunless = {size_over = "1 KB"}\nencrypt = "never"\n'
        '[[rule]]\nname = "all"\nencrypt = "must"\n'
    )
    assert decide(outgoing(calendar=True, size=100), book).method == "plain"
    assert decide(outgoing(calendar=True, size=2000), book).method == "smime"
    assert decide(outgoing(calendar=False, size=100), book).method == "smime"


def test_incoming_is_marked_and_not_touched_otherwise(rules, outgoing) -> None:
    facts = outgoing("[confidential] hello", direction="incoming", inside=False, usable=None)
    decision = decide(facts, rules)
    assert (decision.outcome, decision.method, decision.sign) == ("send", "plain", False)
    assert (decision.mark, decision.tag, decision.subject) == (True, True, None)


def test_internal_mail_is_untouched(rules, outgoing) -> None:
    facts = outgoing("[confidential] hello", direction="internal", headers={"x-smenc": "yes"}, usable=None)
    decision = decide(facts, rules)
    assert (decision.outcome, decision.method, decision.sign) == ("send", "plain", False)
    assert (decision.mark, decision.tag, decision.subject, decision.strip_fields) == (False, False, None, ())


@pytest.mark.parametrize("direction", ["incoming", "outgoing"])
def test_a_stranger_cannot_plant_a_control_field(rules, outgoing, direction) -> None:
    """An inner server that sends it on would otherwise speak for the stranger."""
    facts = outgoing(headers={"X-SMPlain": "yes"}, inside=False, direction=direction)
    assert decide(facts, rules).strip_fields == ("x-smplain",)


def test_two_subjects_with_a_keyword_go_back(rules, outgoing) -> None:
    facts = attrs.evolve(outgoing("hello"), headers={"subject": ("hello", "[confidential] hello")})
    assert decide(facts, rules).reason == "two-subjects"
    facts = attrs.evolve(outgoing("hello"), headers={"subject": ("hello", "hello again")})
    assert decide(facts, rules).outcome == "send"


def test_copies_of_the_subject_do_not_betray_the_keyword(rules, outgoing) -> None:
    facts = outgoing("Re: x", headers={"Thread-Topic": "[confidential] x"})
    assert decide(facts, rules).strip_fields == ("thread-topic",)
    facts = outgoing("Re: x", headers={"Thread-Topic": "x"})
    assert decide(facts, rules).strip_fields == ()


def test_no_rule_no_mail(outgoing) -> None:
    decision = decide(outgoing(), read_rules(""))
    assert (decision.outcome, decision.reason) == ("wait", "no-rule")
    incoming = decide(outgoing(direction="incoming", inside=False), read_rules(""))
    assert (incoming.outcome, incoming.method, incoming.mark) == ("send", "plain", True)


def test_refusal_and_exemption(outgoing) -> None:
    book = read_rules(
        '[[rule]]\nname = "friend"\nwhen = {sender = "ann@inside.test"}\nrefuse = false\n'
        '[[rule]]\nname = "no"\nreason = "closed"\nrefuse = "Nothing leaves on Sundays."\nencrypt = "never"\n'
    )
    assert decide(outgoing(), book).outcome == "send"
    decision = decide(outgoing(sender="carl@inside.test"), book)
    assert (decision.outcome, decision.reason, decision.rule) == ("refuse", "closed", "no")
    assert decision.sentence == "Nothing leaves on Sundays."


USABLE_RULES = """
[[rule]]
name = "with certificate"
when = { usable = "smime" }
encrypt = "must"
methods = ["smime"]
[[rule]]
name = "rest"
encrypt = "never"
"""


@pytest.mark.parametrize(
    ("usable", "outcome", "method"), [(ALL, "send", "smime"), ((), "send", "plain"), (None, "wait", "")]
)
def test_a_fact_that_is_not_known_now_makes_the_mail_wait(outgoing, usable, outcome, method) -> None:
    decision = decide(outgoing(usable=usable), read_rules(USABLE_RULES))
    assert (decision.outcome, decision.method) == (outcome, method)
    if outcome == "wait":
        assert (decision.reason, decision.rule) == ("not-known-now", "with certificate")


def test_what_is_unknown_does_not_matter_once_all_is_decided(outgoing) -> None:
    first = '[[rule]]\nname = "first"\nwhen = {sender = "@inside.test"}\nencrypt = "never"\nmethods = ["smime"]\n'
    assert decide(outgoing(usable=None), read_rules(first + USABLE_RULES)).method == "plain"


def test_the_first_rule_that_speaks_decides_each_aspect(outgoing) -> None:
    book = read_rules(
        '[[rule]]\nname = "a"\nsign = "always"\n'
        '[[rule]]\nname = "b"\nsign = "never"\nencrypt = "must"\nmethods = ["carrier"]\n'
        '[[rule]]\nname = "c"\nencrypt = "never"\nmethods = ["smime"]\ntag = true\n'
    )
    decision = decide(outgoing(), book)
    by = {ruling.aspect: (ruling.rule, ruling.value) for ruling in decision.rulings}
    assert by == {
        "refuse": ("", False),
        "quarantine": ("", False),
        "sign": ("a", "always"),
        "encrypt": ("b", "must"),
        "methods": ("b", ("carrier",)),
        "mark": ("", False),
        "tag": ("c", True),
        "otherwise": ("", "refuse"),
        "strip": ("", ()),
        "banner": ("", False),
        "signature": ("", "keep"),
        "copy": ("", False),
    }
    assert decision.tag and decision.sign and decision.method == "carrier"


KEYWORDS = ("plain", "confidential", "priv", "sign", "nosign", "noenc")
one_keyword = st.sampled_from(KEYWORDS).map(lambda name: f"[{name}]")
subjects = st.lists(st.one_of(one_keyword, st.text(max_size=8)), max_size=6).map("".join)
rule_text = st.builds(
    lambda when, says: when + says,
    st.sampled_from(
        [
            "",
            'when = {keyword = "confidential"}\n',
            'when = {usable = "smime"}\n',
            'unless = {usable = "carrier"}\n',
            'when = {direction = "outgoing"}\n',
            "when = {inside = true}\n",
            'when = {recipient = "@outside.test"}\n',
        ]
    ),
    st.sampled_from(
        [
            'encrypt = "must"\n',
            'encrypt = "possible"\n',
            'encrypt = "never"\n',
            'methods = ["carrier"]\n',
            'methods = ["smime"]\nencrypt = "must"\n',
            'sign = "always"\n',
            'refuse = "No."\n',
            "tag = true\n",
        ]
    ),
)
any_facts = st.builds(
    lambda subject, **more: Facts(
        sender="ann@inside.test",
        recipient="bob@outside.test",
        subject=subject,
        headers={"subject": (subject,)},
        **more,
    ),
    subject=subjects,
    direction=st.sampled_from(["outgoing", "incoming", "internal"]),
    inside=st.booleans(),
    may_sign=st.booleans(),
    may_encrypt=st.booleans(),
    usable=st.one_of(st.none(), st.sets(st.sampled_from(ALL))),
    calendar=st.booleans(),
)


@given(any_facts, st.lists(rule_text, max_size=5))
def test_never_plain_where_a_ruling_says_must(facts, parts) -> None:
    head = "[keywords]\n" + "".join(f'{name} = "[{name}]"\n' for name in KEYWORDS)
    book = read_rules(head + "".join(f'[[rule]]\nname = "{n}"\n{part}' for n, part in enumerate(parts)))
    decision = decide(facts, book)
    if decision.must_encrypt:
        assert decision.method != "plain"
        assert decision.outcome != "send" or decision.method in (facts.usable or ())
    if decision.outcome == "send" and decision.method != "plain":
        assert facts.may_encrypt and set(decision.methods) <= set(facts.usable or ())
    if decision.sign:
        assert facts.may_sign
    assert Decision.from_dict(decision.as_dict()) == decision


@given(any_facts)
def test_an_outside_sender_triggers_nothing(rules, facts) -> None:
    asked = attrs.evolve(facts, inside=False)
    silent = attrs.evolve(asked, subject="x", headers={"subject": ("x",)})
    assert decide(asked, rules) == decide(silent, rules)


@given(any_facts)
def test_deciding_twice_gives_the_same(rules, facts) -> None:
    assert decide(facts, rules) == decide(facts, rules)
