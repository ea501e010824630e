"""A mail that the next hop takes at once: treatment and delivery are one step, and nobody gets it twice for that."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred

from securegw.clients.relay import Sent
from securegw.flow import claims
from securegw.mail.envelope import Source
from securegw.mail.errors import DiskFull
from securegw.store import desk, events, queue, schema
from tests.support.world import World, person

ANN, BOB, CAROL = "ann@inside.test", "bob@outside.test", "carol@partner.test"
SOON = 0.11


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the steps of the journey, in the order in which they were run."""
    run: list[str] = []

    def watch(name: str) -> None:
        step = getattr(queue, name)

        def watched(conn: Any, arguments: list[Any]) -> Any:
            run.append(name)
            return step(conn, arguments)

        monkeypatch.setattr(queue, name, watched)

    for name in ("treated_many", "delivered_many"):
        watch(name)
    return run


@pytest.fixture
def slow(world: World, monkeypatch: pytest.MonkeyPatch) -> Deferred[None]:
    """Until this one is called the next hop says nothing."""
    answer, send = Deferred(), world.relay.send

    async def late(*args: Any, **named: Any) -> Sent:
        await answer
        return await send(*args, **named)

    monkeypatch.setattr(world.relay, "send", late)
    return answer


def items(world: World) -> list[queue.Item]:
    return world.read(lambda c: desk.list_items(c))  # type: ignore[no-any-return]


def kinds(world: World, trace: str) -> list[str]:
    return [event.kind for event in world.read(lambda c: events.find(c, trace=trace))]


def test_a_plain_mail_is_treated_and_delivered_in_one_step(world: World, steps: list[str]) -> None:
    trace = world.send(ANN, BOB)
    assert steps == ["delivered_many"]
    assert len(world.sent_to(BOB)) == 1
    assert items(world) == []
    assert kinds(world, trace) == ["accepted", "decision", "delivered"]


def test_a_protected_mail_that_goes_at_once_is_never_stored(world: World, steps: list[str]) -> None:
    world.know(person(CAROL))
    trace = world.send(ANN, CAROL)
    assert steps == ["delivered_many"]
    assert world.sent_to(CAROL)[0].message.first("Content-Type").startswith("application/pkcs7-mime")  # type: ignore[union-attr]
    assert world.rows("item") == world.rows("body") == 0
    assert kinds(world, trace) == ["accepted", "decision", "delivered"]


def test_a_protected_mail_that_has_to_wait_is_stored_as_it_was_made(world: World) -> None:
    world.know(person(CAROL))
    world.relay.hold(CAROL)
    world.send(ANN, CAROL, "for Carol only")
    [item] = items(world)
    assert (item.kind, item.tries, item.direction) == ("ready", 1, "outgoing")
    world.relay.answers.clear()
    world.later(61)
    [sent] = world.sent_to(CAROL)
    assert b"pkcs7-mime" in sent.raw and b"for Carol only" not in sent.raw
    assert items(world) == []


def test_a_carrier_goes_when_its_letter_is_there(world: World, steps: list[str]) -> None:
    world.send(ANN, BOB, subject="[confidential] news")
    assert steps[0] == "treated_many"
    assert len(world.sent_to(BOB)) == 1


def test_who_is_told_of_a_refusal_is_told_by_a_mail_of_its_own(world: World, steps: list[str]) -> None:
    world.send(ANN, BOB, subject="[sign] news", fields="From: mallory@inside.test\r\n")
    assert steps[0] == "treated_many"
    assert world.sent_to(BOB) == [] and len(world.sent_to(ANN)) == 1


def test_a_slow_next_hop_does_not_keep_the_treatment_from_being_written_down(
    world: World, steps: list[str], slow: Deferred[None]
) -> None:
    trace = world.send(ANN, BOB)
    assert [item.kind for item in items(world)] == ["accepted"]
    world.clock.advance(SOON)
    assert [item.kind for item in items(world)] == ["ready"]
    assert kinds(world, trace) == ["accepted", "decision"]
    lines = world.house.claims.lines
    assert (lines["accepted"].under_way, lines["ready"].under_way) == (0, 1)
    slow.callback(None)
    assert steps == ["treated_many", "delivered_many"]
    assert len(world.sent_to(BOB)) == 1 and items(world) == []
    assert (lines["ready"].under_way, world.house.claims.held, +world.house.claims.hands) == (0, 0, {})


def test_a_slow_one_does_not_hold_up_those_that_came_after_it(world: World, slow: Deferred[None]) -> None:
    world.send(ANN, BOB)
    world.clock.advance(SOON / 2)
    world.send(ANN, CAROL)
    world.clock.advance(SOON / 2)
    assert sorted(item.kind for item in items(world)) == ["accepted", "ready"]
    world.clock.advance(SOON / 2)
    assert [item.kind for item in items(world)] == ["ready", "ready"]
    slow.callback(None)
    assert items(world) == []


def test_a_treatment_that_cannot_be_written_down_waits_for_its_try(
    world: World, monkeypatch: pytest.MonkeyPatch, slow: Deferred[None]
) -> None:
    def full(*args: object) -> list[None]:
        raise DiskFull

    world.send(ANN, BOB)
    with monkeypatch.context() as ill:
        ill.setattr(queue, "treated_many", full)
        world.clock.advance(SOON)
    assert [item.kind for item in items(world)] == ["accepted"]
    slow.callback(None)
    assert items(world) == [] and len(world.sent_to(BOB)) == 1


def test_a_try_that_breaks_is_begun_anew_with_the_treatment(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*args: object, **named: object) -> Sent:
        raise ArithmeticError

    with monkeypatch.context() as ill:
        ill.setattr(world.relay, "send", broken)
        world.send(ANN, BOB)
    [item] = items(world)
    assert (item.kind, item.tries) == ("accepted", 1)
    world.later(61)
    assert len(world.sent_to(BOB)) == 1 and items(world) == []


def test_a_slow_try_that_breaks_is_begun_anew_alone(world: World, slow: Deferred[None]) -> None:
    world.know(person(CAROL))
    world.send(ANN, CAROL)
    world.clock.advance(SOON)
    slow.errback(ArithmeticError())
    [item] = items(world)
    assert (item.kind, item.tries) == ("ready", 1)


def test_a_full_disk_makes_nobody_get_a_mail_twice(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """D5, REL3: what was sent is noted when the store is well again, and not sent once more."""

    def full(*args: object) -> list[None]:
        raise DiskFull

    with monkeypatch.context() as ill:
        for name in ("treated_many", "delivered_many", "delivered", "failed_treatment"):
            ill.setattr(queue, name, full)
        trace = world.send(ANN, BOB)
        with pytest.raises(DiskFull):
            world.wait(world.house.claims.renew())
    assert len(items(world)) == len(world.house.claims.owed) == 1
    world.wait(world.house.claims.renew())
    assert items(world) == [] and world.house.claims.owed == {}
    assert kinds(world, trace) == ["accepted", "decision", "delivered"]
    world.later(100)
    assert len(world.sent_to(BOB)) == 1


def owing(world: World, monkeypatch: pytest.MonkeyPatch, *recipients: str) -> None:
    """Mails are sent, and the store cannot note it."""

    def full(*args: object) -> list[None]:
        raise DiskFull

    with monkeypatch.context() as ill:
        ill.setattr(queue, "delivered_many", full)
        for recipient in recipients:
            world.send(ANN, recipient)
    assert len(world.house.claims.owed) == len(recipients)


def test_what_is_owed_is_paid_before_the_gateway_goes(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    owing(world, monkeypatch, BOB)
    world.wait(world.house.claims.close())
    assert items(world) == []
    world.crash()
    world.later(1)
    assert len(world.sent_to(BOB)) == 1


def test_a_debt_that_cannot_be_paid_does_not_stand_before_the_others(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is given back like any claim that nobody knows of: sent once more, but never left lying."""
    owing(world, monkeypatch, BOB, CAROL)
    deliver, [first, _] = queue.delivered, world.house.claims.owed

    def broken(conn: Any, progress: queue.Progress) -> None:
        if progress.row == first:
            raise ArithmeticError
        deliver(conn, progress)

    with monkeypatch.context() as ill:
        ill.setattr(queue, "delivered", broken)
        world.wait(world.house.claims.renew())
    assert world.house.claims.owed == {}
    assert [item.id for item in items(world)] == [first]
    world.wait(world.house.claims.renew())
    world.wait(world.house.claims.poll())
    assert items(world) == []
    assert (len(world.sent_to(BOB)), len(world.sent_to(CAROL))) == (2, 1)


def test_what_is_owed_to_a_store_that_knows_it_already_is_forgotten(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A commit whose answer never came was told as a failure, and yet it was one (D10)."""
    deliver = queue.delivered_many

    def unknown(conn: Any, progress: list[queue.Progress]) -> list[None]:
        deliver(conn, progress)
        conn.commit()
        raise DiskFull

    with monkeypatch.context() as ill:
        ill.setattr(queue, "delivered_many", unknown)
        world.send(ANN, BOB)
    assert len(world.house.claims.owed) == 1
    world.wait(world.house.claims.renew())
    assert world.house.claims.owed == {} and items(world) == []
    assert len(world.sent_to(BOB)) == 1


def test_who_was_away_for_a_while_asks_the_store_first(
    world: World, steps: list[str]
) -> None:
    """A process that was frozen may have been taken for dead: what it holds is not its own until the store says so."""
    world.clock.advance(claims.LEASE / 2)
    world.send(ANN, BOB)
    assert steps[0] == "treated_many"
    assert len(world.sent_to(BOB)) == 1


def test_who_was_taken_for_dead_asks_the_store_first(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was taken before is not held by the new session: it goes on once, by whoever claims it."""
    taken: list[Any] = []
    monkeypatch.setattr(world.workers, "soon", lambda function, *more: taken.append((function, more)))
    world.send(ANN, BOB)
    world.clock.advance(claims.LEASE + 1)
    world.wait(world.house.claims.renew())  # the session is dead, and another is opened
    [(function, more)] = taken
    function(*more)
    assert world.sent_to(BOB) == []
    world.later(1)
    assert len(world.sent_to(BOB)) == 1


def test_a_crash_before_the_commit_repeats_both(world: World, slow: Deferred[None]) -> None:
    world.send(ANN, BOB)
    world.crash()
    world.later(1)
    slow.callback(None)
    assert len(world.sent_to(BOB)) == 2  # the dead process had said nearly all of it
    assert items(world) == []
    assert world.rows(schema.body.name) == 0


def test_what_came_over_the_wire_and_stays_as_it_is_is_looked_through_once(world: World) -> None:
    """The dialogue has seen each of its lines; nobody else's word is taken for that."""
    other = Source("portal", person=ANN, inside=True)
    world.send(ANN, BOB, "over the wire")
    world.send(ANN, BOB, "written in the portal", source=other)
    assert [mail.checked for mail in world.sent_to(BOB)] == [True, False]


def test_what_we_have_changed_is_looked_through_again(world: World) -> None:
    world.know(person(CAROL))
    world.send(ANN, CAROL, "sealed")
    assert [mail.checked for mail in world.sent_to(CAROL)] == [False]
