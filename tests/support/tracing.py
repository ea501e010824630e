"""Reads what strace wrote down: each system call with the places in the file where it began and where it had ended.

With many threads a call is cut in two lines, ``<unfinished ...>`` and ``<... resumed>``; what counts for an order is
that one call had ended before the other began.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import attrs

# -D: the tracer is the grandchild, so that the process that we started, and end, is the gateway itself.
STRACE = (
    "-D",
    "-f",
    "-yy",
    "-s",
    "20000",
    "-e",
    "signal=none",
    "-e",
    "trace=network,read,fsync,fdatasync,pwrite64,write",
)
WHOLE = re.compile(r"(\d+) +(\w+)\((.*)\) += +(.*)")
BEGUN = re.compile(r"(\d+) +(\w+)\((.*?) *<unfinished \.\.\.>")
ENDED = re.compile(r"(\d+) +<\.\.\. (\w+) resumed>(.*)\) += +(.*)")


@attrs.frozen
class Call:
    """One system call: its name, its arguments as strace prints them, its result, and its first and last line."""

    name: str
    arguments: str
    result: str
    began: int
    ended: int

    @property
    def good(self) -> bool:
        return not self.result.startswith("-1")


def calls(trace: Path) -> list[Call]:
    """All calls that have ended, by their end."""
    return list(_calls(trace.read_text("utf-8", "replace").splitlines()))


def _calls(lines: Sequence[str]) -> Iterator[Call]:
    open_: dict[tuple[str, str], tuple[int, str]] = {}
    for number, line in enumerate(lines):
        if begun := BEGUN.fullmatch(line):
            thread, name, arguments = begun.groups()
            open_[thread, name] = number, arguments
        elif ended := ENDED.fullmatch(line):
            thread, name, arguments, result = ended.groups()
            began, first = open_.pop((thread, name), (number, ""))
            yield Call(name, first + arguments, result, began, number)
        elif whole := WHOLE.fullmatch(line):
            _, name, arguments, result = whole.groups()
            yield Call(name, arguments, result, number, number)


def only(found: Sequence[Call], what: str, test: Callable[[Call], bool]) -> Call:
    """The one call that passes; AssertionError if there is none or more."""
    hits = [call for call in found if test(call)]
    assert len(hits) == 1, f"{what}: {len(hits)} calls {[call.arguments[:200] for call in hits]}"
    return hits[0]


def first_after(found: Sequence[Call], what: str, line: int, test: Callable[[Call], bool]) -> Call:
    """The first call that began after this line and passes; AssertionError if there is none."""
    hits = [call for call in found if call.began > line and test(call)]
    assert hits, f"{what}: never after line {line}"
    return min(hits, key=lambda call: call.ended)
