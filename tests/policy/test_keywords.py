"""Keywords: found wherever they stand, removed without a rest."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from securegw.mail.message import encode_words, read
from securegw.policy.facts import gather
from securegw.policy.keywords import read_bracket, read_control_field


def keywords_of(rules, subject_field: str, *, inside: bool = True):
    message = read(f"From: <ann@inside.test>\r\n{subject_field}\r\n\r\nbody\r\n".encode())
    facts = gather(
        message,
        direction="outgoing",
        sender="ann@inside.test",
        recipient="bob@outside.test",
        inside=inside,
        usable=(),
    )
    return rules.keywords.read(facts)


@pytest.mark.parametrize(
    ("field", "rest"),
    [
        ("Subject: [confidential] a b", "a b"),
        ("subject:[CoNfIdEnTiAl]a b", "a b"),
        ("Subject: a [confidential] b", "a b"),
        ("Subject: a b [confidential]", "a b"),
        ("Subject: [confidential] a [confidential] b [confidential]", "a b"),
        ("Subject: a\r\n [confidential]\r\n b", "a b"),
        ("Subject: a b\r\n\t[confidential]", "a b"),
        ("Subject: =?utf-8?q?=5Bconfidential=5D_a_b?=", "a b"),
        ("Subject: =?utf-8?b?W2NvbmZpZGVudGlhbF0gYSBi?=", "a b"),
        ("Subject: =?utf-8?q?=5Bconf?=\r\n =?utf-8?q?idential=5D?= a b", "a b"),
        ("Subject: [con[confidential]fidential] a b", "a b"),
        ("Subject: [con[con[confidential]fidential]fidential]a b", "a b"),
        ("Subject: [ confidential ] a b", "a b"),
        ("Subject: ［ｃｏｎｆｉｄｅｎｔｉａｌ］ a b", "a b"),
        ("Subject: [con\u200bfidential] a b", "a b"),
        ("Subject: [con\u00adfidential] a b", "a b"),
    ],
)
def test_found_and_removed(rules, field, rest) -> None:
    asked = keywords_of(rules, field)
    assert asked.keywords == {"confidential"}
    assert asked.subject == rest


@pytest.mark.parametrize(
    "field",
    [
        "Subject: confidential",
        "Subject: [confidential",
        "Subject: [confidentially]",
        "Subject: {confidential}",
        "X-Subject: [confidential]",
        "Comments: [confidential]",
        "Subject: [соnfidential]",  # a Cyrillic letter: not what one of our people types
    ],
)
def test_not_found(rules, field) -> None:
    asked = keywords_of(rules, field)
    assert not asked.keywords
    assert asked.subject is None


def test_the_body_and_parts_are_not_read(rules) -> None:
    raw = b"Subject: x\r\n\r\nSubject: [confidential]\r\nX-SMEnc: yes\r\n\r\n[confidential]\r\n"
    facts = gather(read(raw), direction="outgoing", sender="a@b.c", recipient="d@e.f", inside=True, usable=())
    assert not rules.keywords.read(facts).keywords


@pytest.mark.parametrize("field", ["Subject: [confidential] a", "Subject: a\r\nX-SMEnc: yes"])
def test_only_from_inside(rules, field) -> None:
    assert keywords_of(rules, field).keywords == {"confidential"}
    asked = keywords_of(rules, field, inside=False)
    assert (asked.keywords, asked.subject) == (frozenset(), None)


pieces = st.sampled_from(["[", "]", "conf", "idential", "[confidential]", "[plain]", "pl", "ain", " ", "\u200b", "x"])


@given(st.lists(pieces, max_size=30).map("".join))
def test_no_residue(rules, subject) -> None:
    rest, found = rules.keywords.remove(subject)
    seen = re.sub(r"[\s\u200b]", "", rest).lower()
    assert "[confidential]" not in seen and "[plain]" not in seen
    assert rules.keywords.remove(rest) == (rest, frozenset())
    if not found:
        assert rest == subject


@given(st.text(alphabet="abc [](){}ÄÖ\u0301", max_size=40))
def test_a_subject_without_keywords_is_unchanged(rules, subject) -> None:
    assert rules.keywords.remove(subject) == (subject, frozenset())


def test_the_rest_survives_the_way_through_the_header(rules) -> None:
    asked = keywords_of(rules, "Subject: =?utf-8?q?=5Bconfidential=5D_gr=C3=BC=C3=9Fe?=")
    assert asked.subject == "grüße"
    assert keywords_of(rules, f"Subject: {encode_words(asked.subject)}").keywords == frozenset()


def test_linear_in_the_length(rules) -> None:
    depth = 5000
    rest, found = rules.keywords.remove("[con" * depth + "[confidential]" + "fidential]" * depth)
    assert (rest, found) == ("", {"confidential"})


@pytest.mark.parametrize("text", ["plain", "[]", "[ ]", "[a][b]", "[[a]]", "[a\n]", 3, "[" + "a" * 90 + "]", "[!]"])
def test_what_cannot_be_a_keyword(text) -> None:
    with pytest.raises(ValueError):
        read_bracket(text)


@pytest.mark.parametrize("text", ["x-smenc", ": yes", "x smenc: yes", "x-smenc:"])
def test_what_cannot_be_a_control_field(text) -> None:
    with pytest.raises(ValueError):
        read_control_field(text)
