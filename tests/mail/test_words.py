from __future__ import annotations

import codecs
import time
from email.header import decode_header, make_header

import pytest

from securegw.mail.words import decode_charset, decode_words, encode_words


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("plain", "plain"),
        ("=?utf-8?q?Gr=C3=BC=C3=9Fe_aus?= Ulm", "Grüße aus Ulm"),
        ("=?ISO-8859-1?B?R3L832U=?=", "Grüße"),
        ("=?utf-8?b?R3LDvMOf?= =?utf-8?b?ZQ==?=", "Grüße"),
        ("=?utf-8?b?R3LD?=\r\n =?UTF-8?b?vMOfZQ==?=", "Grüße"),
        ("=?utf-8?q?a?= =?iso-8859-1?q?=FC?=", "aü"),
        ("=?utf-8*de?q?=C3=BC?= x =?utf-8?q?y?=", "ü x y"),
        ("=?x-unknown?q?a?=", "=?x-unknown?q?a?="),
        ("=?utf-8?q?a?= =?rot13?q?b?= =?utf-8?q?c?=", "a =?rot13?q?b?= c"),
        ("=?punycode?q?bcher-kva?=", "=?punycode?q?bcher-kva?="),
        ("=?utf-8?b?R3LDvMOfZQ?=", "Grüße"),
        ("=?utf-8?b?a?=", "=?utf-8?b?a?="),
        ("=?utf-8?q?=FF?=", "\ufffd"),
        ("=?utf-8?q?with space?=", "with space"),
        ("=?utf-8?x?a?=", "=?utf-8?x?a?="),
        ("=?utf-8?q?=?=", "="),
        ("=?iso-2022-jp?b?GyRCJEYkOSRIGyhC?=", "てすと"),
    ],
)
def test_decode_words(value: str, text: str) -> None:
    assert decode_words(value) == text


def test_unknown_charsets_leave_no_trace_in_the_interpreter() -> None:
    seen: list[str] = []
    codecs.register(lambda name: seen.append(name))
    decode_words("=?made-up-name?q?a?=")
    assert decode_charset(b"a\xfc", "made_up") == "aü"
    assert seen == []


@pytest.mark.parametrize(
    "text",
    [
        "plain",
        "Grüße",
        "ä" * 500,
        "word " * 100,
        "x" * 2000,
        "=?utf-8?q?literal?=",
        "\N{GRINNING FACE}" * 50,
        "",
        "a  b",
        "\ud800",
        "Re: " + "Übergrößenträger " * 20,
    ],
)
def test_encode_words_comes_back_and_keeps_lines_short(text: str) -> None:
    value = encode_words(text)
    wanted = text.encode("utf-8", "replace").decode().strip()
    assert decode_words(value.replace("\r\n ", " ")) == wanted
    assert str(make_header(decode_header(value.replace("\r\n", "")))) == wanted
    assert value.isascii()
    assert all(len(line) <= 78 for line in ("Subject: " + value).split("\r\n"))


def test_encode_words_leaves_no_control_characters() -> None:
    assert encode_words("a\r\nBcc: x\0\x85y") == "a Bcc: x y"


def test_many_words_cost_linear_time() -> None:
    start = time.process_time()
    for value in (
        "=?utf-8?q?x?= " * 100_000,
        "=?" * 200_000,
        "=?x?q?" * 100_000,
        "=?utf-8?b?" + "A" * 1_000_000,
    ):
        decode_words(value)
    assert time.process_time() - start < 4
