"""Rounds: nobody too early, nobody forgotten, and no timer that stays behind."""

from __future__ import annotations

from twisted.internet.task import Clock

from securegw.servers.rounds import Rounds


class Silent:
    def __init__(self, name: str, seen: list[str], *, broken: bool = False) -> None:
        self.name, self.seen, self.broken = name, seen, broken

    def time_has_come(self) -> None:
        self.seen.append(self.name)
        if self.broken:
            raise RuntimeError("broken")


def test_one_timer_for_all_of_a_second_and_in_their_order() -> None:
    clock, seen = Clock(), list[str]()
    rounds = Rounds(clock)
    clock.advance(0.25)
    for name in "abcdef":
        rounds.enter(Silent(name, seen), 9.5)
    assert len(clock.getDelayedCalls()) == 1
    clock.advance(9.5)
    assert seen == []
    clock.advance(0.25)
    assert seen == list("abcdef") and clock.getDelayedCalls() == []


def test_who_left_is_not_looked_at_and_the_last_one_takes_the_timer_along() -> None:
    clock, seen = Clock(), list[str]()
    rounds = Rounds(clock)
    ann, bob = Silent("ann", seen), Silent("bob", seen)
    ours, his = rounds.enter(ann, 5), rounds.enter(bob, 5)
    rounds.leave(ann, ours)
    rounds.leave(ann, ours)
    clock.advance(5)
    assert seen == ["bob"]
    rounds.leave(bob, his)  # it is over
    rounds.leave(ann, rounds.enter(ann, 7))
    assert clock.getDelayedCalls() == []


def test_the_trouble_of_one_is_not_that_of_those_behind_it() -> None:
    clock, seen = Clock(), list[str]()
    rounds = Rounds(clock)
    for silent in (Silent("ann", seen, broken=True), Silent("bob", seen)):
        rounds.enter(silent, 1)
    clock.advance(1)
    assert seen == ["ann", "bob"]


def test_whoever_comes_back_from_a_round_stands_in_a_later_one() -> None:
    clock, seen = Clock(), list[str]()
    rounds = Rounds(clock)

    class Again(Silent):
        def time_has_come(self) -> None:
            super().time_has_come()
            rounds.enter(self, 2)

    rounds.enter(Again("ann", seen), 0)
    clock.pump([1.0] * 5)
    assert seen == ["ann"] * 3
