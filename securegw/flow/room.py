"""Whether there is room for another mail: on the disk, and in the queue.

Both are looked at now and then, never for each mail. What is full says "later", and nothing is lost: the sender
keeps the mail and comes again (threats 6, drill D5).
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import txaio
from twisted.internet.defer import Deferred

from securegw import counters
from securegw.mail.errors import DiskFull
from securegw.store import desk

if TYPE_CHECKING:
    from securegw.store.database import Database
    from securegw.workers.work import Work

log = txaio.make_logger()

LOOK_EVERY = 1.0
COUNT_EVERY = 10.0
TIMES_SIZE = 3  # a mail is on the disk as it came, as it goes, and in the log of the database

REFUSED = counters.declare("securegw_refused_without_room", "Mails put off because something was full.", ["what"])
QUEUED = counters.declare_gauge("securegw_queue_items", "Mails in the queue when they were last counted.")
FREE = counters.declare_gauge("securegw_free_bytes", "Free bytes of the disk that keeps the queue.")


def folder_of(database: Database) -> Path | None:
    """Where a database of one file is; None for one in memory, and for a server, which says itself when it is full."""
    url = database.url
    if url.get_backend_name() != "sqlite" or url.database in (None, "", ":memory:"):
        return None
    return Path(str(url.database)).parent


def free_bytes(folder: Path) -> int:
    return shutil.disk_usage(folder).free


@attrs.define(eq=False, kw_only=True)
class Room:
    """Knows the free space of ``folder`` and the length of the queue, each not quite of this moment.

    ``floor`` bytes are left free, three times a mail's size is always; the queue takes ``most`` mails.
    """

    floor: int
    most: int
    database: Database
    workers: Work
    now: Callable[[], float]
    folder: Path | None
    free: Callable[[Path], int] = free_bytes
    left: int | None = None
    queued: int = 0
    looked: float = float("-inf")
    counted: float = float("-inf")

    def check(self, size: int) -> None:
        """Raise DiskFull if there is no room for a mail of this size."""
        self._look()
        if self.left is not None and self.left < max(self.floor, TIMES_SIZE * size):
            REFUSED.labels("disk").inc()
            raise DiskFull(detail=f"{self.left} bytes are free on the disk")
        if self.queued >= self.most:
            REFUSED.labels("queue").inc()
            raise DiskFull(detail=f"{self.queued} mails are in the queue")

    def taken(self, size: int) -> None:
        """Another mail is in: known at once, whenever the next count is."""
        self.queued += 1
        if self.left is not None:
            self.left -= size

    def _look(self) -> None:
        now = self.now()
        if not 0 <= now - self.looked < LOOK_EVERY and self.folder is not None:
            self.looked, self.left = now, self.free(self.folder)
            FREE.set(self.left)
        if not 0 <= now - self.counted < COUNT_EVERY:
            self.counted = now
            Deferred.fromCoroutine(self._count()).addErrback(_not_counted)

    async def _count(self) -> None:
        counts = await self.workers.settle(self.database.read(desk.counts))
        self.queued = counts.accepted + counts.ready + counts.held + counts.parked
        QUEUED.set(self.queued)


def _not_counted(failure: object) -> None:
    """The database is in trouble; who tries to store a mail is told so. The old count stands."""
    log.warn("the queue could not be counted: {failure}", failure=str(failure))
