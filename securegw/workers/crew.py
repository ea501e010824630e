"""A crew: some worker processes, and the work that waits for them, in order.

Who kills or keeps a process harms no other's work: what was sent ahead to it and not begun goes to the next one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred

from securegw.mail.errors import Later, WorkerLost
from securegw.workers.hand import Ended, Hand, Job
from securegw.workers.parcels import BadParcel, unpack_warily

if TYPE_CHECKING:
    from securegw.workers.work import Work

INLINE = 1 << 20  # a larger answer is put together in a thread


class Crew:
    """``seconds`` are allowed for each piece of work, and ``memory`` for each process; ``threads`` puts large answers
    together."""

    def __init__(self, reactor: Any, count: int, seconds: Callable[[], float], threads: Work, memory: int) -> None:
        self.hands = [Hand(reactor, seconds, memory, self._answered, self._ended) for _ in range(count)]
        self._threads = threads
        self._waiting: deque[Job] = deque()
        self._stopped = False

    def do(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Deferred[Any]:
        """The result; `WorkerLost` if the process dies of it or it takes more than the time allowed."""
        job = Job((function, args, kwargs))
        self._waiting.append(job)
        self._go()
        return job.done

    def stop(self) -> None:
        """End all processes; who waits is told."""
        self._stopped = True
        for hand in self.hands:
            self._waiting.extend(hand.close())
        self._go()

    def _go(self) -> None:
        while self._waiting:
            if self._stopped:
                _fail(self._waiting.popleft(), WorkerLost(detail="the workers have been stopped"))
                continue
            hand = min(self.hands, key=lambda hand: len(hand.jobs))
            if not hand.has_room:
                return
            job = self._waiting.popleft()
            try:
                hand.give(job)
            except OSError as error:
                _fail(job, Later(detail=f"a worker process could not be made: {error}"))
            except Exception as error:  # what cannot be sent
                _fail(job, error)

    def _answered(self, hand: Hand, job: Job, text: bytes, behind: list[bytes]) -> None:
        self._go()
        if sum(map(len, behind)) <= INLINE:
            return self._settle(hand, job, _read(text, behind))
        self._threads.thread(_read, text, behind).addCallback(lambda answer: self._settle(hand, job, answer))
        return None

    def _settle(self, hand: Hand, job: Job, answer: tuple[bool, Any]) -> None:
        good, result = answer
        if good:
            job.done.callback(result)
        elif isinstance(result, BadParcel):
            hand.end(job)
            _fail(job, WorkerLost(detail=f"the answer of a worker process may not be read: {result}"))
        else:
            _fail(job, result)

    def _ended(self, ended: Ended) -> None:
        if ended.guilty is not None:
            ended.jobs.remove(ended.guilty)
        self._waiting.extendleft(reversed(ended.jobs))
        self._go()
        if ended.guilty is not None:
            _fail(ended.guilty, _lost(ended))


def _read(text: bytes, behind: list[bytes]) -> tuple[bool, Any]:
    """The answer: whether it went well, and the result or the error."""
    try:
        good, result = unpack_warily(text, b"".join(behind))
    except (BadParcel, TypeError, ValueError) as error:
        return False, BadParcel(str(error))
    return bool(good), result if good or isinstance(result, Exception) else BadParcel("no error")


def _lost(ended: Ended) -> Exception:
    if ended.began:
        return WorkerLost(detail="a worker process died or was ended")
    return Later(detail="a worker process could not begin")


def _fail(job: Job, error: Exception) -> None:
    job.done.errback(error)
