from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.task import Clock
from twisted.logger import Logger, LogPublisher
from twisted.python.failure import Failure

from securegw.logs.local import LOST, PAUSE, LocalObserver


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
    return Logger("test", observer=LogPublisher(LocalObserver(file.write, file.flush, reactor)))


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


def test_what_comes_behind_a_warning_is_written_too(log: Logger, file: Written, reactor: Reactor) -> None:
    log.info("one")
    log.warn("two")
    log.info("three")
    reactor.advance(PAUSE)
    assert [line.rpartition(" ")[2] for line in file.lines] == ["one", "two", "three"]


def test_when_the_reactor_has_ended_nothing_waits(log: Logger, file: Written, reactor: Reactor) -> None:
    log.info("before")
    reactor.last[0]()
    log.info("after")
    assert [line.rpartition(" ")[2] for line in file.lines] == ["before", "after"]


def test_much_does_not_wait(log: Logger, file: Written) -> None:
    for _ in range(100):
        log.info("{text}", text="x" * 1000)
    assert file.times >= 1


def test_a_failure_is_one_line(log: Logger, file: Written) -> None:
    try:
        raise ArithmeticError("no\nforged")
    except ArithmeticError:
        log.failure("work failed: {log_failure.value}", Failure())
    [line] = file.lines
    assert "work failed: no\\nforged" in line
    assert "ArithmeticError" in line


@pytest.mark.parametrize(
    "event",
    [
        {"message": ("an old logger",), "isError": 0, "log_format": "{log_text}", "log_text": "an old logger"},
        {"log_format": "{call()}", "call": lambda: "from a call"},
        {"log_format": "{missing}"},
        {"log_format": None},
        {},
    ],
    ids=["old", "call", "missing", "none", "empty"],
)
def test_odd_events_do_not_stop_the_log(event: dict[str, Any], file: Written, reactor: Reactor) -> None:
    observer = LocalObserver(file.write, file.flush, reactor)
    observer({"log_time": 1.0, **event})
    observer({"log_time": 1.0, "log_format": "next"})
    reactor.advance(PAUSE)
    assert len(file.lines) == 2
    assert file.lines[1].endswith("next")


def test_lines_that_cannot_be_written_are_counted(reactor: Reactor) -> None:
    def write(_text: str) -> None:
        raise OSError(28, "No space left on device")

    log = Logger("test", observer=LogPublisher(LocalObserver(write, lambda: None, reactor)))
    before = LOST._value.get()
    log.info("one")
    log.info("two")
    reactor.advance(PAUSE)
    assert LOST._value.get() == before + 2
