"""The local log: one line an event, written a bundle at a time.

Not where events are decided on (every room above tells its own) and not a receiver elsewhere. Twisted's own observer
makes two calls to the kernel for each line, and each gives the interpreter away in the middle of a mail. What a
stranger said is escaped, so that a line is one event whatever it tells of (threats 5.7.60).
"""

from __future__ import annotations

import time
from typing import Any, TextIO

from twisted.logger import ILogObserver, LogEvent, LogLevel, eventAsText
from zope.interface import implementer

PAUSE = 0.05  # seconds that a line may wait for others
BUNDLE = 64 << 10  # characters
LONGEST = 2048  # characters of one event that is no failure

_URGENT = (LogLevel.warn, LogLevel.error, LogLevel.critical)


@implementer(ILogObserver)
class Journal:
    """Collects lines for a file; warnings and worse are written at once, with all before them."""

    def __init__(self, file: TextIO, clock: Any) -> None:
        self._file = file
        self._clock = clock
        self._lines: list[str] = []
        self._size = 0
        self._second = 0
        self._time = ""
        self._armed = False
        clock.addSystemEventTrigger("after", "shutdown", self.close)

    def __call__(self, event: LogEvent) -> None:
        line = f"{self._stamp(event['log_time'])} [{_system(event)}] {_text(event)}\n"
        self._lines.append(line)
        self._size += len(line)
        if self._size > BUNDLE or event.get("log_level") in _URGENT:
            self.write()
        elif not self._armed:
            self._armed = True
            self._clock.callLater(PAUSE, self._wake)

    def write(self) -> None:
        """Write what has been collected."""
        lines, self._lines, self._size = self._lines, [], 0
        if lines:
            self._file.write("".join(lines))
            self._file.flush()

    def close(self) -> None:
        """From here on nobody wakes us: every line is written at once."""
        self.write()
        self._armed, self._size = False, 0
        self._clock = _Ended(self)

    def _wake(self) -> None:
        self._armed = False
        self.write()

    def _stamp(self, moment: float) -> str:
        second = int(moment)
        if second != self._second:
            self._second = second
            self._time = time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(second))
        return self._time


class _Ended:
    """The clock of a reactor that has stopped."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def callLater(self, _seconds: float, _call: object) -> None:
        self._journal._wake()


def _system(event: LogEvent) -> str:
    level = event.get("log_level", LogLevel.info)
    return f"{event.get('log_namespace', '-')}#{level.name}"


def _text(event: LogEvent) -> str:
    """The event in words, on one line; the lines of a traceback are indented below it."""
    if "log_failure" in event:
        return "\n\t".join(_printable(line) for line in _by_twisted(event).splitlines())
    try:
        text = event["log_format"].format_map(event)
    except Exception:  # other forms of a format, and events of Twisted's older kind
        text = _by_twisted(event)
    return _printable(text[:LONGEST])


def _by_twisted(event: LogEvent) -> str:
    return eventAsText(event, includeTimestamp=False, includeSystem=False)


def _printable(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
