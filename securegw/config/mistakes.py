"""Mistakes in a file of settings: where, what, and what would be right.

Not an error of a mail, see ``mail.errors``.
"""

from __future__ import annotations

from typing import Protocol

import attrs


@attrs.frozen
class Mistake:
    """One mistake in a file of settings. ``line`` is 0 where nothing stands that could be pointed at."""

    file: str
    line: int
    key: str
    problem: str
    wanted: str = ""


class Mistakes(Exception):
    """All mistakes of one file, in the order of its lines."""

    def __init__(self, mistakes: list[Mistake]) -> None:
        self.mistakes = sorted(mistakes, key=lambda mistake: mistake.line)
        super().__init__("\n".join(map(format_mistake, self.mistakes)))


class Located(Protocol):
    """Any mistake with a place: those of a rule document are told in the same form."""

    @property
    def file(self) -> str: ...
    @property
    def line(self) -> int: ...
    @property
    def key(self) -> str: ...
    @property
    def problem(self) -> str: ...
    @property
    def wanted(self) -> str: ...


def format_mistake(mistake: Located) -> str:
    """``file:line: [section] key: problem; wanted``."""
    place = f"{mistake.file}:{mistake.line}" if mistake.line else mistake.file
    words = f"{mistake.problem}; {mistake.wanted}" if mistake.wanted else mistake.problem
    return ": ".join(part for part in (place, mistake.key, words) if part)
