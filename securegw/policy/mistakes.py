"""Mistakes in a rule document: all of them at once, each with its line, its key and what would be right.

Not a TOML parser: ``tomllib`` reads the document and forgets where things stood; ``lines`` finds that out again,
well enough to lead a person to the place.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import attrs

Path = tuple[str | int, ...]

_HEADING = re.compile(r"\s*(\[\[?)\s*([^\[\]]+?)\s*\]\]?\s*(?:#.*)?")
_KEY = re.compile(r"""\s*((?:"[^"]*"|'[^']*'|[\w-]+)(?:\s*\.\s*(?:"[^"]*"|'[^']*'|[\w-]+))*)\s*=""")
_STEP = re.compile(r"""\s*(?:"([^"]*)"|'([^']*)'|([\w-]+))\s*(?:\.|$)""")
_FENCE = re.compile(r'"""|' + "'''")


@attrs.frozen
class Mistake:
    """One mistake: where it stands, what is wrong, and what is wanted there."""

    file: str
    line: int
    key: str
    problem: str
    wanted: str

    def __str__(self) -> str:
        wanted = f" (wanted: {self.wanted})" if self.wanted else ""
        return f"{self.file}:{self.line}: {self.key}: {self.problem}{wanted}"


class RuleMistakes(Exception):
    """The rule document has mistakes; nothing of it is used."""

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        self.mistakes = tuple(mistakes)
        super().__init__("\n".join(map(str, self.mistakes)))


def lines(text: str) -> dict[Path, int]:
    """The line of every heading and key; an element of a list of tables has its index in the path."""
    found: dict[Path, int] = {}
    counts: dict[str, int] = {}
    here: Path = ()
    fenced = False
    for number, line in enumerate(text.splitlines(), 1):
        heading = None if fenced else _HEADING.fullmatch(line)
        key = None if fenced or heading else _KEY.match(line)
        if heading:
            here = _place(heading[1], _steps(heading[2]), counts)
            found.setdefault(here, number)
        elif key:
            steps = _steps(key[1])
            for end in range(1, len(steps) + 1):
                found.setdefault((*here, *steps[:end]), number)
        fenced ^= len(_FENCE.findall(line)) % 2 == 1
    return found


def _steps(dotted: str) -> tuple[str, ...]:
    return tuple(quoted or single or bare for quoted, single, bare in _STEP.findall(dotted))


def _place(opening: str, steps: tuple[str, ...], counts: dict[str, int]) -> Path:
    """``[[rule]]`` begins the next element; ``[rule.when]`` below it belongs to that element."""
    if not steps:
        return ()
    if opening == "[[":
        counts[steps[0]] = counts.get(steps[0], -1) + 1
    return (steps[0], counts[steps[0]], *steps[1:]) if steps[0] in counts else steps


def line_of(where: Mapping[Path, int], path: Path) -> int:
    """The line of this path, or of the nearest thing around it."""
    for end in range(len(path), 0, -1):
        if path[:end] in where:
            return where[path[:end]]
    return 1
