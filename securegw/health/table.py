"""The table of checks: what one is, when its value is bad, and what the whole amounts to.

Not the judgement of this house, see ``checks``: here stands only what any check is.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum

import attrs


class State(IntEnum):
    """How it stands, by the numbers that monitoring plugins end with."""

    OK = 0
    WARNING = 1
    CRITICAL = 2
    UNKNOWN = 3


BY_GRAVITY = (State.OK, State.WARNING, State.UNKNOWN, State.CRITICAL)


def worst(*states: State) -> State:
    """The gravest; what cannot be known is worse than a warning and better than a known fault."""
    return max(states, key=BY_GRAVITY.index, default=State.OK)


@attrs.frozen
class Levels:
    """From which value on it is a warning, and critical. Where critical is the smaller one, little is bad."""

    warning: float
    critical: float

    @property
    def falling(self) -> bool:
        return self.critical < self.warning

    def judge(self, value: float) -> State:
        if self._reached(value, self.critical):
            return State.CRITICAL
        return State.WARNING if self._reached(value, self.warning) else State.OK

    def _reached(self, value: float, level: float) -> bool:
        return value <= level if self.falling else value >= level


@attrs.frozen
class Check:
    """One row: its name, how it stands and why, and the value with its unit ("", "s", "B", "%", "d") if it has one."""

    name: str
    state: State
    words: str
    value: float | None = None
    unit: str = ""
    levels: Levels | None = None


@attrs.frozen
class Table:
    """All checks as they stood at one time."""

    time: float
    checks: tuple[Check, ...] = ()

    def __iter__(self) -> Iterator[Check]:
        return iter(self.checks)

    def __getitem__(self, name: str) -> Check:
        return next(check for check in self.checks if check.name == name)

    @property
    def state(self) -> State:
        """How the whole stands; a table without checks tells nothing."""
        return worst(*(check.state for check in self.checks)) if self.checks else State.UNKNOWN

    @property
    def words(self) -> str:
        """What is not well, the gravest first."""
        bad = [check for check in self.checks if check.state is not State.OK]
        bad.sort(key=lambda check: -BY_GRAVITY.index(check.state))
        if not self.checks:
            return "nothing has been looked at yet"
        return "; ".join(f"{check.name}: {check.words}" for check in bad) or f"all {len(self.checks)} checks are well"

    def doubted(self, words: str) -> Table:
        """The same rows when nobody knows any more whether they are true."""
        return Table(self.time, tuple(attrs.evolve(check, state=State.UNKNOWN, words=words) for check in self.checks))
