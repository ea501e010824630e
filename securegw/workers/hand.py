"""A hand: one worker process, as the reactor sees it - a socket on which work goes out and answers come in, in order.

There is no thread and no queue between the reactor and the process: each would have to be woken, and would wait for
the GIL. Some pieces of work are sent ahead, so that the process has the next one when it has answered the last.
"""

from __future__ import annotations

import multiprocessing
import os
import socket
from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import TYPE_CHECKING, Any

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReadWriteDescriptor
from zope.interface import implementer

from securegw.workers.parcels import Arrivals, BadParcel, Places, pack
from securegw.workers.servant import serve

if TYPE_CHECKING:
    from multiprocessing.context import SpawnProcess

    from twisted.internet.interfaces import IDelayedCall

AHEAD = 8  # pieces of work that a process may have before it
AHEAD_BYTES = 1 << 20
BUFFER = 256 * 1024
PIECES = 64  # that one call of the system takes
START = 60.0  # seconds until a process must be there: no mail is to blame for a slow machine

# Spawned, never forked: a fork would copy the reactor and every key in memory.
_SPAWN = multiprocessing.get_context("spawn")


@attrs.define(eq=False)
class Job:
    """One piece of work - a function and its arguments -, who waits for it, and the size of its parcel."""

    work: tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]
    done: Deferred[Any] = attrs.field(factory=Deferred)
    size: int = 0


@attrs.frozen
class Ended:
    """What is left of a process that has gone: the work that it did not do, and which of it is to blame.

    ``began`` is false if it went before it had seen any work.
    """

    jobs: deque[Job]
    guilty: Job | None
    began: bool


@implementer(IReadWriteDescriptor)
class Hand:
    """``seconds`` are allowed for each piece of work, ``memory`` for the process; ``answered`` is told of each parcel
    that came for one, and ``ended`` of the end of the process. ``packed`` makes parcels of work."""

    def __init__(
        self,
        reactor: Any,
        seconds: Callable[[], float],
        memory: int,
        answered: Callable[[Hand, Job, bytes, list[bytes]], None],
        ended: Callable[[Ended], None],
        packed: Callable[[object, Places], list[bytes]] = pack,
    ) -> None:
        self._reactor, self._seconds, self._memory = reactor, seconds, memory
        self._answered, self._ended, self._packed = answered, ended, packed
        self._process: SpawnProcess | None = None
        self._socket: socket.socket | None = None
        self._buffer = bytearray(BUFFER)
        self._forget()

    def _forget(self) -> None:
        self.jobs: deque[Job] = deque()
        self.bytes = 0
        self._places: Places = {}
        self._unsent: deque[memoryview] = deque()
        self._arrivals = Arrivals()
        self._writing = self._ready = False
        self._timer: IDelayedCall | None = None
        self._guilty: Job | None = None

    @property
    def has_room(self) -> bool:
        return not self.jobs or (len(self.jobs) < AHEAD and self.bytes < AHEAD_BYTES)

    def give(self, job: Job) -> None:
        """Another piece of work, behind what there is. Raises what is wrong with it, or with making a process."""
        if self._socket is None:
            self._begin(getattr(job.work[0], "__module__", None) or "")
        places = dict(self._places)
        pieces = self._packed(job.work, places)
        self._places = places  # only now: what could not be packed does not get there
        self.jobs.append(job)
        job.size = sum(map(len, pieces))
        self.bytes += job.size
        self._unsent.extend(map(memoryview, pieces))
        if len(self.jobs) == 1 and self._ready:
            self._watch(self._seconds())
        if not self._writing:
            self.doWrite()

    def end(self, guilty: Job | None = None) -> None:
        """Kill the process, because of this piece of work; it is told as ended when it is gone."""
        self._guilty = self._guilty or guilty
        if self._process is not None:
            self._process.kill()

    def close(self) -> deque[Job]:
        """Kill it and forget it, without a word; returns what it had to do."""
        jobs = self.jobs
        if self._process is not None:
            self._process.kill()
            self._process.join(1)  # a killed one is gone at once
        self._let_go()
        return jobs

    def _begin(self, room: str) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            process = _SPAWN.Process(target=serve, args=(theirs, os.getpid(), self._memory, room), daemon=True)
            try:
                process.start()
            except BaseException:
                ours.close()
                raise
        ours.setblocking(False)
        self._process, self._socket = process, ours
        self._reactor.addReader(self)
        self._watch(START)

    def _let_go(self) -> None:
        if self._socket is not None:
            self._reactor.removeReader(self)
            self._reactor.removeWriter(self)
            self._socket.close()
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._socket = self._process = None
        self._forget()

    # Called by the reactor

    def fileno(self) -> int:
        return self._socket.fileno() if self._socket is not None else -1

    def logPrefix(self) -> str:
        return "worker"

    def doWrite(self) -> None:
        assert self._socket is not None
        try:
            while self._unsent:
                self._sent(self._socket.sendmsg(islice(self._unsent, PIECES)))
        except BlockingIOError:
            return self._want_to_write(True)
        except OSError:  # it has died: what it has answered is still to be read
            self._unsent.clear()
        return self._want_to_write(False)

    def _sent(self, count: int) -> None:
        while count:
            first = self._unsent[0]
            if count < len(first):
                self._unsent[0] = first[count:]
                return
            count -= len(first)
            self._unsent.popleft()

    def _want_to_write(self, wanted: bool) -> None:
        if wanted is not self._writing:
            self._writing = wanted
            (self._reactor.addWriter if wanted else self._reactor.removeWriter)(self)

    def doRead(self) -> None:
        assert self._socket is not None
        try:
            count = self._socket.recv_into(self._buffer)
        except BlockingIOError:
            return
        except OSError:
            count = 0
        if count == 0:
            return self._gone()
        try:
            for text, behind in self._arrivals.feed(memoryview(self._buffer)[:count]):
                self._came(text, behind)
        except BadParcel:
            self._blame()

    def connectionLost(self, reason: Any) -> None:
        self._gone()

    # What it means

    def _came(self, text: bytes, behind: list[bytes]) -> None:
        if not self._ready:
            self._ready = True
            return self._go_on()
        if not self.jobs:  # closed meanwhile, or an answer to nothing
            return self.end()
        job = self.jobs.popleft()
        self.bytes -= job.size
        self._go_on()
        return self._answered(self, job, text, behind)

    def _go_on(self) -> None:
        """The time of the next piece of work begins."""
        if self.jobs:
            self._watch(self._seconds())
        elif self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _watch(self, seconds: float) -> None:
        if self._timer is None:
            self._timer = self._reactor.callLater(seconds, self._too_long)
        else:
            self._timer.reset(seconds)

    def _too_long(self) -> None:
        """Perhaps it was we who did not look: then there is an answer, or the news that it is ready."""
        self._timer = None
        self.doRead()
        if self.jobs and self._timer is None:
            self._blame()

    def _blame(self) -> None:
        """Kill it for its first piece of work, unless that is answered before it is dead."""
        self.end(self.jobs[0] if self.jobs else None)

    def _gone(self) -> None:
        jobs, began, blamed = self.jobs, self._ready, self._guilty
        self.end()
        self._let_go()
        guilty = jobs[0] if jobs and blamed in (None, jobs[0]) else None
        self._ended(Ended(jobs, guilty, began))
