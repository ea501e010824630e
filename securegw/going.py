"""Coroutines that nobody cancels, run to their end: as ``Deferred.fromCoroutine``, for less.

Twisted's own can be cancelled at each step and remembers a context for each; a mail is seven such steps, and those
took a thirtieth of all the time that a mail takes. Only for what goes on by itself; who waits for it may not cancel it.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

T = TypeVar("T")


def set_going(coroutine: Coroutine[Any, Any, T]) -> Deferred[T]:
    """Begin it now; the Deferred has what comes of it. It may await Deferreds, and coroutines that do."""
    done: Deferred[T] = Deferred()
    _Going(coroutine, done).go_on(None)
    return done


def go_on_with(begun: Coroutine[Any, Any, T], awaited: Deferred[Any]) -> Deferred[T]:
    """The same for one that has been begun and waits for this: most that could wait do not."""
    done: Deferred[T] = Deferred()
    _Going(begun, done).wait_for(awaited)
    return done


class _Going:
    __slots__ = ("_coroutine", "_done")

    def __init__(self, coroutine: Coroutine[Any, Any, Any], done: Deferred[Any]) -> None:
        self._coroutine, self._done = coroutine, done

    def go_on(self, result: Any) -> None:
        self._step(self._coroutine.send, result)

    def wait_for(self, awaited: Deferred[Any]) -> None:
        awaited.addCallbacks(self.go_on, self._fail)

    def _fail(self, failure: Failure) -> None:
        self._step(failure.throwExceptionIntoGenerator, self._coroutine)

    def _step(self, step: Callable[[Any], Any], argument: Any) -> None:
        try:
            awaited = step(argument)
        except StopIteration as end:
            result = end.value
        except Exception:
            return self._done.errback()
        else:
            return self.wait_for(awaited)
        return self._done.callback(result)  # out here: who is told does not work within the end of another
