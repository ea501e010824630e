"""Retention: what is old is forgotten, by a clock that can be believed."""

from __future__ import annotations

import pytest

from securegw.flow.hours import Hours
from securegw.flow.retention import Retention, RetentionSettings
from securegw.store import desk, events, limits, schema
from tests.support.world import START, World

DAY = 86400.0
ANN, BOB = "ann@inside.test", "bob@outside.test"


class Steady:
    """A clock that nobody can set, and the wall clock beside it."""

    def __init__(self) -> None:
        self.time = 1000.0
        self.moved = 0.0

    def __call__(self) -> float:
        return self.time

    def wall(self) -> float:
        return START + self.time + self.moved


@pytest.fixture
def steady() -> Steady:
    return Steady()


def retention(world: World, steady: Steady, days: int = 90) -> Retention:
    return Retention(
        settings=RetentionSettings(history_days=days), database=world.house.database, workers=world.house.workers,
        now=steady.wall, hours=Hours(steady.wall, steady),
    )  # fmt: skip


def note(world: World, when: float) -> None:
    world.write(events.record, events.Event(time=when, kind="x"))


def test_history_is_kept_for_its_days(world: World, steady: Steady) -> None:
    now = steady.wall()
    for age in (0, 89.9, 90.1, 91, 400):
        note(world, now - age * DAY)
    world.wait(retention(world, steady).tick())
    assert [round((now - event.time) / DAY, 1) for event in world.read(events.find)] == [89.9, 0.0]


def test_tries_and_web_sessions_end(world: World, steady: Steady) -> None:
    world.write(limits.failed, "old", steady.wall() - 2 * DAY)
    world.write(limits.failed, "new", steady.wall() - 100)
    account, _ = world.wait(world.house.accounts.new_account(world.author_of(BOB), "en"))
    from securegw.accounts import SignedIn
    from securegw.store import people

    world.write(people.add_account, account)
    world.wait(world.house.accounts.open_session(SignedIn(account, b"x")))
    steady.time += 3600
    world.wait(retention(world, steady).tick())
    assert [row.key for row in world.read(lambda c: c.execute(schema.tries.select()).all())] == ["new"]
    assert world.rows("websession") == 0


@pytest.mark.parametrize("jump", [6 * DAY, 3653 * DAY, 3700, -3700, -6 * DAY])
def test_d8_a_moved_clock_forgets_nothing(world: World, steady: Steady, jump: float) -> None:
    note(world, steady.wall() - 200 * DAY)
    note(world, steady.wall())
    room = retention(world, steady)
    steady.moved = jump
    world.wait(room.tick())
    assert world.rows("event") == 2
    steady.moved = 0
    world.wait(room.tick())
    assert world.rows("event") == 1


def test_d8_a_clock_put_back_strands_no_mail(world: World, steady: Steady) -> None:
    world.relay.hold(BOB)
    world.clock.rightNow = steady.wall() + 6 * DAY
    world.wait(world.house.claims.open())
    world.send(ANN, BOB)
    room = retention(world, steady)
    world.wait(room.tick())
    assert world.read(desk.list_items)[0].next_try > 0
    steady.moved = -3000
    world.wait(room.tick())
    assert [item.next_try for item in world.read(desk.list_items)] == [0.0]
