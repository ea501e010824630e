"""Values that come with keywords in the subject (S7, S8): found, cut without a rest, and part of no decision."""

from __future__ import annotations

import json

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from securegw.mail.message import encode_words, read
from securegw.policy.decide import decide
from securegw.policy.explain import explain
from securegw.policy.facts import gather
from securegw.policy.rules import RuleMistakes, read_rules

SECRET = "Correct horse 9"


def facts_of(subject: str, *, inside: bool = True, direction="outgoing"):
    message = read(f"Subject: {encode_words(subject)}\r\n\r\nbody\r\n".encode())
    return gather(
        message, direction=direction, sender="ann@inside.test", recipient="bob@outside.test", inside=inside, usable=()
    )


@pytest.mark.parametrize(
    ("subject", "number", "rest"),
    [
        ("[sms:+41 79 123 45 67] results", "+41791234567", "results"),
        ("results [SMS: 0041791234567 ]", "0041791234567", "results"),
        ("results [sms:079/123.45-67] of May", "0791234567", "results of May"),
        ("［ｓｍｓ：+41 79 123 45 67］results", "+41791234567", "results"),
        ("[s[confidential]ms:+41791234567] results", "+41791234567", "results"),
        ("[sms:+41791234567] [sms:+41 79 123 45 67] results", "", "results"),
    ],
)
def test_a_number_is_read_and_removed(rules, subject, number, rest) -> None:
    asked = rules.keywords.read(facts_of(subject))
    assert (asked.given.number, asked.subject) == (number, rest)
    assert "sms" in asked.keywords


@pytest.mark.parametrize("subject", [f"[zip:{SECRET}] x", f"x [ZIP: {SECRET} ]", f"[zip:{SECRET}] x [zip:{SECRET}]"])
def test_a_password_is_read_as_it_was_typed_and_removed(rules, subject) -> None:
    asked = rules.keywords.read(facts_of(subject))
    assert (asked.given.password, asked.subject) == (SECRET, "x")
    assert SECRET not in repr(asked)


@pytest.mark.parametrize(
    "subject",
    [
        "[zip:short] x",
        "[zip] x",
        "[zip:] x",
        "[zip:aaaaaaaaaaaa] x",
        "[zip:Grüße aus Bern] x",
        "[zip:" + "abcde" * 21 + "] x",
        f"[zip:{SECRET} x",
        f"[zip:{SECRET}] [zip:another one 9] x",
        "[sms:Ann's telephone] x",
        "[sms:12345] x",
        "[sms:+4179123456789012345] x",
        "[sms] x",
        "[sms:+41791234567] [sms:+41791234568] x",
        f"[zip:{SECRET}] [sms:+41791234567] x",
        "[zip:a]" * 3 + "[zi" * 9 + "[plain]" + f"p:{SECRET}]" * 9,
    ],
)
def test_what_cannot_be_used_goes_back_and_is_not_repeated(rules, subject) -> None:
    facts = facts_of(subject)
    decision = decide(facts, rules)
    assert (decision.outcome, decision.reason) == ("refuse", "keyword-value")
    assert SECRET not in decision.sentence
    assert "+4179" not in decision.sentence


def test_no_decision_has_a_value(rules) -> None:
    for value, method in ((f"zip:{SECRET}", "zip"), ("sms:+41791234567", "carrier")):
        facts = facts_of(f"[{value}] x")
        decision = decide(facts.to("bob@outside.test", {"zip", "carrier"}), rules)
        assert (decision.outcome, decision.method) == ("send", method)
        told = json.dumps(decision.as_dict()) + "".join(explain(decision))
        assert value.partition(":")[2] not in told


@pytest.mark.parametrize("ground", [{"examined": False}, {"opened_here": True}])
def test_the_password_is_used_where_a_mail_must_be_encrypted_for_another_reason(rules, ground) -> None:
    facts = attrs.evolve(facts_of(f"[zip:{SECRET}] x"), **ground)
    assert decide(facts.to("bob@outside.test", {"zip", "carrier", "smime"}), rules).method == "zip"
    assert decide(facts.to("bob@outside.test", {"carrier", "smime"}), rules).method == "smime"


@pytest.mark.parametrize(("inside", "direction"), [(False, "outgoing"), (False, "incoming"), (True, "internal")])
def test_only_outgoing_mail_of_ours_gives_values(rules, inside, direction) -> None:
    facts = facts_of(f"[zip:{SECRET}] x", inside=inside, direction=direction)
    assert rules.keywords.read(facts).given.password == ""


@given(st.text(alphabet="[]zip:sm ab1９［］：", max_size=60))
def test_whatever_is_typed_no_closed_keyword_stays(text: str) -> None:
    rules = read_rules(RULES)
    facts = facts_of(text)
    asked = rules.keywords.read(facts)
    if asked.subject is not None and not asked.given.problem:
        assert rules.keywords.remove(asked.subject) == (asked.subject, frozenset())


RULES = '[keywords]\nzip = "[zip:PASSWORD]"\n[[rule]]\nname = "a"\nencrypt = "must"\n'


def test_words_that_stand_for_no_value_are_words() -> None:
    rules = read_rules('[keywords]\nnote = "[note:SECRET]"\n[[rule]]\nname = "a"\nencrypt = "must"\n')
    asked = rules.keywords.read(facts_of("[note:secret] x"))
    assert (asked.keywords, asked.subject, asked.given.password) == ({"note"}, "x", "")


def test_the_same_word_twice_is_a_mistake() -> None:
    with pytest.raises(RuleMistakes, match="stands for"):
        read_rules('[keywords]\na = "[zip:PASSWORD]"\nb = "[ZIP:NUMBER]"\n[[rule]]\nname = "a"\nencrypt = "must"\n')
