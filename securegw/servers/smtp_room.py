"""Room in memory for the texts that are coming in: how much large ones may hold together, until they are durable.

Not a limit of one message, and not the room on the disk (flow/room). A text holds a small share without asking;
beyond it, it must get what it announced, or twice what it has. What gets nothing is told to come later (RFC 5321
4.2.2: 452), before the text where SIZE announced it (RFC 1870 6.1), else at its end, and is not kept meanwhile.
Nobody waits for room that another one has: so nobody can wait for ever.
"""

from __future__ import annotations

from securegw.servers.smtp_commands import Reply
from securegw.servers.smtp_counters import TEXTS

SHARE = 256 * 1024
FULL = Reply(452, "4.3.1", "Too many large messages at once; please try again", "no-memory")


class TextRoom:
    """Counts bytes; ``door`` is its name among the gauges."""

    def __init__(self, total: int, door: str = "smtp") -> None:
        self.total = total
        self.taken = 0
        TEXTS.labels(door).set_function(lambda: self.taken)

    def take(self, size: int, *, holds: int = 0) -> bool:
        """So much more for one that ``holds`` some; whoever is alone always gets it, however large it is."""
        if self.taken > holds and self.taken + size > self.total:
            return False
        self.taken += size
        return True

    def give(self, size: int) -> None:
        self.taken -= size


class Place:
    """What one text has of the room. ``grow`` is asked before more is kept; False for good once it got nothing."""

    def __init__(self, room: TextRoom) -> None:
        self.refused = False
        self._room = room
        self._held = 0

    def grow(self, size: int) -> bool:
        """Whether a text of this size may be kept."""
        free = SHARE + self._held
        if size > free and not self.refused:
            more = max(size - free, self._held, SHARE)
            if not self._take(more) and not self._take(size - free):
                self.refused = True
                self.leave()
        return not self.refused

    def leave(self) -> None:
        self._room.give(self._held)
        self._held = 0

    def _take(self, size: int) -> bool:
        if not self._room.take(size, holds=self._held):
            return False
        self._held += size
        return True
