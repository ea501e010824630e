"""Room in memory for the texts that are coming in: how much large ones may hold together, until they are durable.

One room for all listeners of the process. Not a limit of one message, and not the room on the disk (flow/room). What
goes to a spool takes as much as it still has in memory; only where there is none it takes its size. A text holds a
small share without asking; beyond it, it must get what it announced, or twice what it has. What gets nothing is told to
come later (RFC 5321 4.2.2: 452), before the text where SIZE announced it (RFC 1870 6.1), else at its end, and is not
kept meanwhile. Nobody waits for room that another one has: so nobody can wait for ever.
"""

from __future__ import annotations

from collections.abc import Callable

from securegw.servers.smtp_commands import Reply
from securegw.servers.smtp_counters import TEXTS
from securegw.servers.smtp_spool import SPOOL_MEMORY, SPOOLED_FROM, Spool

SHARE = 256 * 1024
FULL = Reply(452, "4.3.1", "Too many large messages at once; please try again", "no-memory")


class TextRoom:
    """Counts bytes."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.taken = 0
        TEXTS.set_function(lambda: self.taken)

    def take(self, size: int, *, holds: int = 0) -> bool:
        """So much more for one that ``holds`` some; whoever is alone always gets it, however large it is."""
        if self.taken > holds and self.taken + size > self.total:
            return False
        self.taken += size
        return True

    def give(self, size: int) -> None:
        self.taken -= size


class Place:
    """What one text has of the room. ``grow`` is asked before more is kept; False for good once it got nothing.

    Where ``spools``, a large text goes to a spool, and with the place it loses that too.
    """

    def __init__(self, room: TextRoom, *, spools: bool = False) -> None:
        self.refused = False
        self._room = room
        self._held = 0
        self._most = SPOOLED_FROM + SPOOL_MEMORY if spools else None
        self._spool: Spool | None = None

    @property
    def behind(self) -> bool:
        """The spool is not as quick as the wire."""
        return self._spool is not None and self._spool.behind

    def when_calm(self, call: Callable[[], None]) -> None:
        if self._spool is not None:
            self._spool.when_calm(call)

    def grow(self, size: int) -> bool:
        """Whether a text of this size may be kept."""
        if self._most is not None:
            size = min(size, self._most)
        free = SHARE + self._held
        if size > free and not self.refused:
            more = max(size - free, self._held, SHARE)
            if not self._take(more) and not self._take(size - free):
                self.refused = True
                self.leave()
        return not self.refused

    def send_to(self, spool: Spool | None) -> Spool | None:
        """This text goes there from now on; nowhere, and it stays in memory."""
        self._spool = spool
        if spool is None:
            self._most = None
        return spool

    def leave(self) -> None:
        self._room.give(self._held)
        self._held = 0
        if self._spool is not None:
            self._spool.drop()

    def _take(self, size: int) -> bool:
        if not self._room.take(size, holds=self._held):
            return False
        self._held += size
        return True
