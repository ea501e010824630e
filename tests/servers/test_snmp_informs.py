"""Informs: sent again until they are acknowledged, to the right engine at the right time, and by nobody else."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as some
from twisted.internet.task import Clock

from securegw.health import Check, State
from securegw.servers.snmp_ber import COUNTER32, SEQUENCE, Oid, Reader, integer, octets, oid, sequence
from securegw.servers.snmp_informs import INFORMS, MOST_WAITING
from securegw.servers.snmp_message import (
    AUTH,
    NOT_IN_TIME,
    PRIV,
    UNKNOWN_ENGINES,
    Salts,
    Stand,
    is_genuine,
    opened,
    plain,
    read_head,
    secured,
)
from securegw.servers.snmp_pdu import INFORM, REPORT, RESPONSE, TRAP, pdu
from securegw.servers.snmp_security import Master, stretched
from securegw.servers.snmp_settings import UdpPlace
from securegw.servers.snmp_tree import TRAP_OID
from tests.servers.test_snmp import STATE_OF_QUEUE, Place
from tests.support.snmp_manager import read_pdu, read_v2c
from tests.support.snmp_names import CHECK_CHANGED

HERE = UdpPlace("192.0.2.5", 162)
FEW, MANY = Check("queue", State.OK, "few"), Check("queue", State.WARNING, "many")
UNKNOWN_USERS: Oid = (1, 3, 6, 1, 6, 3, 15, 1, 1, 3, 0)
MASTER = Master(b"nagios", "sha256", stretched("sha256", "authpassword"), stretched("sha256", "privpassword"))


def outcome(name: str) -> float:
    value: float = INFORMS.labels(name)._value.get()
    return value


class Manager:
    """A receiver with an engine of its own, as RFC 3414 3.2 has it; ``heard`` are the informs that it believed."""

    def __init__(self, place: Place, engine: bytes = b"\x80\0\0\0\x05manager", boots: int = 3, time: int = 500) -> None:
        self.place, self.stand = place, Stand(engine, boots, time)
        self.user = MASTER.at(engine)
        self.salts = Salts()
        self.heard: list[Any] = []
        self.deaf = False

    def take_all(self) -> None:
        """Answer everything that was sent, and what that brings about."""
        while self.place.told:
            message, target = self.place.told.pop(0)
            assert target == HERE
            answer = None if self.deaf else self.answer(message)
            if answer is not None:
                self.say(answer)

    def say(self, answer: bytes, place: UdpPlace = HERE) -> None:
        self.place.snmp.hear(answer, place.address, place.port)

    def answer(self, raw: bytes) -> bytes | None:
        message = Reader(raw).enter(SEQUENCE)
        assert message.integer() == 3
        head = read_head(message)
        if head.engine != self.stand.id:
            return plain(head.id, self.stand, self.report(UNKNOWN_ENGINES))
        assert is_genuine(raw, head, self.user) and head.flags & (AUTH | PRIV) == AUTH | PRIV
        if head.stand.boots != self.stand.boots or abs(head.stand.time - self.stand.time) > 150:
            return secured(head.id, self.stand, self.user, self.report(NOT_IN_TIME), self.salts, AUTH)
        scoped = opened(message, head, self.user)
        assert scoped.octets() == self.stand.id
        scoped.octets()
        found = read_pdu(scoped)
        assert found.kind == INFORM
        self.heard.append(found)
        return secured(head.id, self.stand, self.user, pdu(RESPONSE, found.id, found.bindings), self.salts)

    @staticmethod
    def report(name: Oid) -> bytes:
        return pdu(REPORT, 0, [(name, integer(1, COUNTER32))])


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path, informs=(HERE,), trap_user="nagios")


def by_community(folder: Path, **more: Any) -> Place:
    return Place(folder, informs=(HERE,), **more)


def acknowledge(
    place: Place, raw: bytes, *, status: int = 0, community: bytes = b"watch-me", kind: int = RESPONSE
) -> None:
    number = read_v2c(raw).id
    answer = sequence((integer(1), octets(community), pdu(kind, number, (), status)))
    place.snmp.hear(answer, HERE.address, HERE.port)


def pending(clock: Clock) -> int:
    return len(clock.getDelayedCalls())


def test_it_is_sent_again_with_pauses_that_grow_until_it_is_acknowledged(tmp_path: Path) -> None:
    place = by_community(tmp_path)
    place.snmp.changed(FEW, MANY)
    times = [0.0]
    for second in range(1, 40):
        place.timer.advance(1)
        times += [float(second)] * (len(place.told) - len(times))
    assert times == [0, 2, 6, 14, 30]
    assert len({raw for raw, _ in place.told}) == 1  # one and the same, so that it counts once
    told = read_v2c(place.told[0][0])
    assert told.kind == INFORM and dict(told.bindings)[TRAP_OID] == oid(CHECK_CHANGED)
    acknowledge(place, place.told[0][0])
    assert pending(place.timer) == 0


def test_a_receiver_that_is_silent_is_given_up(tmp_path: Path) -> None:
    place, before = by_community(tmp_path, inform_time=60.0), outcome("given-up")
    place.snmp.changed(FEW, MANY)
    place.timer.pump([1.0] * 59)
    assert outcome("given-up") == before
    place.timer.advance(1)
    assert outcome("given-up") == before + 1 and pending(place.timer) == 0


def test_pauses_do_not_grow_for_ever(tmp_path: Path) -> None:
    place = by_community(tmp_path, inform_time=3600.0)
    place.snmp.changed(FEW, MANY)
    place.timer.pump([1.0] * 3600)
    assert 55 < len(place.told) < 65


def test_not_too_many_wait(tmp_path: Path) -> None:
    place, before = by_community(tmp_path), outcome("given-up")
    for _ in range(MOST_WAITING + 5):
        place.snmp.changed(FEW, MANY)
    assert (pending(place.timer), outcome("given-up")) == (MOST_WAITING, before + 5)
    place.snmp.close()
    assert pending(place.timer) == 0


@pytest.mark.parametrize("wrong", [{"community": b"and-me"}, {"kind": TRAP}, {"kind": REPORT}])
def test_what_is_no_answer_of_the_receiver_acknowledges_nothing(tmp_path: Path, wrong: dict[str, Any]) -> None:
    place = by_community(tmp_path)
    place.snmp.changed(FEW, MANY)
    [(raw, _)] = place.told
    acknowledge(place, raw, **wrong)
    place.snmp.hear(raw[:-1], HERE.address, HERE.port)
    place.snmp.hear(b"\x30" * 3000, HERE.address, HERE.port)
    answer = sequence((integer(1), octets(b"watch-me"), pdu(RESPONSE, read_v2c(raw).id, ())))
    place.snmp.hear(answer, "192.0.2.6", 162)
    assert pending(place.timer) == 1
    place.snmp.hear(answer, HERE.address, HERE.port)
    assert pending(place.timer) == 0


def test_a_refusal_ends_it_and_is_counted(tmp_path: Path) -> None:
    place, before = by_community(tmp_path), outcome("refused")
    place.snmp.changed(FEW, MANY)
    acknowledge(place, place.told[0][0], status=5)
    assert (pending(place.timer), outcome("refused")) == (0, before + 1)


def test_the_engine_and_the_time_of_a_receiver_are_found_out(place: Place) -> None:
    manager = Manager(place)
    place.snmp.changed(FEW, MANY)
    assert b"many" not in place.told[0][0] and len(place.told[0][0]) < 80  # only the question for its name
    manager.take_all()
    [found] = manager.heard
    assert dict(found.bindings)[STATE_OF_QUEUE] == integer(1)
    assert pending(place.timer) == 0
    place.snmp.changed(MANY, FEW)
    assert len(place.told) == 1  # known from now on
    manager.take_all()
    assert len(manager.heard) == 2


def test_time_goes_on_between_two_informs(place: Place) -> None:
    manager = Manager(place)
    place.snmp.changed(FEW, MANY)
    manager.take_all()
    place.clock += 10_000
    manager.stand = Stand(manager.stand.id, 3, 10_500)
    place.snmp.changed(MANY, FEW)
    message, _ = place.told.pop()
    answer = manager.answer(message)
    assert answer is not None and len(manager.heard) == 2


def test_several_at_once_share_the_search_for_the_engine(place: Place) -> None:
    manager = Manager(place)
    for _ in range(5):
        place.snmp.changed(FEW, MANY)
    manager.take_all()
    assert {found.id for found in manager.heard} and pending(place.timer) == 0
    assert len({found.id for found in manager.heard}) == 5


def test_a_receiver_that_was_installed_anew_is_found_again(place: Place) -> None:
    old = Manager(place)
    place.snmp.changed(FEW, MANY)
    old.take_all()
    fresh = Manager(place, b"\x80\0\0\0\x05another", 1, 7)
    place.snmp.changed(MANY, FEW)
    fresh.take_all()
    assert len(fresh.heard) == 1 and pending(place.timer) == 0


def test_a_receiver_that_was_started_anew_is_told_at_its_new_time(place: Place) -> None:
    manager = Manager(place)
    place.snmp.changed(FEW, MANY)
    manager.take_all()
    manager.stand = Stand(manager.stand.id, 4, 2)
    place.snmp.changed(MANY, FEW)
    manager.take_all()
    assert len(manager.heard) == 2 and pending(place.timer) == 0


def test_a_stranger_cannot_give_us_another_engine(place: Place) -> None:
    manager, stranger = Manager(place), Manager(place, b"\x80\0\0\0\x05mallory", 9, 9)
    place.snmp.changed(FEW, MANY)
    stranger.say(plain(4711, stranger.stand, stranger.report(UNKNOWN_ENGINES)))  # a number that we have not used
    manager.take_all()
    assert len(manager.heard) == 1
    place.snmp.changed(MANY, FEW)
    stranger.say(plain(4711, stranger.stand, stranger.report(UNKNOWN_ENGINES)))
    manager.take_all()
    assert len(manager.heard) == 2


def test_what_is_not_authenticated_acknowledges_nothing(place: Place) -> None:
    manager = Manager(place)
    place.snmp.changed(FEW, MANY)
    manager.take_all()
    manager.deaf = True
    place.snmp.changed(MANY, FEW)
    message, _ = place.told[-1]
    inside = Reader(message).enter(SEQUENCE)
    inside.integer()
    number = read_head(inside).id
    response = pdu(RESPONSE, number, ())
    good = secured(number, manager.stand, manager.user, response, manager.salts)
    for bad in (
        plain(number, manager.stand, response),
        secured(number, manager.stand, manager.user, response, manager.salts, AUTH),  # anybody could read it
        good[:-1] + bytes([good[-1] ^ 1]),
        secured(number, Stand(manager.stand.id, 2, 500), manager.user, response, manager.salts),  # an old one
        secured(number, Stand(manager.stand.id, 3, 300), manager.user, response, manager.salts),
        plain(number, manager.stand, manager.report(UNKNOWN_USERS)),
    ):
        manager.say(bad)
        assert pending(place.timer) == 1
    manager.say(good)
    assert pending(place.timer) == 0


def test_a_manager_that_is_never_content_with_our_time_makes_no_storm(place: Place) -> None:
    manager = Manager(place)
    place.snmp.changed(FEW, MANY)
    manager.take_all()
    place.snmp.changed(MANY, FEW)
    for _ in range(50):
        sent = place.told.pop() if place.told else None
        if sent is None:
            break
        inside = Reader(sent[0]).enter(SEQUENCE)
        inside.integer()
        number = read_head(inside).id
        manager.say(secured(number, manager.stand, manager.user, manager.report(NOT_IN_TIME), manager.salts, AUTH))
    assert place.told == []


def test_without_a_secret_nobody_waits(tmp_path: Path) -> None:
    place = Place(tmp_path, informs=(HERE,), trap_user="nobody")
    place.snmp.changed(FEW, MANY)
    assert place.told == [] and pending(place.timer) == 0


@settings(max_examples=60, deadline=None)
@given(data=some.binary(max_size=300), cut=some.integers(0, 200), bit=some.integers(0, 7), user=some.booleans())
def test_whatever_comes_back_acknowledges_nothing_by_chance(data: bytes, cut: int, bit: int, user: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        place = Place(Path(folder), informs=(HERE,), trap_user="nagios" if user else None)
        manager = Manager(place)
        if user:
            place.snmp.changed(FEW, MANY)
            manager.take_all()
        place.snmp.changed(MANY, FEW)
        raw = bytearray(place.told[-1][0])
        raw[cut % len(raw)] ^= 1 << bit
        # With its tag turned into that of a response an inform of version 2c is its own answer: nothing proves it.
        assume(user or raw[cut % len(raw)] != RESPONSE)
        for answer in (data, bytes(raw), bytes(raw[:cut])):
            place.snmp.hear(answer, HERE.address, HERE.port)
        assert pending(place.timer) == 1
        place.snmp.close()
