from __future__ import annotations

import itertools
import re
import time

import pytest

from securegw.mail.address import Address
from securegw.mail.envelope import Envelope, Source
from securegw.mail.errors import BareLine, HeaderTooLarge
from securegw.mail.message import (
    WireCheck,
    check_wire,
    field_line,
    prepend,
    prepended,
    read,
    with_field,
    without,
)
from securegw.mail.trace import received_line

RAW = (
    b"Received: from a\r\n\tby b;\r\n\tMon\r\n"
    b"From: ann@inside.test\r\n"
    b"SUBJECT: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n and more\r\n"
    b"X-Securegw-Status: ok\r\nX_SECUREGW_Mark: ok\r\nX-Other: 1\r\n"
    b"\r\n.body\r\n\r\nX-Securegw-Status: in the body\r\n"
)


def rejoin(raw: bytes) -> bytes:
    message = read(raw)
    separator = raw[message.header_end : message.body_at]
    assert separator in (b"", b"\n", b"\r\n")
    return b"".join(field.raw for field in message.fields) + separator + message.body


def test_cuts_into_fields_and_body() -> None:
    message = read(RAW)
    assert [field.name for field in message.fields][:3] == [b"Received", b"From", b"SUBJECT"]
    assert message.fields[0].value == b"from a\tby b;\tMon"
    assert message.first("subject") == "=?utf-8?q?Gr=C3=BC=C3=9Fe?= and more"
    assert message.first("absent") is None
    assert message.count("X-OTHER") == 1
    assert message.body.startswith(b".body\r\n")
    assert message.header + b"\r\n" + message.body == RAW


@pytest.mark.parametrize(
    ("raw", "names", "body"),
    [
        (b"", [], b""),
        (b"\r\nbody", [], b"body"),
        (b"\nbody", [], b"body"),
        (b"just text\r\n", [], b"just text\r\n"),
        (b"just text\r\n\r\nmore", [], b"just text\r\n\r\nmore"),
        (b"A: 1", [b"A"], b""),
        (b"A: 1\r\n", [b"A"], b""),
        (b"A: 1\r\nB: 2\r\n\r\n", [b"A", b"B"], b""),
        (b"A: 1\nB: 2\n\nx\r\n\r\ny", [b"A", b"B"], b"x\r\n\r\ny"),
        (b"A: 1\r\n\r\nx\n\ny", [b"A"], b"x\n\ny"),
        (b"A: 1\r\nno field\r\n cont\r\nB: 2\r\n\r\nx", [b"A", b"", b"B"], b"x"),
        (b"From ann Mon Jan 1\r\nA: 1\r\n\r\nx", [b"", b"A"], b"x"),
        (b" starts with space\r\nA: 1\r\n\r\nx", [], b" starts with space\r\nA: 1\r\n\r\nx"),
        (b"A : 1\r\nB\t:2\r\n\r\nx", [b"A", b"B"], b"x"),
        (b": 1\r\nA: 1\r\n\r\n", [b"", b"A"], b""),
        (b"A:\r\n \r\n x\r\n\r\n", [b"A"], b""),
    ],
)
def test_odd_mail_is_cut_without_losing_a_byte(raw: bytes, names: list[bytes], body: bytes) -> None:
    message = read(raw)
    assert [field.name for field in message.fields] == names
    assert message.body == body
    assert rejoin(raw) == raw


def test_eight_bit_values_are_text() -> None:
    message = read("A: Grüße\r\n".encode() + "A: Grüße\r\n\r\n".encode("latin-1"))
    assert message.all("a") == ("Grüße", "Grüße")


@pytest.mark.parametrize(
    "raw",
    [
        b"a: 1\r\n" * 2001 + b"\r\nx",
        b"Subject: x\r\n" * 100_000 + b"\r\nx",
        b"a:\n" * 1_000_000,
        b"Subject: " + b"x" * 10_000_000 + b"\r\n\r\nbody",
        b"a: 1\r\n" + b" x\r\n" * 1_000_000,
    ],
)
def test_monstrous_headers_are_refused_quickly(raw: bytes) -> None:
    start = time.process_time()
    with pytest.raises(HeaderTooLarge):
        read(raw)
    assert time.process_time() - start < 1


def test_the_largest_allowed_header_passes() -> None:
    assert len(read(b"a: 1\r\n" * 2000 + b"\r\nx").fields) == 2000
    assert read(b"a: " + b"x" * (256 * 1024 - 5) + b"\r\n\r\nbody").body == b"body"


def test_without_cuts_only_the_named_fields() -> None:
    kept = without(read(RAW), ["x-securegw-*", "subject"])
    assert kept == b"".join(
        [
            b"Received: from a\r\n\tby b;\r\n\tMon\r\nFrom: ann@inside.test\r\nX-Other: 1\r\n",
            b"\r\n.body\r\n\r\nX-Securegw-Status: in the body\r\n",
        ]
    )
    assert without(read(RAW), ["x-none", "x-oth"]) == RAW
    assert without(read(RAW), []) == RAW


def test_without_sees_fields_behind_a_line_that_is_none() -> None:
    raw = b"A: 1\r\nno field\r\nX-Securegw-Status: ok\r\n\r\nbody"
    assert without(read(raw), ["x-securegw-*"]) == b"A: 1\r\nno field\r\n\r\nbody"


def test_without_all_fields_leaves_the_empty_line() -> None:
    assert without(read(b"A: 1\r\n\r\nB: 2\r\n"), ["a"]) == b"\r\nB: 2\r\n"


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"A: 1\r\nB: 2\r\n\r\nx", b"A: 1\r\nB: new\r\n\r\nx"),
        (b"b: 2\r\n x\r\nB: 3\r\n\r\nx", b"B: new\r\nB: 3\r\n\r\nx"),
        (b"A: 1\r\n\r\nx", b"A: 1\r\nB: new\r\n\r\nx"),
        (b"A: 1", b"A: 1\r\nB: new\r\n"),
        (b"\r\nx", b"B: new\r\n\r\nx"),
        (b"text only", b"B: new\r\n\r\ntext only"),
    ],
)
def test_with_field_replaces_in_place_or_appends(raw: bytes, expected: bytes) -> None:
    assert with_field(read(raw), "B", "new") == expected


@pytest.mark.parametrize("value", ["a\r\nX: 1", "a\nb", "a\rb", "a\r\n \r\n x", "a\0b", "a\r\n", "\r\n\r\nbody"])
def test_no_value_can_add_a_field_or_end_the_header(value: str) -> None:
    with pytest.raises(ValueError, match="not fit"):
        field_line("Subject", value)


@pytest.mark.parametrize("name", ["", "a b", "a:", "ü", "a\r\nb"])
def test_no_name_can_add_a_field(name: str) -> None:
    with pytest.raises(ValueError, match="not fit"):
        field_line(name, "x")


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"A: 1\r\n\r\nx", b"T: 1\r\nA: 1\r\n\r\nx"),
        (b"\r\nx", b"T: 1\r\n\r\nx"),
        (b"text only", b"T: 1\r\n\r\ntext only"),
        (b"", b"T: 1\r\n"),
        (b" space\r\nA: 1\r\n\r\n", b"T: 1\r\n\r\n space\r\nA: 1\r\n\r\n"),
        (b"no field\r\nA: 1\r\n\r\n", b"T: 1\r\nno field\r\nA: 1\r\n\r\n"),
    ],
)
def test_prepend_never_makes_a_body_part_of_the_header(raw: bytes, expected: bytes) -> None:
    assert prepend(raw, b"T: 1\r\n") == expected


@pytest.mark.parametrize(
    "raw",
    [
        RAW,
        b"A: 1\r\n\r\nx",
        b"A: 1",
        b"\r\nx",
        b"text only",
        b"",
        b" space\r\nA: 1\r\n\r\n",
        b"no field\r\nA: 1\r\n\r\n",
        b"A: 1\n\nlone line ends",
        b"X: 1\r\n" * 1999 + b"\r\nmany",
        b"X: " + b"long" * 65_000 + b"\r\n\r\nlong",
    ],
)
def test_prepended_is_what_reading_it_again_would_find(raw: bytes) -> None:
    line = b"Received: from a\r\n\tby b\r\n"
    assert prepended(read(raw), line) == read(prepend(raw, line))


@pytest.mark.parametrize("raw", [b"X: 1\r\n" * 2000 + b"\r\n", b"X: " + b"long" * 65_535 + b"\r\n\r\n"])
def test_prepended_may_make_a_monster(raw: bytes) -> None:
    """As reading it again would say, and will after a restart."""
    assert read(raw).fields
    with pytest.raises(HeaderTooLarge):
        prepended(read(raw), b"Received: by b\r\n")


def envelope(source: Source, *recipients: Address, utf8: bool = False) -> Envelope:
    return Envelope("t-1", Address("ann", "x.test"), recipients, source, 1_700_000_000.0, utf8=utf8)


def test_received_line_of_a_peer() -> None:
    source = Source("smtp", "192.0.2.1", 25, helo="mail.x.test", tls="TLSv1.3")
    line = received_line(envelope(source, Address("bob", "y.test")), "gw.test")
    assert line == (
        b"Received: from mail.x.test ([192.0.2.1])\r\n\tby gw.test\r\n\twith ESMTPS\r\n\tid t-1\r\n"
        b"\tfor <bob@y.test>;\r\n\tTue, 14 Nov 2023 22:13:20 +0000\r\n"
    )


def test_received_line_hides_blind_copies_and_web_readers() -> None:
    both = Address("bob", "y.test"), Address("eve", "y.test")
    source = Source("portal", "192.0.2.9", person="bob@y.test")
    line = received_line(envelope(source, *both), "gw.test")
    assert b"for" not in line
    assert b"192.0.2.9" not in line
    assert b"with HTTPS" in line
    assert b"with" not in received_line(envelope(Source("gateway"), *both), "gw.test")


@pytest.mark.parametrize("helo", ["a\nX: 1", "\x1b[31m", "x" * 5000, "", "a)(\r\n b", "ü"])
def test_received_line_is_not_written_by_the_peer(helo: str) -> None:
    source = Source("smtp", "2001:db8::1", 25, helo=helo, person="ann@x.test")
    line = received_line(envelope(source, utf8=True), "gw.test")
    message = read(line + b"\r\n")
    assert [field.name for field in message.fields] == [b"Received"]
    assert b"([IPv6:2001:db8::1])" in line
    assert b"with UTF8SMTPA" in line
    assert max(map(len, line.split(b"\r\n"))) < 400
    assert line.isascii()


@pytest.mark.parametrize("bad", [b"\r", b"\n", b"\0", b"\n\r", b"\r\r\n", b"\r\n\n"])
@pytest.mark.parametrize("at", [0, 1, 4095, 4096, 16384, 20000])
def test_check_wire_finds_every_bare_byte(bad: bytes, at: int) -> None:
    good = (b"x" * 38 + b"\r\n") * 500
    check_wire(good)
    at -= at % 40
    with pytest.raises(BareLine):
        check_wire(good[:at] + b"y" + bad + b"y" + good[at:])


@pytest.mark.parametrize("raw", [b"a\rb\nc", b"a\nb\rc\r\n", b"\r\n\r.\n", b"\n\r", b"a\r\0\nb"])
def test_a_lone_cr_and_a_lone_lf_are_no_pair(raw: bytes) -> None:
    with pytest.raises(BareLine):
        check_wire(raw)


def pieces_of(text: bytes, cuts: int) -> list[bytes]:
    """Cut where a bit of ``cuts`` is set."""
    edges = [0, *(at for at in range(1, len(text)) if cuts >> at & 1), len(text)]
    return [text[begin:end] for begin, end in itertools.pairwise(edges)]


def test_threat_5_1_2_wherever_a_text_is_cut_a_lone_line_end_is_found() -> None:
    """All texts of up to six letters with all their cuts: ``LF CR | CR LF`` once passed, if it was cut there."""
    for text in (bytes(each) for size in range(7) for each in itertools.product(b"x\r\n", repeat=size)):
        good = not re.search(rb"\r(?!\n)|(?<!\r)\n", text)
        for cuts in range(0, 1 << max(len(text), 1), 2):
            check = WireCheck()
            for piece in pieces_of(text, cuts):
                check.add(piece)
            try:
                check.end()
            except BareLine:
                assert not good, (text, cuts)
            else:
                assert good, (text, cuts)
