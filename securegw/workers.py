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
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from typing import Any, ParamSpec, Protocol, TypeVar

import attrs
from twisted.internet.defer import Deferred, fail, succeed
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


class Workers:
    """A pool of threads and one of spawned processes, which is made when first needed and again when it breaks."""

    def __init__(self, reactor: Any, settings: WorkersSettings) -> None:
        self.reactor = reactor
        self.settings = settings
        self.threads = ThreadPool(minthreads=1, maxthreads=settings.threads, name="securegw")
        self.processes: ProcessPoolExecutor | None = None
        self.lock = threading.Lock()
        self.settled: list[tuple[Future[Any], Deferred[Any]]] = []

    def start(self) -> None:
        self.threads.start()

    def stop(self) -> None:
        self.threads.stop()
        self._end_processes()

    def thread(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Deferred[T]:
        """Run in a thread."""
        done: Deferred[T] = Deferred()

        def tell(success: bool, result: Any) -> None:
            self.reactor.callFromThread(done.callback if success else done.errback, result)

        self.threads.callInThreadWithCallback(tell, function, *args, **kwargs)
        return done

    def process(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Deferred[T]:
        """Run in a process of its own; `WorkerLost` if it dies or takes more than the time allowed."""
        try:
            future = self._pool().submit(function, *args, **kwargs)
        except BrokenProcessPool:
            self._end_processes()
            future = self._pool().submit(function, *args, **kwargs)
        settled = self.settle(future)
        too_long = self.reactor.callLater(self.settings.seconds, self._end_processes)

        def ended(result: T | Failure) -> T | Failure:
            if too_long.active():
                too_long.cancel()
            if isinstance(result, Failure) and result.check(BrokenProcessPool):
                self._end_processes()
                raise WorkerLost(detail="a worker process died or was ended")
            return result

        settled.addBoth(ended)
        return settled

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

    def _pool(self) -> ProcessPoolExecutor:
        if self.processes is None:
            # Spawned, never forked: a fork would copy the reactor and every key in memory.
            self.processes = ProcessPoolExecutor(
                self.settings.processes,
                multiprocessing.get_context("spawn"),
                initializer=bound_process,
                initargs=(os.getpid(),),
            )
        return self.processes

    def _end_processes(self) -> None:
        pool, self.processes = self.processes, None
        if pool is None:
            return
        for process in list((pool._processes or {}).values()):
            process.kill()
        pool.shutdown(wait=False, cancel_futures=True)


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
