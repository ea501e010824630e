"""The log on this machine: lines to standard output, for the journal or a person, or into a file that is rotated.

What stands on standard output under systemd is in the journal, which rotates by itself. Lines are written a bundle at a
time: each call to the kernel gives the interpreter away in the middle of a mail, and Twisted's own observer makes two
for each line.
"""

from __future__ import annotations

import sys
import time
from functools import lru_cache
from pathlib import Path
from typing import Any, TextIO

import attrs
from twisted.logger import ILogObserver, LogLevel
from twisted.python.logfile import LogFile
from zope.interface import implementer

from securegw import config, counters
from securegw.config import setting
from securegw.logs.lines import cut, level_of, plain, text_of

PAUSE = 0.05  # seconds that a line may wait for others
BUNDLE = 64 << 10  # characters
URGENT = (LogLevel.warn, LogLevel.error, LogLevel.critical)
LOST = counters.declare("securegw_log_lost", "Lines of our own log that could not be written.")


@attrs.frozen
class LogSettings:
    """What is told of the work. One line an event; never a body, a password or a key."""

    level: str = setting(
        config.choice("critical", "error", "warn", "info", "debug"), default="info", help="The least that is told."
    )
    file: Path | None = setting(
        config.path,
        default=None,
        help="File for the log; without it the log goes to standard output, which is the journal under systemd.",
    )
    file_size: int = setting(config.size, default="50 MB", help="Size at which the file is put aside for a new one.")
    files_kept: int = setting(config.number(1, 1000), default=10, help="Number of old files that are kept.")


@implementer(ILogObserver)
class LocalObserver:
    """Writes each event as one line. A log that cannot be written is not a reason to stop; it is counted.

    ``clock``, the reactor, wakes it when a bundle has waited; without it, for warnings and worse, and when the reactor
    has ended, every line is written at once, with all before it.
    """

    def __init__(self, write: Any, flush: Any, clock: Any = None) -> None:
        self._write = write
        self._flush = flush
        self._clock = clock
        self._lines: list[str] = []
        self._size = 0
        if clock is not None:
            clock.addSystemEventTrigger("after", "shutdown", self._end)

    def __call__(self, event: dict[str, Any]) -> None:
        try:
            line = line_of(event)
        except Exception:
            LOST.inc()
            return
        self._lines.append(line)
        self._size += len(line)
        if self._clock is None or self._size > BUNDLE or event.get("log_level") in URGENT:
            self._send()
        elif len(self._lines) == 1:
            self._clock.callLater(PAUSE, self._send)

    def _send(self) -> None:
        lines, self._lines, self._size = self._lines, [], 0
        if not lines:
            return
        try:
            self._write("\n".join(lines) + "\n")
            self._flush()
        except Exception:  # a full disk, a closed pipe: whatever it is, it must not be logged from here
            LOST.inc(len(lines))

    def _end(self) -> None:
        self._clock = None
        self._send()


def line_of(event: dict[str, Any]) -> str:
    """``2026-11-26T23:48:55+0000 [securegw.flow.delivery#info] words``"""
    moment = _stamp(int(event.get("log_time") or time.time()))
    place = event.get("log_namespace") or "-"
    if place == "log_legacy":  # Twisted's own old way of logging
        place = event.get("log_system") or "-"
    return cut(f"{moment} [{plain(str(place))}#{level_of(event).name}] {text_of(event)}").decode()


@lru_cache(maxsize=4)
def _stamp(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(second))


def local_observer(settings: LogSettings, out: TextIO | None = None, clock: Any = None) -> LocalObserver:
    """The observer by the settings; ``out`` is standard output as it is before it is redirected into the log."""
    if settings.file is not None:
        settings.file.parent.mkdir(parents=True, exist_ok=True)
        kept = LogFile(
            settings.file.name,
            str(settings.file.parent),
            rotateLength=settings.file_size,
            maxRotatedFiles=settings.files_kept,
            defaultMode=0o600,
        )
        return LocalObserver(kept.write, kept.flush, clock)
    stream = out or sys.stdout
    return LocalObserver(stream.write, stream.flush, clock)
