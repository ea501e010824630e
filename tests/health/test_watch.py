"""Honest status: a fault in the world turns a check red within a minute, and its end turns it green again."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import attrs
import pytest
from twisted.internet.task import Clock

from securegw.flow.hours import Hours
from securegw.health import Check, HealthSettings, Places, State, Watch
from securegw.health.checks import Buffer
from securegw.logs.local import LocalObserver
from securegw.mail.address import parse_path
from securegw.mail.errors import StoreBusy
from securegw.store import census, desk, keystore, limits, people
from securegw.store.database import Database
from securegw.store.items import Chosen
from securegw.workers.work import InlineWorkers
from tests.support.certificates import TestAuthority
from tests.support.world import START, World


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    world.house.health.places.certificates = {}  # the portal of this world is not on any wire
    yield world
    world.close()


def after(world: World, seconds: float) -> Watch:
    """The watch when so many seconds have gone by with a look every ten of them."""
    watch = world.house.health
    for _ in range(int(seconds // 10)):
        world.later(10)
        watch.look()
    return watch


def state(world: World, name: str, seconds: float = 60) -> State:
    return after(world, seconds).table[name].state


def test_a_fresh_house_is_well(world: World) -> None:
    table = after(world, 10).table
    assert {check.name: check.words for check in table if check.state is not State.OK} == {}


class BrokenReading:
    """A database whose readers fail, or hang, until it is told otherwise."""

    def __init__(self, database: Database) -> None:
        self.whole = database.read
        self.hanging: list[Future[Any]] = []
        self.mode = "fails"

    def __call__(self, question: Callable[..., Any], *args: Any, **named: Any) -> Future[Any]:
        if question is not census.take or self.mode == "well":
            return self.whole(question, *args, **named)
        future: Future[Any] = Future()
        if self.mode == "fails":
            future.set_exception(StoreBusy(detail="OperationalError: disk I/O error"))
        return future


def test_the_database_is_gone_and_comes_back(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = BrokenReading(world.database)
    monkeypatch.setattr(world.database, "read", broken)
    table = after(world, 20).table
    assert table["database"].state is State.CRITICAL
    assert "disk I/O error" in table["database"].words
    assert table["queue"].state is State.UNKNOWN
    assert table["space"].state is State.OK
    broken.mode = "well"
    assert state(world, "database", 10) is State.OK
    assert state(world, "queue", 0) is State.OK


class WaitingWorkers(InlineWorkers):
    """Settles a future only when the test says so."""

    def __init__(self) -> None:
        self.waiting: list[Any] = []

    def settle(self, future: Any) -> Any:
        from twisted.internet.defer import Deferred

        done: Any = Deferred()
        self.waiting.append((future, done))
        return done

    def answer(self) -> None:
        waiting, self.waiting = self.waiting, []
        for future, done in waiting:
            done.callback(future.result())


def test_a_database_that_hangs_is_a_fault_and_the_watch_does_not_wait_for_it(world: World) -> None:
    workers, clock = WaitingWorkers(), Clock()
    watch = Watch(HealthSettings(), Places(), world.database, workers, clock.seconds)
    watch.look()
    assert watch.table["database"].state is State.UNKNOWN
    for _ in range(3):
        clock.advance(10)
        watch.look()
    assert watch.table["database"].state is State.CRITICAL
    assert "has not answered for 30 s" in watch.table["database"].words
    assert len(workers.waiting) == 1  # asked once, not at every look
    workers.answer()
    assert watch.table["database"].state is State.CRITICAL  # it did answer, but after 30 seconds: still no good
    clock.advance(10)
    watch.look()
    workers.answer()
    assert watch.table["database"].state is State.OK


def test_nothing_can_be_written(world: World) -> None:
    after(world, 10)
    world.clock.advance(20)  # without a renewed session
    world.house.health.look()
    assert world.house.health.table["database"].state is State.CRITICAL
    assert state(world, "database", 10) is State.OK


def test_the_queue_fills_and_empties(world: World) -> None:
    settings = HealthSettings(queue=attrs.evolve(HealthSettings().queue, warning=3, critical=6))
    world.house.health.settings = settings
    world.relay.hold("bob@outside.test")
    for _ in range(3):
        world.send("ann@inside.test", "bob@outside.test")
    assert state(world, "queue", 10) is State.WARNING
    for _ in range(3):
        world.send("ann@inside.test", "bob@outside.test")
    assert state(world, "queue", 10) is State.CRITICAL
    check = world.house.health.table["deferred"]
    assert (check.value, "outside.test" in check.words) == (6, True)
    world.relay.answers.clear()
    assert state(world, "queue", 120) is State.OK
    assert world.house.health.table["deferred"].value == 0


def test_the_oldest_mail_grows_old_and_is_delivered(world: World) -> None:
    world.relay.hold("bob@outside.test")
    world.send("ann@inside.test", "bob@outside.test")
    assert state(world, "oldest", 60) is State.OK
    world.clock.advance(5 * 3600)
    assert state(world, "oldest", 10) is State.WARNING
    world.relay.answers.clear()
    world.write(desk.retry, Chosen(tuple(item.id for item in world.read(desk.list_items))))
    assert state(world, "oldest", 60) is State.OK
    check = world.house.health.table["delivery"]
    assert (check.state, "nothing waits" in check.words) == (State.OK, True)


def test_a_parked_mail_is_seen_and_let_go(world: World) -> None:
    world.relay.hold("bob@outside.test")
    world.send("ann@inside.test", "bob@outside.test")
    ids = tuple(item.id for item in world.read(desk.list_items))
    world.write(lambda c: c.exec_driver_sql("UPDATE item SET state = 'parked'"))
    assert state(world, "parked", 10) is State.WARNING
    world.write(desk.unhold, Chosen(ids))
    assert state(world, "parked", 10) is State.OK


def test_the_disk_fills_and_empties(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from securegw.health import ground

    class Usage:
        free = 500 << 20

    monkeypatch.setattr(ground.shutil, "disk_usage", lambda folder: Usage)
    assert state(world, "space", 10) is State.CRITICAL
    Usage.free = 50 << 30
    assert state(world, "space", 10) is State.OK


def test_a_folder_that_is_gone_is_unknown_with_words(world: World) -> None:
    world.house.health.places.folders = (Path("/nowhere/at/all"),)
    check = after(world, 10).table["space"]
    assert (check.state, "/nowhere/at/all" in check.words) == (State.UNKNOWN, True)


def test_a_certificate_ends_and_is_renewed(world: World, tmp_path: Path) -> None:
    def end(days: float) -> datetime.datetime:
        return datetime.datetime.fromtimestamp(world.clock.seconds() + days * 86400, datetime.UTC)

    authority = TestAuthority(tmp_path)
    pair = authority.issue("gw.test", end=end(40))
    world.house.health.places.certificates = {"smtp": (pair.certificate, pair.key)}
    assert state(world, "tls", 10) is State.OK
    world.clock.advance(15 * 86400)
    assert state(world, "tls", 10) is State.WARNING
    world.clock.advance(20 * 86400)
    assert state(world, "tls", 10) is State.CRITICAL
    authority.issue("gw.test", end=end(90))
    assert state(world, "tls", 10) is State.OK
    pair.key.write_bytes(authority.issue("other.test", file="other").key.read_bytes())
    check = after(world, 10).table["tls"]
    assert (check.state, "not the key" in check.words) == (State.CRITICAL, True)


def test_a_users_key_ends_and_is_renewed(world: World) -> None:
    world.write(people.add_user, people.User(address="ann@inside.test", created=START))
    key = parse_path("ann@inside.test").key

    def hold(print: str, days: float, source: str = "imported") -> None:
        now = world.clock.seconds()
        held = keystore.Held(
            address=key, der=b"der", fingerprint=print, source=source, trust="trusted", private=b"sealed",
            not_before=now, not_after=now + days * 86400, created=now,
        )  # fmt: skip
        world.write(keystore.add, held)

    hold("one", 20)
    check = after(world, 10).table["keys"]
    assert (check.state, "ann@inside.test" in check.words) == (State.WARNING, True)
    hold("two", 400)
    assert state(world, "keys", 10) is State.OK
    hold("three", 401, "issued")  # our own authority renews by itself
    assert state(world, "keys", 10) is State.OK


def test_a_revocation_list_is_not_renewed_and_then_it_is(world: World) -> None:
    """Nobody ticks in between, as if the thread that makes lists were broken."""
    world.wait(world.house.revocations.tick())
    check = after(world, 10).table["revocation"]
    assert (check.state, check.value) == (State.OK, 100.0)
    world.clock.advance(5 * 86400)  # of seven days
    assert state(world, "revocation", 10) is State.WARNING
    world.clock.advance(1.5 * 86400)
    assert state(world, "revocation", 10) is State.CRITICAL
    world.wait(world.house.revocations.tick())
    assert state(world, "revocation", 10) is State.OK


def test_an_authority_without_a_list_is_a_fault_after_an_hour(world: World) -> None:
    assert state(world, "revocation", 10) is State.OK
    check = after(world, 3700).table["revocation"]
    assert (check.state, "has made no list" in check.words) == (State.CRITICAL, True)


def test_the_doors_tell_what_is_old(world: World) -> None:
    published = world.house.published
    world.house.health.places.published = lambda: published.looked
    world.wait(published.look())
    assert state(world, "keyservers", 10) is State.OK
    assert state(world, "keyservers", 30) is State.WARNING
    assert state(world, "keyservers", 300) is State.CRITICAL
    world.wait(published.look())
    assert state(world, "keyservers", 10) is State.OK


def test_failed_logins_are_counted_for_ten_minutes(world: World) -> None:
    for _ in range(150):
        world.write(limits.failed, "login:ann", world.clock.seconds())
    assert state(world, "logins", 10) is State.WARNING
    assert state(world, "logins", 600) is State.OK


def test_a_moved_clock_is_seen(world: World) -> None:
    hours = Hours(world.clock.seconds, lambda: START)
    world.house.health.places.moved = lambda: hours.moved - (world.clock.seconds() - START) + 7200
    assert state(world, "clock", 10) is State.CRITICAL
    world.house.health.places.moved = lambda: 0.0
    assert state(world, "clock", 10) is State.OK


def test_a_log_receiver_loses_lines_and_is_forgiven_after_a_while(world: World) -> None:
    found = [Buffer(name="logs.test")]
    world.house.health.places.buffers = lambda: tuple(found)
    assert state(world, "syslog", 10) is State.OK
    found[:] = [Buffer(name="logs.test", full=100.0, waiting=9, lost=4, connected=False)]
    assert state(world, "syslog", 10) is State.CRITICAL
    found[:] = [Buffer(name="logs.test", lost=4)]
    assert state(world, "syslog", 10) is State.CRITICAL
    assert state(world, "syslog", 620) is State.OK


def test_a_log_that_cannot_be_written_is_told_by_other_ways(world: World) -> None:
    def full(text: str) -> None:
        raise OSError(28, "No space left on device")

    observer = LocalObserver(full, lambda: None)
    assert state(world, "log", 10) is State.OK
    observer({"log_format": "x"})
    assert state(world, "log", 10) is State.WARNING
    for _ in range(9):
        observer({"log_format": "x"})
    assert state(world, "log", 10) is State.CRITICAL
    assert state(world, "log", 620) is State.OK


def test_whoever_listens_is_told_of_changes_only(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[State, Check]] = []
    after(world, 10)
    world.house.health.listeners.append(lambda was, check: told.append((was.state, check)))
    after(world, 30)
    assert told == []
    broken = BrokenReading(world.database)
    monkeypatch.setattr(world.database, "read", broken)
    after(world, 30)
    changes = {check.name: (was, check.state) for was, check in told}
    assert changes["database"] == (State.OK, State.CRITICAL)
    assert len(told) == len(changes)  # each once
    told.clear()
    broken.mode = "well"
    after(world, 30)
    assert {check.name: check.state for _, check in told} == dict.fromkeys(changes, State.OK)


def test_an_old_table_is_not_believed(world: World) -> None:
    watch = after(world, 10)
    world.clock.advance(31)
    assert {check.state for check in watch.table} == {State.UNKNOWN}
    assert "nothing has been looked at for 31 s" in watch.table["queue"].words
    watch.look()
    assert watch.table["queue"].state is State.OK
    world.clock.rightNow -= 3600
    assert "since the clock was put back" in watch.table["queue"].words


def test_refusals_are_a_rate(world: World) -> None:
    from securegw.servers.smtp_counters import count_refusal

    after(world, 60)
    for _ in range(400):
        count_refusal("too many connections")
    assert state(world, "refusals", 10) is State.WARNING
    assert state(world, "refusals", 120) is State.OK
