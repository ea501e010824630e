"""A message of syslog made from an event: RFC 5424, with what the event was told as structured data.

The text is escaped and masked before it comes here (``logs/lines``). The structured data is named
after the enterprise of the settings; 32473 is the number for examples (RFC 5612).
"""

from __future__ import annotations

import datetime
import os
import re
from typing import Any

import attrs
from twisted.logger import LogLevel

from securegw.logs.lines import LONGEST, cut, is_secret, level_of, mask, plain, text_of

FACILITIES = {
    "user": 1, "mail": 2, "daemon": 3, "auth": 4, "authpriv": 10, "local0": 16, "local1": 17, "local2": 18,
    "local3": 19, "local4": 20, "local5": 21, "local6": 22, "local7": 23,
}  # fmt: skip
SEVERITIES = {LogLevel.critical: 2, LogLevel.error: 3, LogLevel.warn: 4, LogLevel.info: 6, LogLevel.debug: 7}
EXAMPLE = 32473
PROGRAM = "securegw"
BOM = "\ufeff"
LONGEST_VALUE = 128
MOST_VALUES = 10

_HIDDEN = re.compile(r"log_|format\Z|txaio|isError\Z|message\Z|system\Z|time\Z|why\Z|failure\Z")
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,32}")  # within SD-NAME (RFC 5424 6.3.3)


@attrs.frozen
class Writer:
    """Writes messages of one host and facility."""

    host: str
    facility: int
    enterprise: int = EXAMPLE

    def write(self, event: dict[str, Any]) -> bytes:
        """The message, no longer than ``LONGEST``; the text gives way to the structured data."""
        level = level_of(event)
        moment = datetime.datetime.fromtimestamp(event.get("log_time") or 0.0, datetime.UTC)
        head = (
            f"<{self.facility * 8 + SEVERITIES[level]}>1 {moment.isoformat(timespec='microseconds')[:-6]}Z "
            f"{_word(self.host, 255)} {PROGRAM} {os.getpid()} {_word(_topic(event), 32)} {self._data(event)} "
        ).encode()
        return head + cut(BOM + text_of(event), LONGEST - len(head))

    def _data(self, event: dict[str, Any]) -> str:
        """SD-ELEMENT with the event's own values (RFC 5424 6.3); "-" if there are none."""
        found = [
            f'{name}="{_value(name, value)}"'
            for name, value in event.items()
            if isinstance(value, str | int | float) and not _HIDDEN.match(name) and _NAME.fullmatch(name)
        ]
        return f"[securegw@{self.enterprise} {' '.join(found[:MOST_VALUES])}]" if found else "-"


def _topic(event: dict[str, Any]) -> str:
    """The last two words of the module: ``flow.delivery``."""
    return ".".join(str(event.get("log_namespace") or "").split(".")[-2:])


def _word(text: str, longest: int) -> str:
    """PRINTUSASCII, or "-" for nothing (RFC 5424 6.2)."""
    return re.sub(r"[^\x21-\x7e]", "", text)[:longest] or "-"


def _value(name: str, value: str | int | float) -> str:
    """PARAM-VALUE: a backslash before each quotation mark, backslash and closing bracket (RFC 5424 6.3.3)."""
    text = "***" if is_secret(name) else cut(plain(mask(str(value))), LONGEST_VALUE).decode()
    return re.sub(r'(["\\\]])', r"\\\1", text)
