"""Picking mail up: opened by the password, in parts, read ahead; deleted at the end; guessed at slowly."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from securegw.crypto import passwords
from securegw.flow import pickup
from securegw.flow.pickup import OpenMailbox
from securegw.mail.errors import LetterGone, LostClaim, MailboxInUse, SealBroken, StoreBusy, TooManyTries, WrongPassword
from securegw.store import events, mailboxes, schema
from securegw.store.mailboxes import Mailbox
from tests.flow.test_archive import ARCHIVE, PASSWORD, make_box, read_all
from tests.support.world import QUICK, World

HERE, THERE = "192.0.2.7", "198.51.100.9"


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    made.close()


@pytest.fixture
def box(world: World) -> Mailbox:
    return make_box(world)


def ask(
    world: World, name: str = ARCHIVE, password: str = PASSWORD, source: str = HERE, *, waits: bool = True
) -> list[Any]:
    """Try to open a mailbox; what came of it so far."""
    results: list[Any] = []
    Deferred.fromCoroutine(world.house.pickup.open(name, password, source, lambda: waits)).addCallbacks(
        results.append, lambda failure: results.append(failure.value)
    )
    return results


def opened(world: World, **more: Any) -> OpenMailbox:
    [result] = ask(world, **more)
    assert isinstance(result, OpenMailbox), result
    return result


def text(world: World, mailbox: OpenMailbox, index: int) -> bytes:
    parts = [world.wait(mailbox.part(index, number)) for number in range(mailbox.mails[index].parts)]
    return b"".join(parts)


def send(world: World, *texts: str) -> None:
    for each in texts:
        world.send("ann@inside.test", ARCHIVE, each)


def test_the_password_opens_the_mails(world: World, box: Mailbox) -> None:
    send(world, "one", "two " * 200_000, "three")
    mailbox = opened(world)
    assert [text(world, mailbox, index) for index in range(3)] == read_all(world, box)
    assert text(world, mailbox, 1) == read_all(world, box)[1]  # again, and backwards
    assert text(world, mailbox, 0) == read_all(world, box)[0]


def test_the_mailbox_is_named_by_address_or_id(world: World, box: Mailbox) -> None:
    for name in (ARCHIVE, "ARCHIVE@Inside.Test", box.id, box.id.upper()):
        world.wait(opened(world, name=name).close())


def test_a_suspended_mailbox_is_still_fetched(world: World, box: Mailbox) -> None:
    send(world, "one")
    world.write(mailboxes.set_active, box.id, False)
    assert len(opened(world).mails) == 1


def test_one_at_a_time(world: World, box: Mailbox) -> None:
    first = opened(world)
    [refusal] = ask(world)
    assert isinstance(refusal, MailboxInUse)
    world.wait(first.close())
    world.wait(opened(world).finish([]))
    opened(world)


def test_what_is_marked_is_deleted_at_the_end_and_told(world: World, box: Mailbox) -> None:
    send(world, "one", "two", "three")
    mailbox = opened(world)
    send(world, "four")  # arrives meanwhile and is not seen
    assert len(mailbox.mails) == 3
    world.wait(mailbox.finish([0, 2]))
    assert [b"two" in read_all(world, box)[0], b"four" in read_all(world, box)[1]] == [True, True]
    [told] = world.read(lambda conn: events.find(conn, address=ARCHIVE, kind="picked-up"))
    assert told.detail == {"mailbox": box.id, "deleted": 2}


def test_a_session_that_breaks_deletes_nothing(world: World, box: Mailbox) -> None:
    send(world, "one")
    world.wait(opened(world).close())
    assert len(read_all(world, box)) == 1


def test_a_mailbox_that_somebody_else_has_meanwhile_loses_nothing(world: World, box: Mailbox) -> None:
    send(world, "one")
    mailbox = opened(world)
    world.write(lambda conn: conn.execute(schema.lease.update().values(token="another")))
    with pytest.raises(LostClaim):
        world.wait(mailbox.finish([0]))
    assert len(read_all(world, box)) == 1


def test_a_mail_that_was_changed_is_not_shown_and_keeps_no_other(world: World, box: Mailbox) -> None:
    send(world, "one", "two", "three", "four")
    [first, second, *_] = world.read(mailboxes.contents, box.id)
    damaged = world.read(mailboxes.part, first.id, 0)
    world.write(
        lambda conn: conn.execute(
            schema.kept_part.update().where(schema.kept_part.c.mail == second.id).values(bytes=damaged)
        )
    )
    mailbox = opened(world)
    assert b"one" in text(world, mailbox, 0)
    world.clock.advance(0)
    with pytest.raises(SealBroken):
        text(world, mailbox, 1)
    assert b"three" in text(world, mailbox, 2)


def test_a_closed_mailbox_opens_nothing(world: World, box: Mailbox) -> None:
    send(world, "one")
    mailbox = opened(world)
    world.wait(mailbox.close())
    with pytest.raises(LetterGone):
        text(world, mailbox, 0)


def test_reading_ahead_asks_the_store_now_and_then(world: World, box: Mailbox, monkeypatch: pytest.MonkeyPatch) -> None:
    send(world, *(f"mail number {number}" for number in range(40)))
    asked: list[int] = []
    short_mails = mailboxes.short_mails
    monkeypatch.setattr(
        "securegw.flow.pickup.mailboxes.short_mails",
        lambda conn, mails: asked.append(len(mails)) or short_mails(conn, mails),
    )
    mailbox = opened(world)
    for index in range(40):
        assert f"mail number {index}\r\n".encode() in text(world, mailbox, index)
        world.clock.advance(0)  # the next one is opened meanwhile
    assert sum(asked) == 40 and asked[0] == 1 and len(asked) <= 8


def test_reading_ahead_is_bounded(world: World, box: Mailbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pickup, "AHEAD", 5000)
    send(world, *("x" * 1000 for _ in range(30)), "y" * 9000)
    mailbox = opened(world)
    for index in range(31):
        text(world, mailbox, index)
        held = sum(mailbox.mails[each].size for each in mailbox.ahead)
        assert held <= 5000 or len(mailbox.ahead) <= 2
    assert min(mailbox.ahead) == 30


# --- guesses ----------------------------------------------------------------------------------------------------------


def wrong(world: World, seconds: float, **more: Any) -> float:
    """A wrong password: how long its answer took."""
    results = ask(world, password="wrong", **more)
    waited = 0.0
    while not results and waited < seconds:
        world.clock.advance(0.5)
        waited += 0.5
    assert isinstance(results[0], WrongPassword), results
    return waited


def test_guesses_are_held_back_longer_each_time(world: World, box: Mailbox) -> None:
    assert [wrong(world, 20) for _ in range(8)] == [0, 1, 2, 4, 8, 15, 15, 15]


def test_unknown_mailboxes_are_held_back_alike(world: World, box: Mailbox) -> None:
    held = [[wrong(world, 20, name=name, source=source) for _ in range(4)] for name, source in
            ((ARCHIVE, HERE), ("nobody@inside.test", THERE), ("no address", "203.0.113.1"))]  # fmt: skip
    assert held == [[0, 1, 2, 4]] * 3


def test_an_unknown_mailbox_costs_the_work_of_a_known_one(
    world: World, box: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One Argon2 run of the same cost whoever asks for what, so that time tells nothing."""
    runs: list[object] = []
    real = passwords._key

    def counted(password: str, salt: bytes, cost: object) -> bytes:
        runs.append(cost)
        return real(password, salt, cost)  # type: ignore[arg-type]

    monkeypatch.setattr(passwords, "_key", counted)
    for name in (ARCHIVE, "nobody@inside.test", "x" * 5000, "no address"):
        wrong(world, 60, name=name)
    assert runs == [QUICK] * 4


def test_an_ipv6_network_is_one_guesser(world: World, box: Mailbox) -> None:
    assert [wrong(world, 20, source=f"2001:db8::{number}") for number in range(4)] == [0, 1, 2, 4]


def test_who_guesses_keeps_nobody_out(world: World, box: Mailbox) -> None:
    for _ in range(10):
        wrong(world, 20)
    world.wait(opened(world, source=THERE).close())  # elsewhere nobody waits
    assert wrong(world, 20) == 15
    results = ask(world)
    assert results == []
    world.clock.advance(15)  # and here it takes these seconds and no more
    assert isinstance(results[0], OpenMailbox)


def test_the_right_password_is_held_back_too(world: World, box: Mailbox) -> None:
    for _ in range(3):
        wrong(world, 20)
    results = ask(world)
    assert results == []
    world.clock.advance(4)
    assert isinstance(results[0], OpenMailbox)


def test_a_flood_of_guesses_waits_in_a_short_queue(world: World, box: Mailbox) -> None:
    wrong(world, 20)
    waiting = [ask(world, password=f"guess {number}") for number in range(10)]
    refused = [results for results in waiting if results]
    assert len(refused) == 10 - pickup.WAITING
    assert all(isinstance(results[0], TooManyTries) for results in refused)
    world.clock.advance(15)
    assert all(isinstance(results[0], (TooManyTries, WrongPassword)) for results in waiting)
    assert not world.house.pickup.waiting


def test_no_password_is_checked_for_who_has_gone(
    world: World, box: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passwords, "_key", lambda *_: pytest.fail("it was checked"))
    [refusal] = ask(world, waits=False)
    assert isinstance(refusal, TooManyTries)


def test_a_flood_of_hashes_is_refused_and_counts_not(world: World, box: Mailbox) -> None:
    world.house.accounts.hashing = 20
    [refusal] = ask(world)
    assert isinstance(refusal, TooManyTries)
    world.house.accounts.hashing = 0


def test_before_the_house_is_open_nobody_is_let_in(world: World, box: Mailbox) -> None:
    session, world.house.claims.session = world.house.claims.session, None
    [refusal] = ask(world)
    assert isinstance(refusal, StoreBusy)
    world.house.claims.session = session
