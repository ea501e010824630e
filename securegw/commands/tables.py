"""Lists for the terminal and for programs: aligned columns, or JSON.

Not for pages. Words that came with a mail are shown with control characters replaced, so that a subject or a reply of
a stranger's server cannot drive the terminal.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import attrs

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Iterator, Mapping, Sequence

Row = dict[str, Any]


def add_json(parser: ArgumentParser) -> None:
    """Every list has it."""
    parser.add_argument("--json", action="store_true", help="print JSON")


def print_rows(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], *, as_json: bool) -> None:
    """Print a list: all values as JSON, or the named columns aligned."""
    if as_json:
        print_json(list(rows))
        return
    head = tuple(column.replace("_", " ").upper() for column in columns)
    for line in aligned([head, *(tuple(cell(row.get(column)) for column in columns) for row in rows)]):
        print(line)


def aligned(lines: Sequence[Sequence[str]]) -> Iterator[str]:
    """Lines whose words stand below each other."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        yield "  ".join(word.ljust(width) for word, width in zip(line, widths, strict=True)).rstrip()


def print_tree(values: Mapping[str, Any], *, as_json: bool) -> None:
    """Print one thing with its parts: as a JSON object, or one value a line and parts indented."""
    if as_json:
        print_json(dict(values))
        return
    for line in branches(values, ""):
        print(line)


def branches(values: Mapping[str, Any], indent: str) -> Iterator[str]:
    """The lines of a tree."""
    width = max((len(name) for name in values), default=0)
    for name, value in values.items():
        words = name.replace("_", " ")
        parts = [value] if isinstance(value, dict) else value
        if parts and isinstance(parts, list) and isinstance(parts[0], dict):
            for part in parts:
                yield f"{indent}{words}:"
                yield from branches(part, f"{indent}  ")
        else:
            yield f"{indent}{words.ljust(width)}  {cell(value)}".rstrip()


def print_json(value: Any) -> None:
    """Print one JSON document, in ASCII: so it too cannot drive a terminal."""
    print(json.dumps(value, indent=2, default=_plain))


def row_of(value: attrs.AttrsInstance, *names: str) -> Row:
    """The named attributes of a value as a row."""
    return {name: getattr(value, name) for name in names}


def cell(value: Any) -> str:
    """One value as words in a column."""
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple, set, frozenset)):
        return ", ".join(cell(part) for part in value) or "-"
    if isinstance(value, dict):
        return ", ".join(f"{name}={cell(part)}" for name, part in value.items()) or "-"
    return printable(str(value))


def printable(text: str) -> str:
    """The text without characters that a terminal would obey."""
    return "".join(letter if letter.isprintable() else "�" for letter in text)


def moment(seconds: float | None) -> str | None:
    """A time as ISO 8601 in UTC; none for no time."""
    if not seconds:
        return None
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def _plain(value: Any) -> Any:
    if attrs.has(type(value)):
        return attrs.asdict(value)
    return str(value)
