"""Claims: each item once, whatever dies."""

from __future__ import annotations

import attrs
import pytest
from sqlalchemy import Connection
from twisted.internet.defer import Deferred

from securegw import gateway
from securegw.flow import claims
from securegw.flow import line as line_of_items
from securegw.flow.gate import Gate
from securegw.flow.treatment import Arrived
from securegw.ids import new_id
from securegw.mail.errors import StoreBusy, WorkerLost
from securegw.store import desk, queue, sessions
from tests.support.world import World

MB = 1 << 20
ANN, BOB = "ann@inside.test", "bob@outside.test"


def test_a_new_mail_is_born_claimed(world: World) -> None:
    world.relay.hold(BOB)
    world.send(ANN, BOB)
    assert world.read(lambda c: desk.list_items(c))[0].tries == 1


def test_full_memory_lets_a_mail_wait_in_the_store(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "IN_MEMORY", 10)
    world.send(ANN, BOB)
    assert world.sent_to(BOB) == []
    for _ in range(3):
        world.later(1)
    assert len(world.sent_to(BOB)) == 1


def test_what_a_dead_process_held_is_taken_over(world: World) -> None:
    dead = world.write(sessions.open_session, "dead", world.clock.seconds(), 15.0)
    identity = new_id()
    body = world.master.seal_parts(claims.BODY, identity, b"Subject: x\r\n\r\nhi\r\n")
    entry = queue.Entry(
        id=identity,
        kind="accepted",
        trace="t",
        sender=ANN,
        recipients=(queue.Recipient(BOB),),
        source={"door": "smtp", "inside": True},
        size=10,
        received=world.clock.seconds(),
        body=tuple(body),
        session=dead,
    )
    world.database.write_many(queue.put, entry).result()
    world.later(1)
    assert world.sent_to(BOB) == []
    world.later(16)
    world.later(1)
    assert len(world.sent_to(BOB)) == 1


def test_who_was_taken_for_dead_begins_anew(world: World) -> None:
    before = world.house.claims.session
    world.clock.advance(100)
    world.wait(world.house.claims.renew())
    assert world.house.claims.session not in (None, before)
    world.send(ANN, BOB)
    assert len(world.sent_to(BOB)) == 1


def test_a_stopping_gateway_hands_back(world: World) -> None:
    world.relay.hold(BOB)
    world.send(ANN, BOB)
    world.wait(world.house.claims.close())
    [item] = world.read(lambda c: desk.list_items(c))
    assert item.session is None
    assert world.rows("session") == 0
    world.wait(world.house.claims.open())
    world.house.claims.stopping = False


def test_a_store_that_fails_says_later_and_takes_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object) -> None:
        raise StoreBusy

    monkeypatch.setattr(queue, "put", fail)
    with pytest.raises(StoreBusy):
        world.send(ANN, BOB)
    assert world.sent_to(BOB) == []
    assert world.rows("item") == 0


@pytest.mark.parametrize(("error", "poison"), [(ValueError(), True), (StoreBusy(), False)])
def test_only_the_mail_itself_can_be_poison(error: Exception, poison: bool) -> None:
    assert claims.is_poison(error) is poison
    assert gateway.House is not None


def test_a_poisonous_mail_is_parked_at_the_third_time_and_counted(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def lost(item: queue.Item, raw: bytes) -> None:
        raise WorkerLost(detail="a worker process died")

    before = claims.PARKED._value.get()
    world.house.claims.lines["accepted"] = line_of_items.Line(lost)
    world.send(ANN, BOB)
    for tries in (1, 2):
        [item] = world.read(lambda c: desk.list_items(c))
        assert (item.state, item.tries) == ("waiting", tries)
        world.later(200)
    [item] = world.read(lambda c: desk.list_items(c))
    assert (item.state, item.tries) == ("parked", 3)
    assert claims.PARKED._value.get() == before + 1
    world.later(100_000)
    assert world.read(lambda c: desk.list_items(c)) == [item]


def test_what_could_not_be_put_back_is_put_back_once_the_store_is_well(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D5: a full disk fails the step and the note of its failure alike; the claim must not stay for ever."""

    def full(*args: object) -> list[None]:
        raise StoreBusy

    world.clock.advance(claims.LEASE / 2)
    with monkeypatch.context() as ill:
        ill.setattr(queue, "treated_many", full)
        ill.setattr(queue, "failed_treatment", full)
        world.send(ANN, BOB)
    assert world.sent_to(BOB) == []
    world.wait(world.house.claims.renew())
    world.later(61)
    assert len(world.sent_to(BOB)) == 1
    assert world.house.claims.owed == {}


def test_of_many_that_wait_only_the_first_are_kept_as_they_were_read(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was read of a small mail takes more memory than the mail; those behind are read again, and go as well."""
    monkeypatch.setattr(line_of_items, "KEPT_READ", 2)
    line = world.house.claims.lines["accepted"]
    monkeypatch.setattr(line, "most", 0)
    for number in range(4):
        world.send(ANN, BOB, str(number))
    assert [type(raw) for _, raw in line.waiting] == [Arrived, Arrived, bytes, bytes]
    monkeypatch.setattr(line, "most", 10)
    world.send(ANN, BOB, "4")
    assert [mail.message.body for mail in world.sent_to(BOB)] == [b"%d\r\n" % number for number in range(5)]


def large(world: World, monkeypatch: pytest.MonkeyPatch, room: int, *sizes: int) -> tuple[line_of_items.Line, Slow]:
    """A line with large mails of these sizes and a small one, before a gate with this room."""
    slow = Slow()
    line = line_of_items.Line(slow.work, weight=2)
    mine = world.house.claims
    monkeypatch.setattr(mine, "gate", Gate(room))
    monkeypatch.setattr(mine, "body", slow.read)
    mine.lines["accepted"] = line
    for number, size in enumerate(sizes):
        mine.take(_item(world, f"large {number}", size))
    mine.take(_item(world, "small", 10), b"x")
    return line, slow


class Slow:
    """Work that ends when it is told to, in the order in which it began."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.turns: list[Deferred[None]] = []

    async def read(self, item: queue.Item) -> bytes:
        return b"x"

    async def work(self, item: queue.Item, raw: bytes) -> None:
        self.begun.append(item.message_id)
        if item.size > line_of_items.LARGE:
            self.turns.append(Deferred())
            await self.turns[-1]


def test_large_mails_wait_for_room_and_delay_nobody(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    line, slow = large(world, monkeypatch, 8 * MB, 2 * MB, 2 * MB, 2 * MB)
    assert slow.begun == ["large 0", "large 1", "small"]
    assert world.house.claims.held == 0
    slow.turns[0].callback(None)
    assert slow.begun[3:] == ["large 2"]
    for turn in slow.turns[1:]:
        turn.callback(None)
    assert not line.is_busy
    assert world.house.claims.gate.taken == 0


def test_a_mail_larger_than_the_room_goes_alone(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    _, slow = large(world, monkeypatch, 8 * MB, 2 * MB, 150 * MB, 2 * MB)
    assert slow.begun == ["large 0", "small"]
    slow.turns[0].callback(None)
    assert slow.begun[2:] == ["large 1"]
    slow.turns[1].callback(None)
    assert slow.begun[3:] == ["large 2"]
    slow.turns[2].callback(None)


def test_the_gate_is_one_for_all_kinds_of_work(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    line, slow = large(world, monkeypatch, 8 * MB, 4 * MB)
    other = line_of_items.Line(slow.work, weight=1)
    world.house.claims.lines["ready"] = other
    world.house.claims.take(attrs.evolve(_item(world, "to be sent", 2 * MB), kind="ready"))
    assert slow.begun == ["large 0", "small"]
    slow.turns[0].callback(None)
    assert slow.begun[2:] == ["to be sent"]
    slow.turns[1].callback(None)
    assert not (line.is_busy or other.is_busy)


def test_large_mails_that_go_in_parts_pass_the_gate_by_and_few_go_at_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = Slow()
    line = line_of_items.Line(slow.work, in_parts=True)
    mine = world.house.claims

    async def in_parts(line: line_of_items.Line, item: queue.Item) -> None:
        await slow.work(item, b"")

    monkeypatch.setattr(line_of_items, "LARGE_IN_PARTS", 2)
    monkeypatch.setattr(mine, "gate", Gate(1))
    monkeypatch.setattr(mine, "_work_in_parts", in_parts)
    mine.lines["ready"] = line
    for number in range(3):
        mine.take(attrs.evolve(_item(world, f"large {number}", 2 * MB), kind="ready"))
    assert slow.begun == ["large 0", "large 1"]
    assert mine.gate.taken == 0
    slow.turns[0].callback(None)
    assert slow.begun[2:] == ["large 2"]
    for turn in slow.turns[1:]:
        turn.callback(None)
    assert not line.is_busy


def test_small_mails_are_claimed_though_many_large_ones_wait(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The store is asked for more; only a crowd of large ones that nobody else could take is too much."""
    line, slow = large(world, monkeypatch, 4 * MB, *[2 * MB] * (claims.BATCH + 5))
    assert len(line.large) == claims.BATCH + 4
    assert not world.house.claims._is_busy()
    monkeypatch.setattr(claims, "LARGE_WAITING", claims.BATCH)
    assert world.house.claims._is_busy()
    for _ in range(claims.BATCH + 5):
        slow.turns[-1].callback(None)
    assert not line.is_busy


def test_what_waits_at_the_gate_is_left_to_others_at_the_end(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    line, slow = large(world, monkeypatch, 4 * MB, 2 * MB, 2 * MB)
    closed = Deferred.fromCoroutine(world.house.claims.close())
    slow.turns[0].callback(None)
    assert closed.called
    assert slow.begun == ["large 0", "small"]
    assert not line.is_busy
    assert world.house.claims.gate.taken == 0


def test_a_large_mail_is_not_born_claimed(world: World) -> None:
    assert world.house.claims.birth(line_of_items.LARGE) is not None
    assert world.house.claims.birth(line_of_items.LARGE + 1) is None


def _item(world: World, name: str, size: int) -> queue.Item:
    return queue.Item(
        id=new_id(), kind="accepted", trace="t", sender=ANN, recipients=(queue.Recipient(BOB),), source={},
        size=size, received=world.clock.seconds(), message_id=name,
    )


def test_what_an_unknown_commit_has_stored_after_all_goes_on(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """D10: COMMIT was carried out, but its answer was lost; the sender was told 451, and nobody holds the mail."""
    put = queue.put

    def stored_and_unknown(conn: Connection, entries: list[queue.Entry]) -> list[None]:
        put(conn, entries)
        conn.commit()
        raise StoreBusy

    with monkeypatch.context() as ill:
        ill.setattr(queue, "put", stored_and_unknown)
        with pytest.raises(StoreBusy):
            world.send(ANN, BOB)
    assert world.rows("item") == 1
    world.wait(world.house.claims.renew())
    world.wait(world.house.claims.poll())
    assert world.sent_to(BOB) == []  # it might be under way between the store and us
    world.wait(world.house.claims.renew())
    world.wait(world.house.claims.poll())
    assert len(world.sent_to(BOB)) == 1
    assert not world.house.claims.hands


def test_what_is_in_our_hands_is_no_stray(world: World) -> None:
    from twisted.internet.defer import Deferred

    gate: Deferred[None] = Deferred()

    async def slow(item: queue.Item, raw: bytes) -> None:
        await gate

    world.house.claims.lines["accepted"] = line_of_items.Line(slow)
    world.send(ANN, BOB)
    for _ in range(3):
        world.wait(world.house.claims.renew())
    [item] = world.read(lambda c: desk.list_items(c))
    assert item.session == world.house.claims.session
    gate.callback(None)
    assert not world.house.claims.hands
