"""Values with parameters: ``text/plain; charset=utf-8`` and its like, read tolerantly and in linear time.

Not the parts that they describe, see ``mime``. RFC 2045 5.1, RFC 2183, RFC 2231.
"""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Iterable, Mapping

import attrs

from securegw.mail.words import charset_known, decode_charset, decode_words, plain_line

NAME_LIMIT = 255

_KIND = re.compile(r"\s*+([!-.0-~]++)\s*+/\s*+([!-.0-:<-~]++)")
_TOKEN = re.compile(r"\s*+([^\s;(]++)")
_PARAMETER = re.compile(r';\s*+([^\s=;"]++)\s*+=\s*+("(?:[^"\\]|\\.)*+"?|[^;]*+)', re.DOTALL)
_PIECE = re.compile(r"([^*]+)\*(?:(\d{1,5})(\*?))?")
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_WITH_SPACES = ("name", "filename")


@attrs.frozen
class Value:
    """A word and its parameters. ``doubled`` if a parameter stands twice: readers differ in which one counts."""

    word: str
    parameters: Mapping[str, str]
    doubled: bool = False


def read_kind(value: str) -> Value:
    """A Content-Type. Nothing at all is text/plain (RFC 2045 5.2); what is no kind is application/octet-stream."""
    match = _KIND.match(value)
    if match is None:
        return Value("application/octet-stream" if value.strip() else "text/plain", {})
    return _with_parameters(f"{match[1]}/{match[2]}".lower(), value[match.end() :])


def read_word(value: str) -> Value:
    """A Content-Disposition or the like: one word and parameters."""
    match = _TOKEN.match(value)
    return _with_parameters(match[1].lower(), value[match.end() :]) if match else Value("", {})


def _with_parameters(word: str, rest: str) -> Value:
    found = [(match[1].lower(), _unquoted(match[1].lower(), match[2])) for match in _PARAMETER.finditer(rest)]
    plain = {name: value for name, value in reversed(found) if "*" not in name}
    doubled = len({name for name, _ in found}) < len(found)
    return Value(word, {**plain, **_extended(found)}, doubled)


def _unquoted(name: str, value: str) -> str:
    if value.startswith('"'):
        inner = value[1:-1] if value.endswith('"') and len(value) > 1 else value[1:]
        return _ESCAPED.sub(r"\1", inner) if "\\" in inner else inner
    if name.rstrip("*0123456789") in _WITH_SPACES:
        return value.strip()  # many writers forget the quotes
    match = _TOKEN.match(value)
    return match[1] if match else ""


def _extended(found: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Values in pieces and in other alphabets (RFC 2231 3 and 4): pieces in order from 0, the first of each counts."""
    pieces: dict[str, dict[int, tuple[str, bool]]] = {}
    for name, value in found:
        match = _PIECE.fullmatch(name)
        if match is not None:
            whole = match[2] is None
            pieces.setdefault(match[1], {}).setdefault(int(match[2] or 0), (value, whole or bool(match[3])))
    return {name: text for name, by_number in pieces.items() if (text := _joined(by_number)) is not None}


def _joined(by_number: Mapping[int, tuple[str, bool]]) -> str | None:
    if 0 not in by_number:
        return None
    first, encoded = by_number[0]
    charset = "utf-8"
    if encoded and first.count("'") >= 2:
        charset, _, first = first.split("'", 2)
    raw = [_octets(first, encoded)]
    for number in range(1, len(by_number)):
        if number not in by_number:
            break
        raw.append(_octets(*by_number[number]))
    return decode_charset(b"".join(raw), charset if charset_known(charset) else "utf-8")


def _octets(value: str, encoded: bool) -> bytes:
    return urllib.parse.unquote_to_bytes(value) if encoded else value.encode("utf-8", "replace")


def file_name(disposition: Value, kind: Value) -> str | None:
    """The name that a part gives itself: on one line, bounded, otherwise as it came. Never a path for anybody."""
    name = disposition.parameters.get("filename") or kind.parameters.get("name")
    return plain_line(decode_words(name)).strip()[:NAME_LIMIT] or None if name else None
