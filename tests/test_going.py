"""Coroutines that nobody cancels: their result, their error, and what they wait for."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

import pytest
from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure

from securegw.going import go_on_with, set_going


def outcome(done: Deferred[Any]) -> list[Any]:
    told: list[Any] = []
    done.addCallbacks(told.append, lambda failure: told.append(failure.value))
    return told


async def wait_for(*all_of_them: Deferred[Any]) -> list[Any]:
    return [await each for each in all_of_them]


def test_what_comes_of_it_is_told_when_it_has_ended() -> None:
    first, second = Deferred[int](), Deferred[int]()
    told = outcome(set_going(wait_for(first, second, succeed(3))))
    second.callback(2)
    assert told == []
    first.callback(1)
    assert told == [[1, 2, 3]]


def test_who_waits_for_nothing_has_ended_at_once() -> None:
    assert outcome(set_going(wait_for(*map(succeed, range(2000))))) == [list(range(2000))]


def test_an_error_is_told_and_is_not_ours() -> None:
    async def breaks() -> None:
        raise ValueError("odd")

    [told] = outcome(set_going(breaks()))
    assert isinstance(told, ValueError)


def test_an_error_of_what_it_waits_for_may_be_caught_there() -> None:
    async def catches(waited: Deferred[None], then: Deferred[int]) -> int:
        try:
            await waited
        except KeyError:
            return await then
        return 0

    waited, then = Deferred[None](), Deferred[int]()
    told = outcome(set_going(catches(waited, then)))
    waited.errback(Failure(KeyError("gone")))
    assert told == []
    then.callback(7)
    assert told == [7]


def test_one_that_is_not_caught_ends_it() -> None:
    waited = Deferred[int]()
    told = outcome(set_going(wait_for(waited)))
    waited.errback(Failure(KeyError("gone")))
    assert isinstance(told[0], KeyError)


@pytest.mark.parametrize("trouble", [False, True])
def test_one_that_has_been_begun_goes_on(trouble: bool) -> None:
    waited = Deferred[int]()
    begun: Coroutine[Any, Any, list[int]] = wait_for(waited)
    told = outcome(go_on_with(begun, begun.send(None)))
    if trouble:
        waited.errback(Failure(KeyError("gone")))
        assert isinstance(told[0], KeyError)
    else:
        waited.callback(5)
        assert told == [[5]]
