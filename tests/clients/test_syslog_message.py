"""Messages of RFC 5424, read again by a strict reader."""

from __future__ import annotations

import os
import re

import pytest
from hypothesis import given
from hypothesis import strategies as some
from twisted.logger import LogLevel

from securegw.clients.syslog_message import FACILITIES, Writer
from tests.logs.events import event

# RFC 5424 6: HEADER SP STRUCTURED-DATA SP BOM MSG
WORD, NAME = rb"[\x21-\x7e]", rb"[!#-<>-Z^-~]{1,32}"
MESSAGE = re.compile(
    rb"<\d{1,3}>1 \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z "
    rb"%b{1,255} %b{1,48} %b{1,128} %b{1,32} "
    % (WORD, WORD, WORD, WORD)
    + rb'(?:-|\[%b(?: %b="(?:[^"\\\]]|\\["\\\]])*")*\]) ' % (NAME, NAME)
    + rb"\xef\xbb\xbf.*",
    re.DOTALL,
)
WRITER = Writer("gw.inside.test", FACILITIES["mail"])


def test_a_whole_message() -> None:
    told = event("{item} is delivered", item="I1", trace="T1", peer="192.0.2.7", size=5)
    assert WRITER.write(told).decode() == (
        f"<22>1 2027-01-15T08:00:00.250000Z gw.inside.test securegw {os.getpid()} flow.delivery "
        '[securegw@32473 item="I1" trace="T1" peer="192.0.2.7" size="5"] \ufeffI1 is delivered'
    )


def test_an_event_without_values_has_no_structured_data() -> None:
    assert b" flow.delivery - \xef\xbb\xbfhello" in WRITER.write(event("hello"))


@pytest.mark.parametrize(
    ("level", "priority"),
    [
        (LogLevel.critical, 18), (LogLevel.error, 19), (LogLevel.warn, 20), (LogLevel.info, 22), (LogLevel.debug, 23),
    ],
)  # fmt: skip
def test_priorities(level: LogLevel, priority: int) -> None:
    assert WRITER.write(event("x", level=level)).startswith(b"<%d>1 " % priority)


def test_facilities() -> None:
    assert Writer("h", FACILITIES["local7"]).write(event("x")).startswith(b"<190>1 ")


def test_the_structured_data_has_the_number_of_the_organisation() -> None:
    assert b" [securegw@99999 size=" in Writer("h", FACILITIES["mail"], 99999).write(event("x", size=1))


def test_values_are_escaped() -> None:
    line = WRITER.write(event("x", peer='a"b\\c]d\ne')).decode()
    assert '[securegw@32473 peer="a\\"b\\\\c\\]d\\\\ne"]' in line


def test_long_and_odd_values_are_bounded() -> None:
    line = WRITER.write(event("x", **{f"v{n}": "y" * 9999 for n in range(99)}, raw=b"z" * 9999)).decode()
    assert line.count("=") == 10
    assert len(line) < 2048
    assert "zzz" not in line


def test_an_odd_host_stays_one_word() -> None:
    assert Writer("a b\nc", 2).write(event("x")).split(b" ")[2] == b"abc"


@given(text=some.text(some.characters(exclude_categories=())), value=some.text())
def test_every_message_is_one(text: str, value: str) -> None:
    raw = WRITER.write(event("{text}", text=text, peer=value))
    assert MESSAGE.fullmatch(raw)
    assert len(raw) <= 2048
    assert b"\n" not in raw
