from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.task import Clock
from twisted.logger import Logger, LogPublisher
from twisted.python.failure import Failure

from securegw.journal import LONGEST, PAUSE, Journal


class Reactor(Clock):
    """A clock that can be shut down."""

    def __init__(self) -> None:
        super().__init__()
        self.last: list[Callable[[], None]] = []

    def addSystemEventTrigger(self, phase: str, event: str, call: Callable[[], None]) -> None:
        assert (phase, event) == ("after", "shutdown")
        self.last.append(call)


class Written(io.StringIO):
    """A file that counts how often it is written to."""

    times = 0

    def write(self, text: str) -> int:
        self.times += 1
        return super().write(text)

    @property
    def lines(self) -> list[str]:
        return self.getvalue().splitlines()


@pytest.fixture
def reactor() -> Reactor:
    return Reactor()


@pytest.fixture
def file() -> Written:
    return Written()


@pytest.fixture
def log(file: Written, reactor: Reactor) -> Logger:
    return Logger("test", observer=LogPublisher(Journal(file, reactor)))


def test_lines_are_written_together(log: Logger, file: Written, reactor: Reactor) -> None:
    for number in range(5):
        log.info("mail {number}", number=number)
    assert file.times == 0

    reactor.advance(PAUSE)

    assert file.times == 1
    assert [line.partition("] ")[2] for line in file.lines] == [f"mail {number}" for number in range(5)]
    assert all("[test#info]" in line for line in file.lines)


def test_a_warning_is_written_at_once_with_all_before_it(log: Logger, file: Written) -> None:
    log.info("one")
    log.warn("two")
    assert [line.rpartition(" ")[2] for line in file.lines] == ["one", "two"]


def test_when_the_reactor_has_ended_nothing_waits(log: Logger, file: Written, reactor: Reactor) -> None:
    log.info("before")
    reactor.last[0]()
    log.info("after")
    assert [line.rpartition(" ")[2] for line in file.lines] == ["before", "after"]


def test_much_does_not_wait(log: Logger, file: Written) -> None:
    for _ in range(100):
        log.info("{text}", text="x" * 1000)
    assert file.times >= 1


@pytest.mark.parametrize(
    ("said", "written"),
    [
        ("one\nForged line", "one\\nForged line"),
        ("\x1b[31mred\x07", "\\x1b[31mred\\x07"),
        ("<0>%s {x} é", "<0>%s {x} é"),
        ("left\u202eright\u2028", "left\\u202eright\\u2028"),
        ("\udc80", "\\udc80"),
    ],
)
def test_5_7_60_what_a_stranger_says_stays_one_printable_line(
    said: str, written: str, log: Logger, file: Written, reactor: Reactor
) -> None:
    log.info("HELO {name}", name=said)
    reactor.advance(PAUSE)
    [line] = file.lines
    assert line.endswith(f"] HELO {written}")


def test_5_7_60_an_endless_word_is_cut(log: Logger, file: Written, reactor: Reactor) -> None:
    log.info("HELO {name}", name="x" * 1_000_000)
    reactor.advance(PAUSE)
    assert len(file.getvalue()) < LONGEST + 100


def test_a_failure_has_its_traceback_below_its_line(log: Logger, file: Written) -> None:
    try:
        raise ArithmeticError("no\nforged")
    except ArithmeticError:
        log.failure("work failed: {log_failure.value}", Failure())
    first, *rest = file.lines
    assert first.endswith("work failed: no\\nforged") or first.endswith("work failed: no")
    assert any("ArithmeticError" in line for line in rest)
    assert all(line.startswith("\t") for line in rest)


@pytest.mark.parametrize(
    "event",
    [
        {"message": ("an old logger",), "isError": 0, "log_format": "{log_text}", "log_text": "an old logger"},
        {"log_format": "{call()}", "call": lambda: "from a call"},
        {"log_format": "{missing}"},
        {"log_format": None},
    ],
)
def test_odd_events_do_not_stop_the_log(event: dict[str, Any], file: Written, reactor: Reactor) -> None:
    journal = Journal(file, reactor)
    journal({"log_time": 0.0, **event})
    journal({"log_time": 0.0, "log_format": "next"})
    reactor.advance(PAUSE)
    assert len(file.lines) == 2
    assert file.lines[1].endswith("next")
