"""Intake: who may send what to whom, when there is room, and what the queue keeps of the envelope."""

from __future__ import annotations

import attrs
import pytest

from securegw.crypto.passwords import hash_password
from securegw.mail.address import Address, parse_path
from securegw.mail.envelope import Source, Wishes
from securegw.mail.errors import (
    DiskFull,
    HeaderTooLarge,
    MailLoop,
    RelayDenied,
    TooBig,
    TooManyTries,
    UnknownSender,
    WrongPassword,
)
from securegw.mail.message import FIELD_LIMIT, HEADER_LIMIT
from securegw.store import desk, logins
from tests.support.world import INSIDE, OUTSIDE, QUICK, World

ANN, BOB = "ann@inside.test", "bob@outside.test"
PASSWORD = "drei alte Rechner summen"


def add_login(world: World, *senders: str, name: str = "scanner") -> None:
    world.write(logins.add, logins.Login(name, hash_password(PASSWORD, QUICK), senders))


def sign_in(world: World, name: str = "scanner", password: str = PASSWORD, source: Source = OUTSIDE) -> Source:
    return world.wait(world.house.intake.sign_in(source, name, password))


def ask_sender(world: World, source: Source, sender: str, size: int | None = None) -> None:
    address = parse_path(sender) if sender else None
    world.wait(world.house.intake.sender(source, address, size))


def ask_recipient(world: World, source: Source, recipient: str) -> None:
    world.wait(world.house.intake.recipient(source, None, parse_path(recipient)))


def only_item(world: World) -> desk.Item:
    [item] = world.read(desk.list_items)
    return item


# --- who -----------------------------------------------------------------------------------------------------------


def test_strangers_reach_our_domains_and_nobody_else(world: World) -> None:
    ask_recipient(world, OUTSIDE, ANN)
    with pytest.raises(RelayDenied):
        ask_recipient(world, OUTSIDE, BOB)
    ask_recipient(world, INSIDE, BOB)


def test_who_signs_in_may_relay_from_anywhere(world: World) -> None:
    add_login(world)
    source = sign_in(world, "SCANNER")
    assert (source.person, source.inside, source.address) == ("scanner", True, OUTSIDE.address)
    ask_recipient(world, source, BOB)


@pytest.mark.parametrize(("name", "password"), [("scanner", "wrong"), ("nobody", PASSWORD), ("", ""), ("a\0b", "x")])
def test_wrong_and_unknown_are_one_answer(world: World, name: str, password: str) -> None:
    add_login(world)
    with pytest.raises(WrongPassword):
        sign_in(world, name, password)


def test_guessing_is_slowed_by_network(world: World) -> None:
    """An IPv6 peer has a whole /64 to guess from, and is one peer all the same."""
    add_login(world)
    for number in range(5):
        with pytest.raises(WrongPassword):
            sign_in(world, password="wrong", source=Source("smtp", f"2001:db8::{number + 1}"))
    with pytest.raises(TooManyTries):
        sign_in(world, source=Source("smtp", "2001:db8::99"))
    assert sign_in(world, source=Source("smtp", "2001:db8:1::1")).inside


def test_without_accounts_nobody_signs_in(world: World) -> None:
    add_login(world)
    world.house.intake.accounts = None
    with pytest.raises(WrongPassword):
        sign_in(world)


@pytest.mark.parametrize(
    ("senders", "good", "bad"),
    [
        ((), ["ann@inside.test", "any@INSIDE.test"], ["bob@outside.test"]),
        (("*",), ["ann@inside.test"], ["bob@outside.test"]),
        (("scan@inside.test",), ["scan@inside.test", "Scan@inside.test"], ["ann@inside.test", "scan@outside.test"]),
        (("@lab.test", "x@inside.test"), ["q@lab.test", "x@inside.test"], ["q@sub.lab.test", "ann@inside.test"]),
    ],
)
def test_a_login_sends_under_its_own_senders(
    world: World, senders: tuple[str, ...], good: list[str], bad: list[str]
) -> None:
    add_login(world, *senders)
    source = sign_in(world)
    for sender in [*good, ""]:
        ask_sender(world, source, sender)
    for sender in bad:
        with pytest.raises(UnknownSender):
            ask_sender(world, source, sender)


def test_a_login_that_is_removed_sends_no_more(world: World) -> None:
    add_login(world)
    source = sign_in(world)
    ask_sender(world, source, ANN)
    world.write(logins.remove, "scanner")
    world.later(2)
    with pytest.raises(UnknownSender):
        ask_sender(world, source, ANN)
    with pytest.raises(WrongPassword):
        sign_in(world)


def test_our_own_servers_send_under_any_name(world: World) -> None:
    ask_sender(world, INSIDE, BOB)
    ask_sender(world, OUTSIDE, ANN)  # its mail is a stranger's, whatever it says


def test_a_certificate_vouches_by_fingerprint_or_proved_name(world: World) -> None:
    intake = world.house.intake
    intake.settings = attrs.evolve(intake.settings, relay_certificates=("AB:CD:" + "00" * 30, "mail.inside.test"))
    for names, fingerprint in (
        ((), "abcd" + "00" * 30),
        (("MAIL.inside.test",), "ff"),
        (("x", "mail.inside.test"), ""),
    ):
        source = world.wait(intake.vouch(OUTSIDE, names, fingerprint))
        assert source.inside
        ask_recipient(world, source, BOB)
    for names, fingerprint in (((), ""), (("",), ""), (("mail.inside.test.evil.test",), "abcd"), ((), "00" * 32)):
        assert world.wait(intake.vouch(OUTSIDE, names, fingerprint)) is OUTSIDE


# --- room -----------------------------------------------------------------------------------------------------------


def test_a_mail_over_the_limit_is_refused_when_announced_and_when_it_comes(world: World) -> None:
    limit = world.house.intake.size_limit
    with pytest.raises(TooBig):
        ask_sender(world, OUTSIDE, BOB, limit + 1)
    with pytest.raises(TooBig):
        world.hand_in(BOB, [ANN], b"x" * (limit + 1), OUTSIDE)


@pytest.mark.parametrize("header", [b"X: " + b"y" * HEADER_LIMIT + b"\r\n", b"X: y\r\n" * (FIELD_LIMIT + 1)])
def test_a_mail_whose_header_is_over_a_limit_is_refused(world: World, header: bytes) -> None:
    with pytest.raises(HeaderTooLarge) as caught:
        world.hand_in(BOB, [ANN], header + b"\r\nbody\r\n", OUTSIDE)
    assert caught.value.code == 552
    assert world.read(desk.list_items) == []


@pytest.mark.parametrize("header", [b"X: " + b"y" * (HEADER_LIMIT - 8) + b"\r\n", b"X: y\r\n" * FIELD_LIMIT])
def test_a_header_that_is_over_a_limit_with_our_own_field_is_refused_too(world: World, header: bytes) -> None:
    """At the door, where it goes back to who sends it; on its journey it could only be parked."""
    with pytest.raises(HeaderTooLarge):
        world.hand_in(BOB, [ANN], header + b"\r\nbody\r\n", OUTSIDE)
    assert world.read(desk.list_items) == []


def free(world: World, size: int) -> None:
    world.house.intake.room.folder = world.folder
    world.house.intake.room.free = lambda folder: size


def test_a_disk_that_is_nearly_full_says_later(world: World) -> None:
    """D5: 452, never 250 and never 5xx; and it goes on by itself when there is room again."""
    free(world, (1 << 30) - 1)
    with pytest.raises(DiskFull) as caught:
        ask_sender(world, OUTSIDE, BOB)
    assert (caught.value.code, caught.value.status, caught.value.temporary) == (452, "4.3.1", True)
    with pytest.raises(DiskFull):
        world.send(BOB, ANN, source=OUTSIDE)
    assert world.rows("item") == 0
    free(world, 1 << 31)
    world.later(2)
    world.send(BOB, ANN, source=OUTSIDE)
    assert len(world.sent_to(ANN)) == 1


def test_a_large_mail_needs_three_times_its_size(world: World) -> None:
    size = world.house.intake.size_limit
    world.house.intake.room.floor = 1 << 20
    free(world, 3 * size)
    ask_sender(world, OUTSIDE, BOB, size)
    free(world, 3 * size - 1)
    world.later(2)
    with pytest.raises(DiskFull):
        ask_sender(world, OUTSIDE, BOB, size)
    ask_sender(world, OUTSIDE, BOB, 1000)


def test_a_full_queue_says_later_without_a_question_for_each_mail(world: World) -> None:
    world.relay.hold(BOB)
    world.house.intake.room.most = 3
    asked = []
    count = desk.counts
    original = world.house.database.read

    def read(question: object, *arguments: object, **named: object) -> object:
        if question is count:
            asked.append(question)
        return original(question, *arguments, **named)  # type: ignore[arg-type]

    world.house.intake.room.database = type("Counting", (), {"read": staticmethod(read)})()
    for _ in range(3):
        world.send(ANN, BOB)
    with pytest.raises(DiskFull):
        world.send(ANN, BOB)
    with pytest.raises(DiskFull):
        ask_sender(world, INSIDE, ANN)
    assert len(asked) == 1
    world.relay.answers.clear()
    world.later(61)
    world.send(ANN, BOB)
    assert len(asked) == 2


def test_a_count_that_fails_lets_mail_in(world: World) -> None:
    """The store itself will say if it cannot take it."""

    def broken(*_: object, **__: object) -> object:
        raise OSError

    room = world.house.intake.room
    room.database = type("Broken", (), {"read": staticmethod(broken)})()
    room.check(10)


# --- what is kept -----------------------------------------------------------------------------------------------


def test_wishes_stand_in_the_queue(world: World) -> None:
    world.relay.hold(BOB)
    wishes = {Address("bob", "outside.test"): Wishes("SUCCESS,DELAY", "rfc822;bob@old.test")}
    world.send(ANN, [BOB, "eve@outside.test"], wishes=wishes, ret="HDRS", envid="E1+3D")
    item = only_item(world)
    assert (item.source["ret"], item.source["envid"]) == ("HDRS", "E1+3D")
    assert item.source["wishes"] == {BOB: ["SUCCESS,DELAY", "rfc822;bob@old.test"]}


def test_a_mail_without_wishes_says_nothing_of_them(world: World) -> None:
    world.relay.hold(BOB)
    world.send(ANN, BOB)
    assert not {"ret", "envid", "wishes"} & set(only_item(world).source)


def test_threat_5_1_9_our_name_from_outside_is_a_stranger_s(world: World) -> None:
    """No trigger of ours is honoured, no user is made, nothing is signed: SEC1, 5.4.26."""
    world.send(ANN, "cat@inside.test", subject="[confidential] [sign] wages", source=OUTSIDE)
    [mail] = world.sent_to("cat@inside.test")
    assert b"multipart/signed" not in mail.raw and b"pkcs7" not in mail.raw
    assert mail.hop.hosts == (("mail.inside.test", 25),)
    assert world.rows("user") == 0
    with pytest.raises(RelayDenied):
        world.send(ANN, BOB, subject="[confidential] wages", source=OUTSIDE)


def received(*hosts: str) -> str:
    return "".join(f"Received: from x by {host} with ESMTP id 1; Fri, 15 Jan 2027 08:00:00 +0000\r\n" for host in hosts)


@pytest.mark.parametrize(
    ("helo", "told"),
    [
        ("localhost", "from localhost (["),
        ("gw.inside.test", "from gw.inside.test (["),  # our own name, and yet it is nobody's word but his
        ("a;b(c)\r\nX:", "from "),
        ("x" * 255, "from xxx"),
        ("[192.0.2.1]", "from "),
    ],
)
def test_threat_5_1_10_a_greeting_breaks_no_trace(world: World, helo: str, told: str) -> None:
    stranger = attrs.evolve(OUTSIDE, helo=helo)
    world.hand_in(BOB, [ANN], b"Subject: x\r\n\r\nbody\r\n", stranger)
    [mail] = world.sent_to(ANN)
    trace = mail.message.first("Received") or ""
    assert trace.startswith(told) and f"([{OUTSIDE.address}])" in trace and "by gw.inside.test" in trace
    assert mail.message.count("X") == 0 and len(trace) < 998
    assert not set(";(\r\n") & set(trace.partition(" (")[0])


def test_threat_5_1_14_fifty_one_hops_are_a_loop(world: World) -> None:
    world.send(BOB, ANN, fields=received(*["a.test"] * 50), source=OUTSIDE)
    with pytest.raises(MailLoop) as caught:
        world.send(BOB, ANN, fields=received(*["a.test"] * 51), source=OUTSIDE)
    assert (caught.value.code, caught.value.status) == (554, "5.4.6")


def test_threat_5_1_14_a_mail_that_comes_by_again_and_again_is_a_loop(world: World) -> None:
    """Five real passes, told by a mark that only we can make; then it ends, long before fifty hops."""
    raw = b"From: bob@outside.test\r\nSubject: round\r\n\r\nand round\r\n"
    for passes in range(1, 6):
        world.hand_in(BOB, [ANN], raw, OUTSIDE)
        raw = world.sent_to(ANN)[-1].raw
        assert raw.count(b"by gw.inside.test") == passes
    with pytest.raises(MailLoop):
        world.hand_in(BOB, [ANN], raw, OUTSIDE)


def test_threat_5_1_14_a_forged_trace_of_ours_stops_nothing(world: World) -> None:
    forged = received(*["gw.inside.test"] * 20) + "".join(
        f"Received: by gw.inside.test with ESMTP\r\n id {n:032x}.{n:016x}; Fri, 15 Jan 2027 08:00:00 +0000\r\n"
        for n in range(20)
    )
    world.send(BOB, ANN, fields=forged, source=OUTSIDE)
    assert len(world.sent_to(ANN)) == 1


def test_threat_5_1_14_a_real_trace_that_was_copied_counts_once(world: World) -> None:
    world.send(BOB, ANN, source=OUTSIDE)
    line, _, _ = world.sent_to(ANN)[0].raw.partition(b"From:")
    world.send(BOB, ANN, fields=line.decode() * 10, source=OUTSIDE)
    assert len(world.sent_to(ANN)) == 2
