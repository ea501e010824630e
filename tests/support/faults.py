"""Faults: a pair of hands and a database that let one step of the work go wrong, each step in its turn."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.python.failure import Failure

from securegw.workers.work import InlineWorkers

Error = Callable[[], Exception]


class Fault:
    """Counts the steps of one kind, and makes the one with this number go wrong, or all from it on."""

    def __init__(self) -> None:
        self.heal()

    def heal(self) -> None:
        self.at, self.error, self.lasting, self.count = -1, None, False, 0

    def put(self, at: int, error: Error, *, lasting: bool) -> None:
        self.at, self.error, self.lasting, self.count = at, error, lasting, 0

    def step(self) -> Exception | None:
        """Called at each step: the error, if this is the one."""
        number, self.count = self.count, self.count + 1
        wrong = self.error is not None and (number == self.at or (self.lasting and number > self.at >= 0))
        return self.error() if wrong and self.error is not None else None


class FaultyHands(InlineWorkers):
    """Work that is done, or not, and whose result may get lost on the way back."""

    def __init__(self) -> None:
        self.fault = Fault()

    def thread(self, function: Any, *args: Any, **kwargs: Any) -> Deferred[Any]:
        error = self.fault.step()
        return super().thread(function, *args, **kwargs) if error is None else fail(error)

    disk = process = own_process = thread

    def settle(self, future: Future[Any]) -> Deferred[Any]:
        """The work of the database has been done; only its answer does not come."""
        error = self.fault.step()
        return super().settle(future) if error is None else fail(Failure(error))


def let_fail(database: Any, fault: Fault, monkeypatch: Any) -> None:
    """The database does not even do what it is asked for."""
    for name in ("read", "write", "write_many"):
        monkeypatch.setattr(database, name, _faulty(getattr(database, name), fault))


def _faulty(method: Any, fault: Fault) -> Any:
    def go(*args: Any, **kwargs: Any) -> Future[Any]:
        error = fault.step()
        if error is None:
            return method(*args, **kwargs)
        failed: Future[Any] = Future()
        failed.set_exception(error)
        return failed

    return go
