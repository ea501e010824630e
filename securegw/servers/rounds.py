"""One timer for many connections: who is silent is looked at in rounds, a second apart.

Not for what must be exact: nobody is looked at too early, but up to a second late. A call of the reactor for each of
ten thousand silent connections would take half a kilobyte each.
"""

from __future__ import annotations

import math
from typing import Protocol

import txaio
from twisted.internet.interfaces import IDelayedCall, IReactorTime

log = txaio.make_logger()

GRAIN = 1.0


class Watched(Protocol):
    """What is looked at when its time has come, perhaps also when it has ended in this very round."""

    def time_has_come(self) -> None: ...


class Rounds:
    """Who is to be looked at when; nobody stands here twice."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._rounds: dict[int, tuple[dict[Watched, None], IDelayedCall]] = {}

    def enter(self, watched: Watched, seconds: float) -> int:
        """Look at it after so many seconds; what is returned is wanted by ``leave``."""
        now = self._clock.seconds()
        number = math.ceil((now + seconds) / GRAIN)
        if number not in self._rounds:
            call = self._clock.callLater(max(0.0, number * GRAIN - now), self._go, number)
            self._rounds[number] = {}, call
        self._rounds[number][0][watched] = None
        return number

    def leave(self, watched: Watched, number: int) -> None:
        """Do not look at it; nothing happens if that is over."""
        if number not in self._rounds:
            return
        crowd, call = self._rounds[number]
        crowd.pop(watched, None)
        if not crowd:
            del self._rounds[number]
            call.cancel()

    def _go(self, number: int) -> None:
        """In their order; the trouble of one is not that of those behind it."""
        crowd, _ = self._rounds.pop(number)
        for watched in crowd:
            try:
                watched.time_has_come()
            except Exception:
                log.failure("a connection could not be looked at")
