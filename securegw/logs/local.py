"""The log on this machine: lines to standard output, for the journal or a person, or into a file that is rotated.

What stands on standard output under systemd is in the journal, which rotates by itself.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any, TextIO

import attrs
from twisted.logger import ILogObserver
from twisted.python.logfile import LogFile
from zope.interface import implementer

from securegw import config, counters
from securegw.config import setting
from securegw.logs.lines import cut, level_of, plain, text_of

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
    """Writes each event as one line. A log that cannot be written is not a reason to stop; it is counted."""

    def __init__(self, write: Any, flush: Any) -> None:
        self._write = write
        self._flush = flush

    def __call__(self, event: dict[str, Any]) -> None:
        try:
            self._write(line_of(event) + "\n")
            self._flush()
        except Exception:  # a full disk, a closed pipe: whatever it is, it must not be logged from here
            LOST.inc()


def line_of(event: dict[str, Any]) -> str:
    """``2026-11-26T23:48:55+0000 [securegw.flow.delivery#info] words``"""
    moment = time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(event.get("log_time") or time.time()))
    place = event.get("log_namespace") or "-"
    if place == "log_legacy":  # Twisted's own old way of logging
        place = event.get("log_system") or "-"
    return cut(f"{moment} [{plain(str(place))}#{level_of(event).name}] {text_of(event)}").decode()


def local_observer(settings: LogSettings, out: TextIO | None = None) -> LocalObserver:
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
        return LocalObserver(kept.write, kept.flush)
    stream = out or sys.stdout
    return LocalObserver(stream.write, stream.flush)
