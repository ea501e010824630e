"""Lines of the log, and threat 5.7.60: what a stranger says stays on its line, harmless and without secrets."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some
from twisted.logger import ILogObserver, LogLevel
from twisted.python.components import Componentized
from zope.interface.verify import verifyObject

from securegw import counters
from securegw.clients.syslog_message import FACILITIES, Writer
from securegw.gateway import LoggedService
from securegw.logs import LogSettings, local_observer
from securegw.logs.lines import LONGEST, cut, mask, plain, text_of
from securegw.logs.local import LocalObserver, line_of
from tests.logs.events import event, failure

WRITER = Writer("gw.inside.test", FACILITIES["mail"])


def said(text: str) -> list[str]:
    """The same words by both ways: here, and to another machine."""
    told = event("smtp {peer} says {helo}", peer="192.0.2.7", helo=text)
    return [line_of(told), WRITER.write(told).decode()]


class TestThreat5760:
    @pytest.mark.parametrize(
        ("text", "shown"),
        [
            ("a\nb", "a\\nb"),
            ("a\r\nb", "a\\r\\nb"),
            ("\x1b[2J\x1b]0;title\x07", "\\x1b[2J\\x1b]0;title\\x07"),
            ("\x9b31m", "\\x9b31m"),
            ("nul\0", "nul\\x00"),
            ("line\u2028separator", "line\\u2028separator"),
            ("exe\u202egpj.txt", "exe\\u202egpj.txt"),
            ("bad\udcffutf", "bad\\udcffutf"),
            ("%s%n%d", "%s%n%d"),
            ("{0} {peer} {helo.__class__}", "{0} {peer} {helo.__class__}"),
            ("<0>1 - - - - - - root", "<0>1 - - - - - - root"),
            ("Grüße, 日本", "Grüße, 日本"),
        ],
    )
    def test_one_line_escaped(self, text: str, shown: str) -> None:
        for line in said(text):
            assert line.endswith(f"smtp 192.0.2.7 says {shown}")
            assert line.isprintable() or line.replace("\ufeff", "").isprintable()

    def test_a_priority_in_the_text_is_no_priority(self) -> None:
        assert WRITER.write(event("<0>panic")).startswith(b"<22>1 ")

    @pytest.mark.parametrize("size", [2000, 2100, 1 << 20])
    def test_at_most_two_kilobytes(self, size: int) -> None:
        for line in said("ä" * size):
            assert LONGEST - 4 <= len(line.encode()) <= LONGEST
            assert line.endswith("ää...")

    @pytest.mark.parametrize(
        ("text", "shown"),
        [
            ("password=hunter22 x", "password=*** x"),
            ("Password: hunter22", "Password: ***"),
            ('{"passphrase": "hunter22"}', '{"passphrase": "***"}'),
            ("secret='hunter22'", "secret='***'"),
            ("AUTH PLAIN AGFubgBodW50ZXIyMg==", "AUTH PLAIN ***"),
            ("auth login aHVudGVyMjI=", "auth login ***"),
            ("Authorization: Basic aHVudGVyMjI=", "Authorization: ***"),
            ("Authorization: Bearer hunter22", "Authorization: ***"),
            ("token=hunter22&x=1", "token=***"),
            ("postgresql://gw:hunter22@db/x", "postgresql://***@db/x"),
            ("https://hunter22@example.org", "https://hunter22@example.org"),
            ("the mail passed", "the mail passed"),
            ("a tokenizer", "a tokenizer"),
        ],
    )
    def test_secrets_are_masked(self, text: str, shown: str) -> None:
        assert mask(text) == shown
        for line in said(text):
            assert "hunter22" not in line or "hunter22" in shown

    @pytest.mark.parametrize("name", ["password", "old_password", "token", "secret", "PIN", "authorization"])
    def test_secrets_in_structured_data_are_masked(self, name: str) -> None:
        line = WRITER.write(event("x", **{name: "hunter22"})).decode()
        assert f'{name}="***"' in line

    def test_a_traceback_is_a_part_of_its_line(self) -> None:
        for line in (line_of(failure(ValueError("odd\n<0>"))), WRITER.write(failure(ValueError("odd"))).decode()):
            assert "it failed - ValueError: odd" in line
            assert "(events.py:" in line
            assert "\n" not in line

    def test_an_event_that_cannot_be_formatted_is_told_all_the_same(self) -> None:
        assert "odd" in line_of(event("{nothing.at.all}", odd="x")) or "Unable" in line_of(event("{nothing.at.all}"))


@given(text=some.text(), size=some.integers(4, 50))
def test_a_cut_text_is_a_beginning(text: str, size: int) -> None:
    raw = cut(text, size)
    assert len(raw) <= size
    whole = text.encode("utf-8", "backslashreplace")
    assert whole == raw or whole.startswith(raw[:-3])
    raw.decode()


@given(text=some.text(some.characters(exclude_categories=())))
def test_any_text_becomes_printable(text: str) -> None:
    assert plain(text).isprintable()
    cut(text_of(event("{x}", x=text))).decode()


def test_the_line_of_this_machine() -> None:
    line = line_of(event("mail {trace} is there", trace="T1", level=LogLevel.warn))
    assert line[25:] == "[securegw.flow.delivery#warn] mail T1 is there" or line.split(" ", 1)[1].startswith("[secure")


def test_the_file_is_rotated_and_old_ones_are_kept(tmp_path: Path) -> None:
    settings = LogSettings(file=tmp_path / "log" / "securegw.log", file_size=1000, files_kept=2)
    observer = local_observer(settings)
    for number in range(100):
        observer(event("line {number}", number=number))
    files = sorted(path.name for path in (tmp_path / "log").iterdir())
    assert files == ["securegw.log", "securegw.log.1", "securegw.log.2"]
    lines = [line for name in reversed(files) for line in (tmp_path / "log" / name).read_text().splitlines()]
    numbers = [int(line.rpartition(" ")[2]) for line in lines]
    assert numbers == list(range(numbers[0], 100))
    assert (tmp_path / "log" / "securegw.log").stat().st_mode & 0o777 == 0o600


def test_a_log_that_cannot_be_written_stops_nothing() -> None:
    def full(text: str) -> None:
        raise OSError(28, "No space left on device")

    observer = LocalObserver(full, lambda: None)
    before = counters.total("securegw_log_lost_total")
    observer(event("x"))
    assert counters.total("securegw_log_lost_total") == before + 1
    assert verifyObject(ILogObserver, observer)


def test_without_a_file_it_goes_to_standard_output() -> None:
    out = io.StringIO()
    local_observer(LogSettings(), out)(event("a\nb"))
    assert out.getvalue().endswith("a\\nb\n")


def test_twistd_is_given_the_observer() -> None:
    application: Any = Componentized()
    service = LoggedService(LogSettings())
    with pytest.raises(AttributeError):  # a Componentized alone collects no services
        service.setServiceParent(application)
    assert isinstance(application.getComponent(ILogObserver), LocalObserver)
