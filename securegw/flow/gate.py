"""The gate before all work on large mails: a room in memory, one for the whole process.

Not the room for texts that come in (``servers/smtp_room``), where nobody waits. Here nobody is refused: who finds no
room waits for his turn, and small mails never come by. Whoever is alone gets in, however large he is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from twisted.internet.defer import Deferred

from securegw import counters

UNDER_WAY = counters.declare_gauge("securegw_large_work_bytes", "Memory given to work on large mails.")
WAITING = counters.declare_gauge("securegw_large_work_waiting", "Large mails that wait for memory to be worked on.")


class Gate:
    """Counts bytes; in the order in which they came."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.taken = 0
        self.inside = 0
        self.waiting: deque[tuple[int, Deferred[None]]] = deque()
        UNDER_WAY.set_function(lambda: self.taken)
        WAITING.set_function(lambda: len(self.waiting))

    @asynccontextmanager
    async def room(self, size: int) -> AsyncIterator[None]:
        """So much of it, for the time of one ``with``."""
        await self.enter(size)
        try:
            yield
        finally:
            self.leave(size)

    def enter(self, size: int) -> Deferred[None]:
        """Fires when there is room; then ``leave`` must follow."""
        turn: Deferred[None] = Deferred()
        self.waiting.append((size, turn))
        self._let_in()
        return turn

    def leave(self, size: int) -> None:
        self.taken -= size
        self.inside -= 1
        self._let_in()

    def _let_in(self) -> None:
        while self.waiting and (not self.inside or self.taken + self.waiting[0][0] <= self.total):
            size, turn = self.waiting.popleft()
            self.taken += size
            self.inside += 1
            turn.callback(None)
