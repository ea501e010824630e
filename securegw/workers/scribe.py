"""A scribe: one process that does what waits together in one go, and the reactor's side of it.

What is asked while the reactor looks at its connections goes over as one group; while some groups are under way the
next one grows, so that nobody has to pause for it. Not what a group does: that is a plain function of who hires it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from typing import Any, Protocol, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from securegw.workers.hand import Ended, Hand, Job
from securegw.workers.parcels import BadParcel, pack_plainly, unpack_warily

T = TypeVar("T")

AHEAD = 2  # groups that the process has: one is being done, and the next one is there when that is answered
MOST = 200  # wishes in a group
LONGEST = 3600.0  # seconds; a group ends by itself, and a disk that hangs keeps also who is killed


class Answer(Future[T]):
    """A future that the reactor's thread alone makes, settles and waits for: there is nothing to lock."""

    def __init__(self) -> None:
        self.deferred: Deferred[T] = Deferred()

    def set_result(self, result: T) -> None:
        self.deferred.callback(result)

    def set_exception(self, exception: BaseException | None) -> None:
        assert exception is not None
        self.deferred.errback(Failure(exception))


class Wish(Protocol):
    """What is asked for: ``parcel`` crosses to the process, ``future`` learns what came of it."""

    @property
    def future(self) -> Future[Any]: ...

    @property
    def parcel(self) -> tuple[Any, ...]: ...


# Does a group: for each wish whether it went well, and its result or error; and an error for all who wait behind it.
Serve = Callable[[str, Sequence[tuple[Any, ...]]], tuple[Sequence[tuple[bool, Any]], BaseException | None]]


class Scribe:
    """``serve`` is run in the process with ``place`` and the parcels of a group, and with none at the end.

    ``lost`` makes the error for wishes of which nobody knows what became of them.
    """

    def __init__(self, reactor: Any, serve: Serve, place: str, memory: int, lost: Callable[[str], Exception]) -> None:
        self._reactor, self._serve, self._place, self._lost = reactor, serve, place, lost
        self._hand = Hand(reactor, lambda: LONGEST, memory, self._answered, self._ended, pack_plainly)
        self._waiting: deque[Wish] = deque()
        self._groups: deque[list[Wish]] = deque()  # that the process has
        self._called = False  # to send what waits, when the connections have been looked at
        self._idle: Deferred[None] | None = None  # somebody waits for the end

    def future(self) -> Future[Any]:
        """The future for a wish."""
        return Answer()

    def ask(self, wish: Wish) -> None:
        """Have this done with what else waits; in the reactor's thread."""
        if self._idle is not None:
            wish.future.set_exception(self._lost("the database is closed"))
            return
        self._waiting.append(wish)
        self._send_soon()

    async def close(self) -> None:
        """Finish what waits, and end the process; whoever comes later is sent away."""
        idle = self._idle = Deferred()
        self._rest()
        await idle
        closed = self._idle = Deferred()
        self._give([])  # it closes what it has opened
        await closed
        self._hand.close()

    def _send_soon(self) -> None:
        if not self._called and len(self._groups) < AHEAD:
            self._called = True
            self._reactor.callLater(0, self._send)

    def _send(self) -> None:
        self._called = False
        if self._waiting:
            count = min(MOST, len(self._waiting))
            self._give([self._waiting.popleft() for _ in range(count)])

    def _give(self, group: list[Wish]) -> None:
        try:
            self._hand.give(Job((self._serve, (self._place, [wish.parcel for wish in group]), {})))
        except OSError as error:
            self._fail(group, self._lost(f"a process could not be made: {error}"))
            self._rest()
        except Exception as error:  # what cannot be sent
            self._give_alone(group, error)
        else:
            self._groups.append(group)

    def _give_alone(self, group: list[Wish], error: Exception) -> None:
        if len(group) > 1:
            for wish in group:
                self._give([wish])
        else:
            self._fail(group, error)
            self._rest()

    def _answered(self, hand: Hand, job: Job, text: bytes, behind: list[bytes]) -> None:
        group = self._groups.popleft()
        try:
            good, told = unpack_warily(text, b"".join(behind))
            outcomes, away = told if good else ([(False, told)] * len(group), None)
            answers = list(zip(group, outcomes, strict=True))
        except (BadParcel, TypeError, ValueError) as error:
            hand.end(job)
            self._fail(group, self._lost(f"an answer may not be read: {error}"))
        else:
            if away is not None:  # who has waited behind a group that was kept waiting does not wait as long once more
                self._fail(self._take_all(), away)
            self._settle(answers)
        self._rest()

    def _settle(self, answers: Iterable[tuple[Wish, tuple[bool, Any]]]) -> None:
        for wish, (good, result) in answers:
            if good:
                wish.future.set_result(result)
            else:
                wish.future.set_exception(result)

    def _ended(self, ended: Ended) -> None:
        """The process has gone. What it had begun may be done or not; what was sent ahead goes to the next one."""
        groups, self._groups = self._groups, deque()
        lost = groups.popleft() if groups else []
        behind = [wish for group in groups for wish in group]
        if ended.began:
            self._waiting.extendleft(reversed(behind))
        else:  # nor would the next one
            lost += behind + self._take_all()
        self._fail(lost, self._lost("the process that writes has ended"))
        self._rest()

    def _rest(self) -> None:
        """Go on, or tell who waits for the end."""
        if self._waiting:
            self._send_soon()
        elif not self._groups and self._idle is not None:
            idle, self._idle = self._idle, Deferred()
            idle.callback(None)

    def _take_all(self) -> list[Wish]:
        waiting, self._waiting = self._waiting, deque()
        return list(waiting)

    def _fail(self, group: Iterable[Wish], error: BaseException) -> None:
        for wish in group:
            wish.future.set_exception(error)
