"""Runs plain functions in threads and processes; no other file knows them.

Threads are for OpenSSL's work, which releases the GIL, and for the database's futures; processes for anything that
takes apart what a stranger sent, so that it can be ended by time and memory (threats: an item that kills its worker
is parked, not retried for ever).
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import resource
import signal
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from typing import Any, ParamSpec, Protocol, TypeVar

import attrs
from twisted.internet.defer import Deferred, DeferredQueue, fail, succeed
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool

from securegw.config import number, setting
from securegw.mail.errors import WorkerLost

P = ParamSpec("P")
T = TypeVar("T")

MEMORY_LIMIT = 1 << 30
PR_SET_PDEATHSIG = 1  # prctl(2)


@attrs.frozen
class WorkersSettings:
    """How many hands there are beside the reactor."""

    threads: int = setting(number(1, 64), default=2, help="Threads that sign, encrypt and open.")
    processes: int = setting(
        number(1, 64), default=1, help="Processes that take apart what strangers sent, ended when they take too long."
    )
    seconds: int = setting(
        number(1, 600), default=20, help="Seconds of work on one mail in a process before it is ended."
    )


class Work(Protocol):
    """The three ways to have work done; tests do all of it at once (`InlineWorkers`)."""

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def thread(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Deferred[T]: ...

    def process(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Deferred[T]: ...

    def settle(self, future: Future[T]) -> Deferred[T]: ...


def bound_process(parent: int) -> None:
    """Bound a worker process: memory, no core file (SEC10), no signal meant for the gateway, no life without it."""
    resource.setrlimit(resource.RLIMIT_AS, (4 * MEMORY_LIMIT, 4 * MEMORY_LIMIT))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with suppress(AttributeError, OSError):  # Linux; elsewhere an orphan waits for work that never comes
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


class Hand:
    """One worker process, made when first needed and again when it has died."""

    def __init__(self) -> None:
        self._pool: ProcessPoolExecutor | None = None

    def begin(self, function: Callable[..., T], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Future[T]:
        try:
            return self._made().submit(function, *args, **kwargs)
        except BrokenProcessPool:  # it died while it had nothing to do
            self.end()
            return self._made().submit(function, *args, **kwargs)

    def end(self) -> None:
        pool, self._pool = self._pool, None
        if pool is None:
            return
        for process in list((pool._processes or {}).values()):
            process.kill()
        pool.shutdown(wait=False, cancel_futures=True)

    def _made(self) -> ProcessPoolExecutor:
        if self._pool is None:
            # Spawned, never forked: a fork would copy the reactor and every key in memory.
            spawn = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(1, spawn, initializer=bound_process, initargs=(os.getpid(),))
        return self._pool


class Workers:
    """A pool of threads, and worker processes each by itself: who kills or keeps one harms no other's work."""

    def __init__(self, reactor: Any, settings: WorkersSettings) -> None:
        self.reactor = reactor
        self.settings = settings
        self.threads = ThreadPool(minthreads=1, maxthreads=settings.threads, name="securegw")
        self.hands = [Hand() for _ in range(settings.processes)]
        self.idle: DeferredQueue[Hand] = DeferredQueue()
        for hand in self.hands:
            self.idle.put(hand)
        self.stopped = False
        self.lock = threading.Lock()
        self.settled: list[tuple[Future[Any], Deferred[Any]]] = []

    def start(self) -> None:
        self.threads.start()

    def stop(self) -> None:
        if self.stopped:
            return
        self.stopped = True
        self.threads.stop()
        for hand in self.hands:
            hand.end()

    def thread(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Deferred[T]:
        """Run in a thread."""
        done: Deferred[T] = Deferred()

        def tell(success: bool, result: Any) -> None:
            self.reactor.callFromThread(done.callback if success else done.errback, result)

        self.threads.callInThreadWithCallback(tell, function, *args, **kwargs)
        return done

    def process(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Deferred[T]:
        """Run in the next idle process; `WorkerLost` if that dies or takes more than the time allowed."""
        return Deferred.fromCoroutine(self._in_process(function, args, kwargs))

    async def _in_process(self, function: Callable[..., T], args: tuple[Any, ...], kwargs: dict[str, Any]) -> T:
        hand = await self.idle.get()
        if self.stopped:
            self.idle.put(hand)
            raise WorkerLost(detail="the workers have been stopped")
        too_long = self.reactor.callLater(self.settings.seconds, hand.end)
        try:
            return await self.settle(hand.begin(function, args, kwargs))
        except (BrokenProcessPool, CancelledError):
            hand.end()
            raise WorkerLost(detail="a worker process died or was ended") from None
        finally:
            if too_long.active():
                too_long.cancel()
            self.idle.put(hand)

    def settle(self, future: Future[T]) -> Deferred[T]:
        """A future of another thread as a Deferred of the reactor's."""
        if future.done():
            return _settled(future)
        done: Deferred[T] = Deferred()
        future.add_done_callback(lambda finished: self._tell(finished, done))
        return done

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

    process = thread

    def settle(self, future: Future[T]) -> Deferred[T]:
        return _settled(future)


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
