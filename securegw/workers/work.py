"""What the other rooms see of the workers: ask for a plain function to be run, get a Deferred.

Not the choice what is run where: that is made by who asks.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, ParamSpec, Protocol, TypeVar

import attrs
from twisted.internet.defer import Deferred, fail, succeed
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool

from securegw.config import number, setting, size
from securegw.workers.crew import Crew
from securegw.workers.parcels import HEAD, pack, pack_answer, unpack, unpack_warily
from securegw.workers.scribe import Answer

P = ParamSpec("P")
T = TypeVar("T")

DISK_THREADS = 2
SLICE = 12  # things to do soon, between two looks at the connections
SOON = 0.0005  # seconds in which who is waited for comes first; the work is there when all of them wait for the disk
TIMES_SIZE = 10  # that a mail may take in memory while it is taken apart (REL7)


@attrs.frozen
class WorkersSettings:
    """How many hands there are beside the reactor, and what they may hold."""

    threads: int = setting(number(1, 64), default=2, help="Threads that sign, encrypt and open what is large.")
    processes: int = setting(
        number(1, 64), default=1, help="Processes that take apart what strangers sent, ended when they take too long."
    )
    own_processes: int = setting(number(1, 64), default=1, help="Processes that sign and encrypt what our users send.")
    seconds: int = setting(
        number(1, 600), default=20, help="Seconds of work on one mail in a process before it is ended."
    )
    memory: int = setting(
        size,
        default="1 GB",
        help="Memory of a process; what needs more fails, and is parked when it fails again and again. Ten times the "
        "largest mail is always.",
    )
    large_memory: int = setting(
        size, default="256 MB", help="Memory for work on mails over 1 MB, four times the size of each; others wait."
    )


class Work(Protocol):
    """The ways to have work done; tests do all of it at once (`InlineWorkers`)."""

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def thread(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Deferred[T]: ...

    def disk(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Deferred[T]: ...

    def process(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Deferred[T]: ...

    def own_process(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Deferred[T]: ...

    def settle(self, future: Future[T]) -> Deferred[T]: ...

    def soon(self, function: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> None: ...


class Workers:
    """A pool of threads, and two crews of processes: what strangers sent is never in one with what our users send."""

    def __init__(self, reactor: Any, settings: WorkersSettings, *, largest: int = 0) -> None:
        """``largest``: the size of the largest mail."""
        self.reactor = reactor
        self.settings = settings
        self.threads = ThreadPool(minthreads=1, maxthreads=settings.threads, name="securegw")
        self.disks = ThreadPool(minthreads=0, maxthreads=DISK_THREADS, name="securegw-disk")
        self.memory = memory = max(settings.memory, TIMES_SIZE * largest)  # of each process
        self.strangers = Crew(reactor, settings.processes, self._seconds, self, memory)
        self.own = Crew(reactor, settings.own_processes, self._seconds, self, memory)
        self.stopped = False
        self.lock = threading.Lock()
        self.later: deque[tuple[Callable[..., object], tuple[Any, ...], dict[str, Any]]] = deque()
        self.settled: list[tuple[Future[Any], Deferred[Any]]] = []

    def _seconds(self) -> float:
        return self.settings.seconds

    def start(self) -> None:
        self.threads.start()
        self.disks.start()

    def stop(self) -> None:
        if self.stopped:
            return
        self.stopped = True
        self.threads.stop()
        self.disks.stop()
        self.strangers.stop()
        self.own.stop()

    def thread(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Deferred[T]:
        """Run in a thread."""
        return self._in(self.threads, function, *args, **kwargs)

    def disk(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Deferred[T]:
        """Run in a thread that may wait for the disk: who signs and seals does not wait behind it."""
        return self._in(self.disks, function, *args, **kwargs)

    def _in(self, pool: ThreadPool, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Deferred[T]:
        done: Deferred[T] = Deferred()

        def tell(success: bool, result: Any) -> None:
            self.reactor.callFromThread(done.callback if success else done.errback, result)

        pool.callInThreadWithCallback(tell, function, *args, **kwargs)
        return done

    def process(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Deferred[T]:
        """Run in a process for what strangers sent; `WorkerLost` if it dies or takes more than the time allowed."""
        return self.strangers.do(function, args, kwargs)

    def own_process(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Deferred[T]:
        """Run in a process for what our own users send, which sees nothing that a stranger made."""
        return self.own.do(function, args, kwargs)

    def settle(self, future: Future[T]) -> Deferred[T]:
        """A future of another thread as a Deferred of the reactor's."""
        if isinstance(future, Answer):
            return future.deferred
        if future.done():
            return _settled(future)
        done: Deferred[T] = Deferred()
        future.add_done_callback(lambda finished: self._tell(finished, done))
        return done

    def soon(self, function: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> None:
        """Run in the reactor's thread in a moment, when it has looked at its connections; some at a time, in order."""
        if not self.later:
            self.reactor.callLater(SOON, self._some)
        self.later.append((function, args, kwargs))

    def _some(self) -> None:
        try:
            for _ in range(min(SLICE, len(self.later))):
                function, args, kwargs = self.later.popleft()
                function(*args, **kwargs)
        finally:  # one that raises is logged by the reactor and does not stop the others
            if self.later:
                self.reactor.callLater(SOON, self._some)

    def _tell(self, finished: Future[Any], done: Deferred[Any]) -> None:
        """In another thread: a commit settles many at once, and they wake the reactor once."""
        with self.lock:
            self.settled.append((finished, done))
            first = len(self.settled) == 1
        if first:
            with suppress(RuntimeError):  # the reactor has gone: nobody waits any more
                self.reactor.callFromThread(self._hand_over_all)

    def _hand_over_all(self) -> None:
        with self.lock:
            settled, self.settled = self.settled, []
        for finished, done in settled:
            _hand_over(finished, done)


class InlineWorkers:
    """Does everything at once in the caller's thread: a whole gateway on a fake clock needs no real hands."""

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def thread(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Deferred[T]:
        try:
            return succeed(function(*args, **kwargs))
        except Exception:
            return fail(Failure())

    disk = thread

    def process(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Deferred[T]:
        """As in a process: what cannot cross to one is found in a test."""
        return self.thread(_as_in_a_process, function, args, kwargs)

    own_process = process

    def settle(self, future: Future[T]) -> Deferred[T]:
        return _settled(future)

    def soon(self, function: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> None:
        function(*args, **kwargs)


def _as_in_a_process(function: Callable[..., T], args: tuple[Any, ...], kwargs: dict[str, Any]) -> T:
    head, *behind = pack((function, args, kwargs), {})
    function, args, kwargs = unpack(head[HEAD:], b"".join(behind), {})
    head, *behind = pack_answer(function(*args, **kwargs))
    result: T = unpack_warily(head[HEAD:], b"".join(behind))
    return result


def _settled(future: Future[T]) -> Deferred[T]:
    try:
        return succeed(future.result())
    except Exception:
        return fail(Failure())


def _hand_over(future: Future[T], done: Deferred[T]) -> None:
    error = future.exception()
    if error is None:
        done.callback(future.result())
    else:
        done.errback(Failure(error))
