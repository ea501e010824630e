"""TOML as text: on which line a key stands, and how a value is written.

Not a parser of values: that is ``tomllib``, which does not tell lines. TOML 1.0.
"""

from __future__ import annotations

import re
import textwrap
import tomllib

KeyPath = tuple[str, ...]

_KEY_PART = r"""(?:[A-Za-z0-9_-]+|"(?:[^"\\\n]|\\.)*"|'[^'\n]*')"""
_KEY = rf"{_KEY_PART}(?:[ \t]*\.[ \t]*{_KEY_PART})*"
_LINE_START = re.compile(rf"[ \t]*(?:\[\[?[ \t]*({_KEY})[ \t]*\]|({_KEY})[ \t]*=)")
_PART = re.compile(_KEY_PART)
_VALUE_PIECE = re.compile(
    r'"""(?:[^"\\]|\\.|"(?!""))*"{3,5}'
    r"|'''(?:[^']|'(?!''))*'{3,5}"
    r'|"(?:[^"\\\n]|\\.)*"'
    r"|'[^'\n]*'"
    r"|#[^\n]*|[\[{]|[\]}]|\n|[^\"'#\[\]{}\n]+|.",
    re.DOTALL,
)


def key_lines(text: str) -> dict[KeyPath, int]:
    """For every table and key of a TOML text that can be read: the line on which it first stands."""
    lines: dict[KeyPath, int] = {}
    table: KeyPath = ()
    at, number = 0, 1
    while at < len(text):
        match = _LINE_START.match(text, at)
        if match is not None:
            key = _key_path(match[1] or match[2])
            table, key = (key, key) if match[1] else (table, (*table, *key))
            for depth in range(1, len(key) + 1):
                lines.setdefault(key[:depth], number)
        end = _line_end(text, match.end() if match else at)
        at, number = end, number + text.count("\n", at, end)
    return lines


def _key_path(words: str) -> KeyPath:
    return tuple(_unquote(part) for part in _PART.findall(words))


def _unquote(part: str) -> str:
    return str(tomllib.loads(f"x = {part}")["x"]) if part[0] in "\"'" else part


def _line_end(text: str, at: int) -> int:
    """Where the next line starts that is not inside a value: strings and brackets may go over many."""
    depth = 0
    for piece in _VALUE_PIECE.finditer(text, at):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(piece[0], 0)
        if piece[0] == "\n" and depth <= 0:
            return piece.end()
    return len(text)


_ESCAPE = {"\\": "\\\\", '"': '\\"', **{chr(code): f"\\u{code:04x}" for code in [*range(32), 127]}}


def to_toml(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return '"' + "".join(_ESCAPE.get(character, character) for character in value) + '"'
    if isinstance(value, list):
        return "[" + ", ".join(to_toml(entry) for entry in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{to_toml(key)} = {to_toml(entry)}" for key, entry in value.items()) + "}"
    return str(value)


def say(value: object) -> str:
    """A value in a sentence: as in the file, cut where it is long."""
    return textwrap.shorten(to_toml(value), 60, placeholder=" ...")
