"""The line of an event: one, escaped, bounded, without secrets (threats 5.7.60).

Whatever a peer said - a HELO, a subject, a file's name - may stand in an event. Control characters, terminal sequences
and what turns the direction of writing are written as escapes; a long line is cut; a traceback becomes part of its
line.
"""

from __future__ import annotations

import re
import traceback
from typing import Any

from twisted.logger import LogLevel, formatEvent
from twisted.python.failure import Failure

LONGEST = 2048
ENOUGH = 4 * LONGEST  # letters of which any line is made; more are not even looked at
CUT = "..."
FRAMES = 8

_SECRET = re.compile(
    r"""(?ix) \b( pass(?:word|wd|phrase)? | secret | token | pin | authorization | auth\ +(?:plain|login) )\b
    ( ["']?\ *[=:]\ *["']? | \ + (?=\S{4,}) ) (?:(?:basic|bearer)\ +)? (?: [^\s"',;]+ )"""
)
_NAMES = ("pass", "secret", "token", "pin", "auth")  # one of them is in whatever _SECRET finds
_WORDS = re.compile(r"(?i)(?:pass(?:word|wd|phrase)?|secret|token|pin|authorization|private)\Z")
_LOGIN_IN_URL = re.compile(r"(?<=://)[^/\s:@]*:[^/\s@]+(?=@)")
MASK = "***"


def text_of(event: dict[str, Any]) -> str:
    """What an event says, on one line and masked; longer than a line may be, if there was more to say."""
    said = _said(event)[:ENOUGH]
    failure = event.get("log_failure")
    if isinstance(failure, Failure):
        said = f"{said} - {trace_of(failure)}" if said else trace_of(failure)
    return plain(mask(said))


def _said(event: dict[str, Any]) -> str:
    """By the quick way of Python where that is enough: Twisted's own also calls what a format names with brackets."""
    try:
        said: str = event["log_format"].format_map(event)
    except Exception:
        return formatEvent(event)
    return said


def plain(text: str) -> str:
    """The text without anything that is no printable character; those are written as Python writes them."""
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else _escape(letter) for letter in text)


def mask(text: str) -> str:
    """The text with what stands behind the name of a secret replaced."""
    lower = text.lower()
    for word in _NAMES:
        if word in lower:
            text = _SECRET.sub(rf"\1\2{MASK}", text)
            break
    return _LOGIN_IN_URL.sub(MASK, text) if "://" in text else text


def is_secret(name: str) -> bool:
    """Whether a field of this name is told to nobody."""
    return _WORDS.search(name) is not None


def cut(text: str, most: int = LONGEST) -> bytes:
    """The text in UTF-8, no longer than so many bytes and never cut within a character."""
    raw = text.encode("utf-8", "backslashreplace")
    if len(raw) <= most:
        return raw
    return raw[: most - len(CUT)].decode("utf-8", "ignore").encode("utf-8") + CUT.encode()


def trace_of(failure: Failure) -> str:
    """A traceback on one line, the innermost frame first: ``ValueError: odd (a.py:12 read < b.py:3 open)``."""
    kind = getattr(failure.type, "__name__", str(failure.type))
    frames = traceback.extract_tb(failure.getTracebackObject())
    found = [f"{frame.filename.rpartition('/')[2]}:{frame.lineno} {frame.name}" for frame in reversed(frames)]
    where = " < ".join(found[:FRAMES])
    return f"{kind}: {failure.getErrorMessage()}" + (f" ({where})" if where else "")


def level_of(event: dict[str, Any]) -> LogLevel:
    """The level; what has none is information."""
    level: LogLevel = event.get("log_level") or LogLevel.info
    return level


def _escape(letter: str) -> str:
    number = ord(letter)
    if letter in "\n\r\t":
        return {"\n": "\\n", "\r": "\\r", "\t": "\\t"}[letter]
    return f"\\x{number:02x}" if number < 256 else f"\\u{number:04x}" if number < 65536 else f"\\U{number:08x}"
