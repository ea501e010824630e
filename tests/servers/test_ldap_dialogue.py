"""The LDAP dialogue: binds, StartTLS, order, what is not done here, and time."""

from __future__ import annotations

import pytest

from securegw.servers import ldap_replies as replies
from securegw.servers.ldap_directory import Outcome
from tests.servers.ldap_people import CAROL, add_carol, settled  # noqa: F401
from tests.support import ldap_client as client
from tests.support.ldap_client import BASE
from tests.support.ldap_door import KNOWN, LdapDoor, Slow
from tests.support.world import World

MAIL = f"(mail={CAROL})"


@pytest.fixture
def door(settled: World) -> LdapDoor:  # noqa: F811
    return LdapDoor(settled, tls=True)


# --- binds (RFC 4513 5.1) ---------------------------------------------------------------------------------------------


def test_anonymous_bind(door: LdapDoor) -> None:
    [said] = door.send(client.bind())
    assert (said.tag, said.code) == (0x61, 0)


BINDS = [
    (client.bind("uid=ann", "secret"), replies.CONFIDENTIALITY_REQUIRED),
    (client.bind("uid=ann", ""), replies.UNWILLING_TO_PERFORM),
    (client.bind("", "secret"), replies.INVALID_CREDENTIALS),
    (client.bind(version=2), replies.PROTOCOL_ERROR),
    (client.sasl("EXTERNAL"), replies.AUTH_METHOD_NOT_SUPPORTED),
    (client.sasl("PLAIN", name="uid=ann"), replies.AUTH_METHOD_NOT_SUPPORTED),
]


@pytest.mark.parametrize(("asked", "code"), BINDS)
def test_binds_that_are_refused(door: LdapDoor, asked: bytes, code: int) -> None:
    [said] = door.send(asked)
    assert (said.tag, said.code) == (0x61, code)
    assert door.logins.asked == []
    assert not door.closed


@pytest.mark.parametrize("name", ["ann", "uid=ann,o=securegw", "cn=ann", "mail=ann"])
def test_a_password_under_tls_makes_somebody_known(door: LdapDoor, name: str) -> None:
    door.start_tls()
    assert door.search("(mail=car*)").code == replies.ADMIN_LIMIT_EXCEEDED
    [said] = door.send(client.bind(name, "secret"))
    assert said.code == 0
    assert door.logins.asked == [("ann", "192.0.2.9")]
    assert door.search("(mail=car*)").addresses == [CAROL]
    door.send(client.bind())
    assert door.search("(mail=car*)").code == replies.ADMIN_LIMIT_EXCEEDED


def test_wrong_and_guessed_passwords(door: LdapDoor) -> None:
    door.start_tls()
    assert door.send(client.bind("ann", "wrong"))[0].code == replies.INVALID_CREDENTIALS
    assert door.send(client.bind("ann", "guessed"))[0].code == replies.BUSY
    assert door.search("(mail=car*)").code == replies.ADMIN_LIMIT_EXCEEDED


def test_a_failed_bind_leaves_nobody(door: LdapDoor) -> None:
    door.start_tls()
    door.send(client.bind("ann", "secret"))
    door.send(client.bind("ann", "wrong"))
    assert door.search("(mail=car*)").code == replies.ADMIN_LIMIT_EXCEEDED


def test_nothing_is_done_while_a_bind_is_under_way(door: LdapDoor) -> None:
    door.start_tls()
    door.search(MAIL)  # prepared: would be answered at once
    assert door.send(client.bind("slow", "secret", number=7)) == []
    [said] = door.send(client.search(MAIL, number=8))
    assert (said.number, said.code) == (8, replies.OPERATIONS_ERROR)
    door.logins.gate.callback(None)
    [said] = door.received()
    assert (said.number, said.tag, said.code) == (7, 0x61, 0)


def test_sign_in_may_be_off(world: World) -> None:
    door = LdapDoor(world, tls=True, sign_in=False)
    door.start_tls()
    assert door.send(client.bind("ann", "secret"))[0].code == replies.UNWILLING_TO_PERFORM


def test_the_house_checks_the_password(world: World) -> None:
    """With the real accounts."""
    from securegw.crypto import passwords
    from securegw.store import logins
    from tests.support.world import QUICK

    row = logins.Login(name="ann", secret=passwords.hash_password("right horse 1", QUICK), senders=())
    world.write(logins.add, row)
    door = LdapDoor(world, tls=True)
    door.factory.logins = world.house.accounts
    door.start_tls()
    assert door.send(client.bind("ann", "wrong"))[0].code == replies.INVALID_CREDENTIALS
    assert door.send(client.bind("ann", "right horse 1"))[0].code == 0


# --- TLS --------------------------------------------------------------------------------------------------------------


def test_start_tls_only_once_and_not_in_the_middle(door: LdapDoor) -> None:
    slow = Slow(door)
    door.send(client.search("(mail=bob@partner.test)", number=3))
    [said] = door.send(client.extended(client.START_TLS, number=4))
    assert said.code == replies.OPERATIONS_ERROR
    slow.waiting[0].callback(Outcome())
    door.received()
    door.start_tls()
    assert door.send(client.extended(client.START_TLS))[0].code == replies.OPERATIONS_ERROR


def test_start_tls_without_a_certificate(world: World) -> None:
    [said] = LdapDoor(world).send(client.extended(client.START_TLS))
    assert said.code == replies.PROTOCOL_ERROR


def test_ldaps_begins_with_the_handshake(world: World) -> None:
    door = LdapDoor(world, implicit_tls=True)
    assert door.transport.context is not None
    door.connection.handshakeCompleted()
    assert door.send(client.bind("ann", "secret"))[0].code == 0


# --- order and end ----------------------------------------------------------------------------------------------------


def test_answers_come_when_they_are_known(door: LdapDoor) -> None:
    door.search(MAIL)
    slow = Slow(door)
    assert door.send(client.search("(mail=a@b.test)", number=21)) == []
    entry, end = door.send(client.search(MAIL, number=22))  # prepared
    assert entry.number == end.number == 22
    assert door.send(client.search("(mail=c@d.test)", number=23)) == []
    slow.waiting[1].callback(Outcome())
    assert [said.number for said in door.received()] == [23]
    slow.waiting[0].callback(Outcome())
    assert [said.number for said in door.received()] == [21]


def test_what_is_abandoned_is_never_answered(door: LdapDoor) -> None:
    slow = Slow(door)
    door.send(client.search("(mail=a@b.test)", number=21))
    assert door.send(client.abandon(21, number=22)) == []
    assert door.send(client.abandon(99, number=23)) == []
    slow.waiting[0].callback(Outcome())
    assert door.received() == []
    assert not door.closed


def test_an_answer_never_goes_to_another_question_of_the_same_number(door: LdapDoor) -> None:
    slow = Slow(door)
    door.send(client.search("(mail=a@b.test)", number=21))
    door.send(client.abandon(21, number=22))
    door.send(client.search("(mail=c@d.test)", number=21))
    slow.waiting[0].callback(Outcome((), replies.BUSY))
    assert door.received() == []
    slow.waiting[1].callback(Outcome())
    assert [(said.number, said.code) for said in door.received()] == [(21, 0)]


def test_unbind_closes_without_a_word(door: LdapDoor) -> None:
    slow = Slow(door)
    door.send(client.search("(mail=a@b.test)"))
    assert door.send(client.unbind() + client.search(MAIL)) == []
    assert door.closed
    slow.waiting[0].callback(Outcome())
    assert door.received() == []


def test_all_replies_of_one_read_are_one_write(door: LdapDoor) -> None:
    door.search(MAIL)
    before = door.transport.writes
    said = door.send(b"".join(client.search(MAIL, number=number) for number in range(1, 51)))
    assert [each.number for each in said] == [number for number in range(1, 51) for _ in range(2)]
    assert door.transport.writes == before + 1
    assert door.transport.no_delay


def test_one_byte_at_a_time(door: LdapDoor) -> None:
    asked = client.bind() + client.search(MAIL, number=2) + client.search("(mail=bob@partner.test)", number=3)
    said = [each for at in range(len(asked)) for each in door.send(asked[at : at + 1])]
    assert [(each.number, each.tag) for each in said] == [(1, 0x61), (2, 0x64), (2, 0x65), (3, 0x65)]


def test_lengths_as_windows_writes_them(door: LdapDoor) -> None:
    """Four bytes for each length, padded with zeros."""

    def wide(data: bytes) -> bytes:
        found = b""
        for tag, body in client.elements(data):
            inner = wide(body) if tag & 0x20 else body
            found += bytes((tag, 0x84)) + len(inner).to_bytes(4, "big") + inner
        return found

    for _ in range(2):
        entry, end = door.send(wide(client.search(MAIL, wanted=["userCertificate"])))
        assert (entry.name, end.code) == (f"mail={CAROL},o=securegw", 0)


# --- not here ---------------------------------------------------------------------------------------------------------


def operation(tag: int, *parts: bytes) -> bytes:
    return client.message(5, client.tlv(tag, *parts))


ENTRY = client.text(f"mail={CAROL},o=x")
WRITES = [
    (operation(0x66, ENTRY, client.tlv(0x30)), 0x67),
    (operation(0x68, ENTRY, client.tlv(0x30)), 0x69),
    (client.message(5, client.text(f"mail={CAROL}", 0x4A)), 0x6B),
    (operation(0x6C, ENTRY, client.text("mail=x"), b"\x01\x01\xff"), 0x6D),
]


@pytest.mark.parametrize(("asked", "tag"), WRITES)
def test_writes_are_refused_each_with_its_answer(door: LdapDoor, asked: bytes, tag: int) -> None:
    [said] = door.send(asked)
    assert (said.number, said.tag, said.code) == (5, tag, replies.UNWILLING_TO_PERFORM)
    assert door.search(MAIL).addresses == [CAROL]


def test_unknown_extended_operations(door: LdapDoor) -> None:
    [said] = door.send(client.extended("1.3.6.1.4.1.4203.1.11.1"))
    assert (said.tag, said.code) == (0x78, replies.PROTOCOL_ERROR)
    assert not door.closed


def test_controls_by_their_criticality(door: LdapDoor) -> None:
    assert door.search(MAIL, controls=client.control("1.2.3.4")).addresses == [CAROL]
    assert door.search(MAIL, controls=client.control("1.2.3.4", True)).code == replies.UNAVAILABLE_CRITICAL_EXTENSION
    assert door.search(MAIL, controls=client.control("2.16.840.1.113730.3.4.2", True)).addresses == [CAROL]


# --- time -------------------------------------------------------------------------------------------------------------


def test_the_silent_are_sent_away(world: World) -> None:
    door = LdapDoor(world, idle_time=300.0, command_time=30.0)
    world.clock.pump([1.0] * 20)
    door.search("(mail=a@b.test)")
    world.clock.pump([1.0] * 299)
    assert not door.closed
    world.clock.pump([1.0] * 5)
    [said] = door.received()
    assert (said.number, said.code, said.oid) == (0, replies.UNAVAILABLE, "1.3.6.1.4.1.1466.20036")
    assert door.closed


def test_who_says_nothing_at_first_waits_only_a_little(world: World) -> None:
    door = LdapDoor(world, command_time=30.0)
    world.clock.pump([1.0] * 33)
    assert door.closed


@pytest.mark.parametrize("implicit", [False, True])
def test_a_handshake_that_does_not_end(world: World, implicit: bool) -> None:
    door = LdapDoor(world, tls=True, implicit_tls=implicit, command_time=30.0)
    if not implicit:
        world.clock.pump([1.0] * 5)
        door.send(client.extended(client.START_TLS))
    world.clock.pump([1.0] * 29)
    assert not door.closed
    world.clock.pump([1.0] * 5)
    assert door.closed


def test_a_search_that_takes_too_long_is_ended_and_says_whose_time_is_over(door: LdapDoor) -> None:
    slow = Slow(door)
    door.send(client.search("(mail=a@b.test)", number=1, time=2))
    door.send(client.search("(mail=a@b.test)", number=2))
    door.clock.pump([1.0] * 3)
    assert [(said.number, said.code) for said in door.received()] == [(1, replies.TIME_LIMIT_EXCEEDED)]
    door.clock.pump([1.0] * 8)
    assert [(said.number, said.code) for said in door.received()] == [(2, replies.UNAVAILABLE)]  # REL4
    for each in slow.waiting:
        each.callback(Outcome())
    assert door.received() == []


def test_going_down_is_said(door: LdapDoor) -> None:
    door.factory.dismiss()
    [said] = door.received()
    assert (said.number, said.code) == (0, replies.UNAVAILABLE)
    assert door.closed


def test_a_peer_that_does_not_read_is_not_read(door: LdapDoor) -> None:
    door.connection.pauseProducing()
    assert door.transport.producerState == "paused"
    door.connection.resumeProducing()
    assert door.transport.producerState == "producing"


def test_tls_only(world: World) -> None:
    add_carol(world)
    for peer in (KNOWN, "192.0.2.9"):
        door = LdapDoor(world, tls=True, tls_only=True, peer=peer)
        for _ in range(2):
            assert door.search(MAIL).code == replies.CONFIDENTIALITY_REQUIRED
        assert door.search("(objectClass=*)", base="", scope=BASE).code == 0
        door.start_tls()
        for _ in range(2):
            assert door.search(MAIL).addresses == [CAROL]
