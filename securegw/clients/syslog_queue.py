"""The lines that one log receiver has not got yet: in memory while they flow, on the disk while they wait.

Their order is kept: ``head`` came back or was read from the disk, then what is on the disk, then ``tail``. What was
sent lately is kept too, because TCP does not say what the other side has read: after a lost connection it is sent
again, and a line may then come twice rather than never. Files are touched in a worker's thread, one call at a time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred

from securegw.clients.syslog_buffer import DiskBuffer
from securegw.workers.work import Work

SPILL = 64 << 10  # bytes in memory from which on the disk takes them
MEMORY = 8 << 20  # ... beyond which they are lost, because the disk is too slow
DOUBTFUL = 10.0  # seconds for which a line that was sent may not have been read
DOUBTFUL_BYTES = 4 << 20


class SyslogQueue:
    """``take`` gives the next lines to send; ``ready`` is called when there are some again."""

    def __init__(self, disk: DiskBuffer, workers: Work, now: Callable[[], float], ready: Callable[[], None]) -> None:
        self.lost = 0
        self._disk = disk
        self._workers = workers
        self._now = now
        self._ready = ready
        self._head: deque[bytes] = deque()
        self._tail: deque[bytes] = deque()
        self._tail_bytes = 0
        self._sent: deque[tuple[float, bytes]] = deque()
        self._sent_bytes = 0
        self._moving: list[bytes] = []
        self._busy: Deferred[None] | None = None
        self._ending = False

    def open(self) -> None:
        """Look what an earlier process has left."""
        self._work(self._disk.open)

    @property
    def waiting(self) -> int:
        """Lines in memory; those on the disk are counted in bytes only."""
        return len(self._head) + len(self._tail) + len(self._moving)

    @property
    def full(self) -> float:
        """How full the disk's share is, in percent."""
        return 100.0 * self._disk.bytes / max(self._disk.limit, 1)

    @property
    def on_disk(self) -> int:
        return self._disk.bytes

    def put(self, line: bytes) -> None:
        """The newest line."""
        if self._tail_bytes + len(line) > MEMORY:
            self.lost += 1
            return
        self._tail.append(line)
        self._tail_bytes += len(line)
        if self._tail_bytes > SPILL:
            self.spill()

    def take(self, most: int) -> list[bytes]:
        """The oldest lines, about so many bytes; none while they are being read from the disk."""
        lines: list[bytes] = []
        while most > 0 and (source := self._source()):
            line = source.popleft()
            if source is self._tail:
                self._tail_bytes -= len(line)
            most -= len(line)
            lines.append(line)
            self._remember(line)
        return lines

    def connection_lost(self) -> None:
        """What was sent lately may not have been read: it comes first when there is a connection again."""
        self._head.extendleft(line for _, line in reversed(self._sent))
        self._sent.clear()
        self._sent_bytes = 0

    def settle(self) -> None:
        """Forget what was sent so long ago that it has been read."""
        while self._sent and self._now() - self._sent[0][0] > DOUBTFUL:
            self._sent_bytes -= len(self._sent.popleft()[1])

    def spill(self) -> None:
        """Move what waits in memory to the disk; what does not fit there is lost."""
        if self._busy is None and self._tail and not self._ending:
            self._moving = list(self._tail)
            self._tail.clear()
            self._tail_bytes = 0
            self._work(self._disk.append, self._moving)

    def end(self) -> None:
        """From here on no worker is asked any more: there may be none."""
        self._ending = True

    async def close(self) -> None:
        """Write down what nobody has taken. Only now in the caller's thread: the workers are gone."""
        while self._busy is not None:
            await self._busy
        try:
            self._disk.put_back(list(self._head))
            self.lost += self._disk.append(list(self._tail))
        except OSError:
            self.lost += len(self._tail)

    def _source(self) -> deque[bytes] | None:
        if self._head:
            return self._head
        if self._busy is not None:
            return None
        if self._disk.pieces and self._ending:
            return None
        if self._disk.pieces:
            self._work(self._disk.take)
            return self._head or None  # at once where a test has no threads
        return self._tail or None

    def _remember(self, line: bytes) -> None:
        self._sent.append((self._now(), line))
        self._sent_bytes += len(line)
        while self._sent_bytes > DOUBTFUL_BYTES:
            self._sent_bytes -= len(self._sent.popleft()[1])

    def _work(self, function: Callable[..., Any], *args: Any) -> None:
        done: Deferred[None] = Deferred()
        self._busy = done
        self._workers.thread(function, *args).addBoth(self._worked, done)

    def _worked(self, result: Any, done: Deferred[None]) -> None:
        moved, self._moving = self._moving, []
        self._busy = None
        if isinstance(result, list):
            self._head.extend(result)
        elif isinstance(result, int):
            self.lost += result
        elif result is not None:  # a Failure; it is not logged, for this is the log
            self.lost += len(moved)
        done.callback(None)
        self._ready()
