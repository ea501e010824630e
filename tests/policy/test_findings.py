"""What patterns find: digits with and without gaps, whole words, checked numbers; what cannot be looked at is said."""

from __future__ import annotations

import base64
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from securegw.policy import findings
from securegw.policy.findings import ean13, examine, iban, luhn, read_pattern

HEAD = b"From: a@b.test\r\nMIME-Version: 1.0\r\nSubject: "


def found(raw: bytes, *texts: str, check: str = "", least: int = 1) -> bool:
    return bool(examine(raw, [read_pattern("p", texts, check, least)]).found)


def mail(text: str, subject: str = "x", kind: str = "text/plain; charset=utf-8") -> bytes:
    return HEAD + subject.encode() + f"\r\nContent-Type: {kind}\r\n\r\n{text}\r\n".encode()


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("case ######", "see case 123456.", True),
        ("case ######", "see CASE\u00a0 123456", True),
        ("case ######", "see case\r\n123456", True),
        ("case ######", "see case 1234567", False),
        ("case ######", "showcase 123456", False),
        ("case ######", "case 12345", False),
        ("756~####~####~##", "756.1234.5678.97", True),
        ("756~####~####~##", "7561234567897", True),
        ("756~####~####~##", "756 1234 5678 97", True),
        ("756~####~####~##", "1756.1234.5678.97", False),
        ("@@##", "ab12", True),
        ("@@##", "äö12", True),
        ("@@##", "a_12", False),
        ("[secret]", "it is [secret]!", True),
        ("a.b*c", "a.b*c", True),
        ("a.b*c", "aXbbc", False),
        ("diagnosis", "the Diagnosis:", True),
        ("diagnosis", "diagnosises", False),
        ("Straße", "STRASSE", False),
    ],
)
def test_patterns(pattern: str, text: str, expected: bool) -> None:
    assert found(mail(text), pattern) is expected


@pytest.mark.parametrize("text", ["", "  ", "---", "~", "a\n", "x" * 101, 7, None])
def test_what_is_no_pattern(text: object) -> None:
    with pytest.raises(ValueError):
        read_pattern("p", [text])


@pytest.mark.parametrize(("check", "least"), [("crc", 1), ("luhn", 0), ("luhn", 1001), ("luhn", True), ("luhn", "2")])
def test_what_is_no_check(check: object, least: object) -> None:
    with pytest.raises(ValueError):
        read_pattern("p", ["####"], check, least)


@pytest.mark.parametrize(
    ("check", "good", "bad"),
    [
        (luhn, ["4111111111111111", "378282246310005"], ["4111111111111112", "0", "41111x1111111111"]),
        (iban, ["CH9300762011623852957", "DE89370400440532013000"], ["CH9300762011623852958", "X", "1234567890123456"]),
        (ean13, ["7569217076985"], ["7569217076986", "756921707698", "756921707698x"]),
    ],
)
def test_checks(check, good, bad) -> None:
    assert all(check(each) for each in good)
    assert not any(check(each) for each in bad)


def test_a_check_and_a_number_of_different_ones() -> None:
    card, other = "4111 1111 1111 1111", "4012 8888 8888 1881"
    pattern = "####~####~####~####"
    assert found(mail(card), pattern, check="luhn")
    assert not found(mail(card[:-1] + "2"), pattern, check="luhn")
    assert not found(mail(f"{card} {card}"), pattern, check="luhn", least=2)
    assert found(mail(f"{card} and {other}"), pattern, check="luhn", least=2)


MIXED = (
    HEAD + b"x\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n%b\r\n--b--\r\n"
)


@pytest.mark.parametrize(
    "raw",
    [
        mail("x", "the word"),
        mail("x", "=?utf-8?b?dGhlIHdvcmQ=?="),
        mail("the word"),
        mail("<p>the <b>w</b>or<i>d</i></p>", kind="text/html"),
        mail("<p>the&nbsp;&#119;ord</p>", kind="text/html"),
        mail("<td>the</td><td>word</td>", kind="text/html"),
        MIXED % (b"Content-Type: text/csv\r\nContent-Disposition: attachment; filename=a.csv\r\n\r\n1,the word,2"),
        MIXED % (b"Content-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\ndGhlIHdvcmQ="),
        MIXED % (b"Content-Type: text/plain\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nthe =77=6F=\r\nrd"),
        MIXED % (b"Content-Type: text/plain; charset=utf-16\r\nContent-Transfer-Encoding: base64\r\n\r\n"
                 + base64.b64encode("the word".encode("utf-16"))),
        MIXED % b"Content-Type: message/rfc822\r\n\r\nSubject: the word\r\n\r\nx",
        MIXED % b"Content-Type: message/rfc822\r\n\r\nSubject: x\r\n\r\nthe word",
        MIXED % b"Content-Type: application/pdf; name=\"the word.pdf\"\r\n\r\nx",
        MIXED % b"Content-Type: application/pdf; name*=utf-8''the%20word.pdf\r\n\r\nx",
    ],
)  # fmt: skip
def test_where_it_is_looked_for(raw: bytes) -> None:
    result = examine(raw, [read_pattern("p", ["the word"])])
    assert (result.found, result.examined) == ({"p"}, True)
    assert not examine(raw, [read_pattern("p", ["another word"])]).found


def test_names_of_files() -> None:
    named = b'Content-Disposition: attachment; filename="=?utf-8?q?gr=C3=BC=C3=9Fe.exe?="'
    raw = MIXED % (b"Content-Type: a/b\r\n" + named + b"\r\n\r\nx")
    assert examine(raw, ()).attachments == ("grüße.exe",)


def deep(levels: int) -> bytes:
    part = b"Content-Type: text/plain\r\n\r\nthe word"
    for number in range(levels):
        kind = b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n" % number
        part = kind + b"--b%d\r\n%b\r\n--b%d--" % (number, part, number)
    return HEAD + b"x\r\n" + part


@pytest.mark.parametrize(
    "raw",
    [
        deep(60),
        MIXED.replace(b"boundary=b", b"boundary=c") % b"x",
        mail("x", kind="text/plain; charset=utf-8\r\nContent-Type: text/html"),
        HEAD + b"x\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n\r\nx\r\n" * 1500,
        mail("x" * (findings.TEXT_MOST + 10)),
    ],
    ids=["deep", "no parts", "two kinds", "many parts", "much text"],
)
def test_threat_5_5_27_what_cannot_be_looked_at_is_said(raw: bytes) -> None:
    result = examine(raw, [read_pattern("p", ["another word"])])
    assert (result.found, result.examined) == (frozenset(), False)


def test_the_subject_counts_though_the_rest_cannot_be_looked_at() -> None:
    raw = deep(60).replace(b"Subject: x", b"Subject: the word", 1)
    assert examine(raw, [read_pattern("p", ["the word"])]).found == {"p"}


@given(st.text(alphabet="0123456789 .-\r\nabc", max_size=200))
def test_any_text_is_looked_at(text: str) -> None:
    patterns = [read_pattern("p", ["##~##", "a ~b", "@@@"], "luhn", 3)]
    assert examine(mail(text), patterns).examined in (True, False)


@given(
    st.text(alphabet="aAiI\u0130\u0131sSß\u017fkK\u212a 1", max_size=30),
    st.text(alphabet="aisßk1#@~ ", min_size=1, max_size=8),
)
def test_what_a_pattern_needs_is_there_wherever_it_fits(text: str, pattern: str) -> None:
    try:
        read = read_pattern("p", [pattern])
    except ValueError:
        return
    if read.expression.search(text):
        assert not read.needs or any(need in findings.fold(text) for need in read.needs)


def test_patterns_go_to_a_worker() -> None:
    pattern = read_pattern("p", ["##~##", "a b"], "luhn", 3)
    assert pickle.loads(pickle.dumps(pattern)) == pattern


def test_what_is_built_to_cost_much_costs_little() -> None:
    """In quadratic time this would not come back."""
    patterns = [read_pattern(f"p{n}", ["#~#~#~#~#~#~#~x", "a b c d e f"], "", 1000) for n in range(20)]
    assert not found(mail("1" * 100_000 + " " * 100_000 + "<" * 100_000, kind="text/html"), "q")
    assert examine(mail("1 " * 50_000 + "a" + " " * 100_000), patterns).examined
