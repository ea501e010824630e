"""No mail leaves in clear (REL5): every step of the outgoing road goes wrong once, in every way, and its text is looked
for at the relay, in notices, in the log and in the history.

Not that it arrives: but it is never lost either. It has left protected, or it waits here, or its sender was told.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import attrs
import pytest
from twisted.logger import globalLogPublisher

from securegw.crypto import carrier, cms_write, smime
from securegw.flow import outgoing, protect
from securegw.keys.keyring import Keyring, Usable
from securegw.mail.errors import NotExamined
from securegw.policy import findings
from securegw.policy.decision import Decision
from securegw.store import people
from tests.support.faults import FaultyHands, let_fail
from tests.support.in_clear import ERRORS, OTTO, Lines, Sent, check, clear_up, let_time_pass
from tests.support.rules import load
from tests.support.world import START, World, person

CAROL, BOB, DAVE = "carol@partner.test", "bob@outside.test", "dave@elsewhere.test"

# What leaves must be protected in each of these: (recipients, subject).
ROADS: dict[str, tuple[tuple[str, ...], str]] = {
    "by certificate": ((CAROL,), "[confidential] x"),
    "by the portal": ((BOB,), "[confidential] x"),
    "by the portal though there is a certificate": ((CAROL,), "[priv] x"),
    "signed too": ((CAROL,), "[confidential] [sign] x"),
    "mixed": ((CAROL, BOB, DAVE, OTTO), "[confidential] x"),
    "by pattern": ((BOB,), "x"),
    "with a password": ((BOB,), "[zip:Correct horse 9] x"),
}

# The road that has all steps goes wrong in all ways that differ to the queue, the others in two.
TWO, FOUR = ("temporary", "unexpected"), ("temporary", "permanent", "unexpected", "worker")
KINDS = {road: FOUR if road == "mixed" else TWO for road in ROADS}

_numbers = itertools.count()


@pytest.fixture
def lines() -> Iterator[Lines]:
    found = Lines()
    globalLogPublisher.addObserver(found)
    yield found
    globalLogPublisher.removeObserver(found)


@pytest.fixture(scope="module")
def hands() -> FaultyHands:
    return FaultyHands()


@pytest.fixture(scope="module")
def ill(hands: FaultyHands) -> Iterator[World]:
    """One world for all of them: each mail has a text and a sender of its own."""
    world = World(hands)
    world.house.issuer.settings = attrs.evolve(world.house.issuer.settings, kind="p-256")
    world.know(person(CAROL))
    pattern = '[[rule]]\nname = "p"\nwhen = { direction = "outgoing", pattern = "file" }\nencrypt = "must"\n'
    load(world, pattern + 'methods = ["smime", "carrier"]\n', '[patterns]\nfile = "file no. ########"\n')
    yield world
    world.close()


def hand_in(world: World, road: str) -> Sent:
    """Hand a mail in; the door may have to say no for now, and then its sender has it still."""
    number = next(_numbers)
    recipients, subject = ROADS[road]
    secret = f"file no. {10_000_000 + number}"
    sent = Sent(f"user{number}@inside.test", recipients, secret)
    try:
        world.send(sent.sender, list(recipients), f"The words: {secret}.", subject=subject)
    except Exception:
        return attrs.evolve(sent, accepted=False)
    return sent


def steps(world: World, hands: FaultyHands, road: str, lines: Lines) -> int:
    """How many steps the road has if nothing goes wrong, and that it leaves protected then."""
    hands.fault.heal()
    sent = hand_in(world, road)
    count = hands.fault.count
    for recipient in sent.recipients:
        assert world.sent_to(recipient), "nothing has left"
    check(world, sent, lines)
    return count


@pytest.mark.parametrize("lasting", [False, True], ids=["once", "for good"])
@pytest.mark.parametrize("road", ROADS)
def test_rel5_whatever_step_goes_wrong(ill: World, hands: FaultyHands, lines: Lines, road: str, lasting: bool) -> None:
    total = steps(ill, hands, road, lines)
    assert total >= 6
    kinds = TWO if lasting and road == "mixed" else ("unexpected",) if lasting else KINDS[road]
    for at, name in itertools.product(range(total), kinds):
        error = ERRORS[name]
        hands.fault.put(at, error, lasting=lasting)
        sent = hand_in(ill, road)
        let_time_pass(ill)
        hands.fault.heal()
        let_time_pass(ill, 1)
        check(ill, sent, lines)


@pytest.mark.parametrize("road", ROADS)
def test_rel5_whatever_the_database_does_not_do(
    ill: World, hands: FaultyHands, lines: Lines, road: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    total = steps(ill, hands, road, lines)
    let_fail(ill.house.database, hands.fault, monkeypatch)
    kinds = ("busy", "unexpected") if road == "mixed" else ("unexpected",)
    for at, name in itertools.product(range(total), kinds):
        hands.fault.put(at, ERRORS[name], lasting=False)
        sent = hand_in(ill, road)
        let_time_pass(ill)
        hands.fault.heal()
        check(ill, sent, lines)


# What is done inside of the steps: each of these raises, or gives back what it must not.
PLACES: dict[str, tuple[Any, str]] = {
    "edit": (protect, "edit"),
    "sign": (smime, "sign"),
    "encrypt": (smime, "encrypt"),
    "seal with CBC": (cms_write, "encrypt_cbc"),
    "pack": (carrier, "pack"),
    "protect": (outgoing, "protect"),
    "usable": (Keyring, "usable"),
    "signing": (Keyring, "signing"),
    "together": (outgoing, "_together"),
    "edits": (outgoing, "edits_of"),
    "author": (outgoing, "author"),
    "name": (outgoing, "display_name"),
    "decided": (outgoing, "decided"),
    "successor": (outgoing, "successor"),
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("road", ["by certificate", "by the portal", "mixed"])
def test_rel5_whatever_is_ill_inside(
    ill: World, hands: FaultyHands, lines: Lines, road: str, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hands.fault.heal()
    owner, name = PLACES[place]
    for name_of_error in KINDS[road]:
        error = ERRORS[name_of_error]

        def broken(*args: Any, _error: Callable[[], Exception] = error, **named: Any) -> Any:
            raise _error()

        with monkeypatch.context() as patch:
            patch.setattr(owner, name, broken)
            sent = hand_in(ill, road)
            let_time_pass(ill)
        check(ill, sent, lines)


def test_rel5_certificates_that_vanish_between_decision_and_work(
    ill: World, hands: FaultyHands, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Lying(Usable):
        @property
        def methods(self) -> frozenset[str]:
            return frozenset({"smime"})

    async def usable(self: Keyring, addresses: Any) -> dict[str, Usable]:
        return {address.key: Lying() for address in addresses}

    hands.fault.heal()
    monkeypatch.setattr(Keyring, "usable", usable)
    for road in ROADS:
        sent = hand_in(ill, road)
        let_time_pass(ill)
        check(ill, sent, lines)


def test_rel5_a_method_that_nobody_here_knows(
    ill: World, hands: FaultyHands, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    hands.fault.heal()
    real = outgoing.Case.decide

    def strange(self: Any, *args: Any, **named: Any) -> Decision:
        decision = real(self, *args, **named)
        return attrs.evolve(decision, method="quantum", methods=("quantum",)) if decision.must_encrypt else decision

    monkeypatch.setattr(outgoing.Case, "decide", strange)
    for road in ROADS:
        sent = hand_in(ill, road)
        let_time_pass(ill)
        check(ill, sent, lines)


def test_rel5_a_sender_who_may_not_encrypt_is_told_and_nothing_leaves(ill: World, hands: FaultyHands) -> None:
    hands.fault.heal()
    clear_up(ill)
    ill.write(people.add_user, people.User("weak@inside.test", may_encrypt=False, created=START))
    for recipients, subject in ROADS.values():
        ill.send("weak@inside.test", list(recipients), "file no. 12345678", subject=subject)
    assert {to for mail in ill.relay.taken for to in mail.recipients} == {"weak@inside.test", OTTO}
    assert all(b"12345678" not in mail.raw for mail in ill.sent_to("weak@inside.test"))
    clear_up(ill)


def test_rel5_a_letter_that_cannot_be_examined(ill: World, hands: FaultyHands, monkeypatch: pytest.MonkeyPatch) -> None:
    def deep(raw: bytes) -> Any:
        raise NotExamined

    hands.fault.heal()
    clear_up(ill)
    monkeypatch.setattr(findings, "parse", deep)
    ill.send("user@inside.test", BOB, "file no. 12345678", subject="news")
    assert ill.sent_to(BOB) == []
    [notice] = ill.sent_to("user@inside.test")
    assert b"12345678" not in notice.raw
    clear_up(ill)


def test_the_test_can_fail(ill: World, hands: FaultyHands, lines: Lines) -> None:
    """A mail that no rule protects is found by what is looked for."""
    hands.fault.heal()
    clear_up(ill)
    ill.send("user@inside.test", BOB, "words and a file", subject="news")
    with pytest.raises(AssertionError):
        check(ill, Sent("user@inside.test", (BOB,), "words and a file"), lines)
    clear_up(ill)
