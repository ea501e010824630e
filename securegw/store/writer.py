"""One transaction at a time, for all who wait: the group commit.

The thread takes everything that waits, runs it in one transaction, commits once, and only then tells the callers.
Under load it pauses between two groups, so that they grow and the cost of statements and disk is shared; who comes
alone is served at once, and the pause ends when as many wait for one step as the last groups had members: then all
who could come are there. A step that fails does not fail its neighbours: the group is rolled back and each is run
again, alone. So a step may run twice, and must have no effect but in its connection.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from itertools import groupby
from queue import Empty, SimpleQueue
from typing import Any

import attrs
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from securegw.mail.errors import StoreBusy
from securegw.store import bodies
from securegw.store.checkpoint import Checkpointer
from securegw.store.deadline import Deadline, lost_at_once
from securegw.store.engine import commit
from securegw.store.troubles import lost_connection, translate, was_undone

GROUP_LIMIT = 200  # requests in one transaction: it must end in a time that the callers can wait
GATHER = 0.002
LAST = 4  # groups whose largest says how many callers there are
TRIES = 3  # of a transaction that the server has undone for the sake of another one


@attrs.define(eq=False)
class Request:
    """A step that waits for its transaction. ``many``: neighbours with the same step are run in one call."""

    step: Callable[..., Any]
    arguments: tuple[Any, ...]
    named: dict[str, Any]
    many: bool
    future: Future[Any] = attrs.field(factory=Future)

    @property
    def parcel(self) -> tuple[Any, ...]:
        """What crosses to another process: all that makes the same request there."""
        return self.step, self.arguments, self.named, self.many

    def kind(self) -> object:
        """Equal for requests that can share one call."""
        return self.step if self.many else id(self)


class DatabaseAway(Exception):
    """BEGIN or COMMIT failed: nobody of the group has been served."""

    def __init__(self, cause: BaseException) -> None:
        super().__init__(str(cause))
        self.cause = cause


def nobody_served(error: BaseException) -> bool:
    """True if the database is away, so that it is of no use to try the neighbours one by one."""
    return isinstance(error, DatabaseAway) or lost_connection(error)


class Writer:
    """Runs groups of requests; with ``start`` in a thread of its own, without in the caller's."""

    def __init__(self, engine: Engine, deadline: Deadline, checkpointer: Checkpointer | None = None) -> None:
        self._engine = engine
        self._deadline = deadline
        self._checkpointer = checkpointer
        self._waiting: SimpleQueue[Request | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._connection: Connection | None = None
        self._ready = threading.Event()
        self._enough = 0  # when so many wait for one and the same step, hardly anybody else is to come
        self._step: Callable[..., Any] | None = None  # of the last request, and how many came with it
        self._alike = 0

    def start(self) -> None:
        """Begin to serve."""
        self._thread = threading.Thread(target=self._serve, name="securegw-writer", daemon=True)
        self._thread.start()

    def ask(self, request: Request) -> None:
        """Queue the request; its future resolves after COMMIT has returned."""
        with self._lock:  # nothing may come behind the mark that ends the thread
            if not self._closed:
                self._waiting.put(request)
                if request.step is not self._step:
                    self._step, self._alike = request.step, 0
                self._alike += 1
                if self._alike == self._enough:
                    self._ready.set()
                return
        request.future.set_exception(StoreBusy(detail="the database is closed"))

    def close(self) -> None:
        """Finish what waits, take nothing new."""
        with self._lock:
            already, self._closed = self._closed, True
        self._ready.set()
        if self._thread is not None and not already:
            self._waiting.put(None)
            self._thread.join()
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def serve(self, group: Sequence[Request]) -> Exception | None:
        """Run a group to its end: every future is resolved when this returns. An error if nobody could be served."""
        taken = [request for request in group if request.future.set_running_or_notify_cancel()]
        if not taken:
            return None
        try:
            results = self._transaction(taken)
        except Exception as error:
            if len(taken) == 1 or nobody_served(error):
                _fail(taken, error)
            else:
                return self._one_by_one(taken)
            return error if nobody_served(error) else None
        else:
            for request, result in zip(taken, results, strict=True):
                request.future.set_result(result)
            if self._checkpointer is not None and self._connection is not None:
                self._checkpointer.written(self._connection)
        return None

    def _serve(self) -> None:
        going_on, sizes = True, deque((0,), maxlen=LAST)
        while going_on:
            group, going_on = self._take()
            self._alike = 0
            sizes.append(len(group))
            if error := self.serve(group):
                going_on = self._turn_away(error) and going_on
            elif len(group) > 1:
                self._gather(max(sizes))

    def _gather(self, enough: int) -> None:
        """Let the next group grow, for as long as GATHER or until so many wait for the same step."""
        with self._lock:
            self._ready.clear()
            self._enough = enough
            wait = not self._closed and self._alike < enough
        if wait:
            self._ready.wait(GATHER)
        self._enough = 0

    def _turn_away(self, error: Exception) -> bool:
        """Who has waited behind a group that the database kept waiting does not wait as long once more (D10)."""
        waited: list[Request] = []
        try:
            while (request := self._waiting.get_nowait()) is not None:
                waited.append(request)
        except Empty:
            pass
        else:
            return False
        finally:
            _fail([request for request in waited if request.future.set_running_or_notify_cancel()], error)
        return True

    def _take(self) -> tuple[list[Request], bool]:
        request = self._waiting.get()
        group: list[Request] = []
        try:
            while request is not None:
                group.append(request)
                if len(group) == GROUP_LIMIT:
                    return group, True
                request = self._waiting.get_nowait()
        except Empty:
            return group, True
        return group, False

    def _one_by_one(self, requests: Sequence[Request]) -> Exception | None:
        for position, request in enumerate(requests):
            try:
                [result] = self._transaction([request])
            except Exception as error:
                if nobody_served(error):  # each further try may cost a time-out
                    _fail(requests[position:], error)
                    return error
                _fail([request], error)
            else:
                request.future.set_result(result)
        return None

    def _transaction(self, requests: Sequence[Request]) -> list[Any]:
        began, lost = time.monotonic(), False
        for tries in range(1, TRIES + 1):
            try:
                return self._attempt(requests)
            except DBAPIError as error:
                # The server has closed an idle connection, or restarted; nothing was committed, so a new one may try.
                again = lost_at_once(began) and not lost if lost_connection(error) else was_undone(error)
                lost = lost or lost_connection(error)
                if not again or tries == TRIES:
                    raise
        raise AssertionError("the last try returns or raises")

    def _attempt(self, requests: Sequence[Request]) -> list[Any]:
        connection = self._begin()
        try:
            with self._deadline.over(connection):
                bodies.begin(connection)
                results = _run(connection, requests)
                try:
                    commit(connection)
                except Exception as error:
                    if was_undone(error):  # nothing is unknown about it
                        raise
                    raise DatabaseAway(error) from error
        except BaseException:
            connection.close()  # rolls back
            raise
        bodies.committed(connection)
        if connection.dialect.name == "sqlite":
            self._connection = connection
        else:  # the pool looks each time whether this is still the server
            connection.close()
        return results

    def _begin(self) -> Connection:
        """A transaction; in SQLite on the connection of the last one, if that went well."""
        connection, self._connection = self._connection, None
        try:
            connection = connection or self._engine.connect()
            try:
                connection.begin()
            except BaseException:
                connection.close()
                raise
        except Exception as error:
            raise DatabaseAway(error) from error
        return connection


def _run(connection: Connection, requests: Sequence[Request]) -> list[Any]:
    results: list[Any] = []
    for _, neighbours in groupby(requests, Request.kind):
        run = list(neighbours)
        first = run[0]
        if first.many:
            answers = first.step(connection, [request.arguments[0] for request in run])
            if len(answers) != len(run):  # found before COMMIT, or somebody would wait for ever
                raise ValueError(f"{len(run)} arguments, but {len(answers)} results")
            results += answers
        else:
            results.append(first.step(connection, *first.arguments, **first.named))
    return results


def for_all(error: BaseException) -> BaseException:
    """The error of a group as its callers are told it."""
    return translate(error.cause if isinstance(error, DatabaseAway) else error)


def _fail(requests: Sequence[Request], error: BaseException) -> None:
    told = for_all(error)
    for request in requests:
        request.future.set_exception(told)
