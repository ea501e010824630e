"""The vectors of threats 5.7 that concern the keyserver (53 to 56) and T9, each under its number."""

from __future__ import annotations

import itertools
from ipaddress import ip_address

import pytest

from securegw.servers import ldap
from securegw.servers import ldap_replies as replies
from securegw.servers.ldap_ber import LARGEST
from securegw.servers.ldap_directory import Outcome
from tests.servers.ldap_people import ANN, CAROL, add_carol, settled  # noqa: F401
from tests.support import ldap_client as client
from tests.support.ldap_client import BASE, ONE, SUBTREE, tlv
from tests.support.ldap_door import KNOWN, LdapDoor, Slow
from tests.support.world import World

NOTICE = "1.3.6.1.4.1.1466.20036"
MAIL = f"(mail={CAROL})"


@pytest.fixture
def door(settled: World) -> LdapDoor:  # noqa: F811
    return LdapDoor(settled, tls=True)


# --- 53: BER ----------------------------------------------------------------------------------------------------------


def with_number(number: bytes) -> bytes:
    return tlv(0x30, tlv(2, number), tlv(0x42))


HUGE = b"\x30\x84\x80\x00\x00\x00"
BROKEN = {
    "a length of 2^31": HUGE,
    "a length of 2^32-1": b"\x30\x84\xff\xff\xff\xff",
    "a length in eight bytes": b"\x30\x88" + bytes(8),
    "one byte too long": b"\x30\x83" + (LARGEST - 4).to_bytes(3, "big"),
    "an indefinite length": b"\x30\x80\x02\x01\x01\x42\x00\x00\x00",
    "an indefinite length inside": tlv(0x30, b"\x02\x01\x01", b"\x63\x80", b"\x04\x00\x00\x00"),
    "an inner length too long": tlv(0x30, b"\x02\x01\x01", b"\x63\x20\x04\x00"),
    "an inner length too short": tlv(0x30, b"\x02\x01\x01", b"\x60\x03\x02\x01\x03\x04\x00\x80\x00"),
    "no number": tlv(0x30, tlv(0x42)),
    "number 0": with_number(b"\x00"),
    "a negative number": with_number(b"\xff"),
    "a number of five bytes": with_number(b"\x01\x00\x00\x00\x00"),
    "a number without bytes": with_number(b""),
    "an operation that does not exist": client.message(1, tlv(0x7E)),
    "an answer": client.message(1, tlv(0x65, b"\x0a\x01\x00\x04\x00\x04\x00")),
    "not a sequence": b"\x04\x03abc",
    "HTTP": b"GET / HTTP/1.1\r\n\r\n",
    "TLS in clear": bytes.fromhex("160301020001000001fc0303"),
    "a million attributes": client.search(MAIL, wanted=["a"] * 1_000_000)[:100_000],
    "many attributes": client.search(MAIL, wanted=["a"] * 15_000),
    "a search without a filter": client.message(1, tlv(0x63, client.text(""), client.integer(2, 10))),
    "a scope that does not exist": client.search(MAIL, scope=7),
    "a negative limit": client.search(MAIL, size=-1),
    "a number of 1000 bytes": client.message(1, tlv(0x60, tlv(2, bytes(1000)), client.text(""), client.text("", 0x80))),
    "a filter that does not exist": client.search(tlv(0xAE, b"\x04\x01a")),
    "an element that nobody knows": client.search(tlv(0xA9, tlv(0x9E, b"x"))),
    "another one, in a comparison": client.message(1, tlv(0x6E, client.text("o=x"), tlv(0x07, b"x"))),
    "something unknown among controls": client.search(MAIL, controls=tlv(0x30, tlv(0x04, b"1.2"), tlv(0x0D, b"x"))),
    "something unknown behind": client.message(1, tlv(0x60, client.integer(3), tlv(4), tlv(0x80)) + tlv(0xA1, b"")),
    "a broken page": client.search(MAIL, controls=client.control(client.PAGES, False, b"\x30\x05\x02\x01")),
    "a third one, beside": client.message(1, tlv(0x63, tlv(0x0D, b"x"))),
    "bytes that are no text": client.message(1, tlv(0x60, client.integer(3), tlv(4, b"\xff\xfe"), tlv(0x80))),
}


@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN.keys())
def test_53_broken_ber_ends_with_a_notice(door: LdapDoor, data: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    said = door.send(data)
    assert [(each.number, each.code, each.oid) for each in said] == [(0, replies.PROTOCOL_ERROR, NOTICE)]
    assert door.closed
    assert door.send(client.search(MAIL)) == []
    assert capsys.readouterr().out == ""  # ldaptor prints what it does not know


def test_53_a_padded_length_is_only_a_length(door: LdapDoor) -> None:
    asked = client.search(MAIL)
    assert asked[0] == 0x30 and asked[1] < 0x80
    said = door.send(b"\x30\x84\x00\x00\x00" + asked[1:])
    assert [each.code for each in said][-1] == 0


def nested(levels: int) -> bytes:
    found = client.encode("(cn=x)")
    for _ in range(levels):
        found = tlv(0xA2, found)
    return found


@pytest.mark.parametrize("levels", [20, 25, 1000, 9000])
def test_53_t9_deep_filters_are_refused_and_nothing_breaks(door: LdapDoor, levels: int) -> None:
    assert door.search(nested(levels)).code == replies.ADMIN_LIMIT_EXCEEDED
    assert door.search(MAIL).addresses == [CAROL]


def test_53_t9_an_announced_gigabyte_is_not_waited_for(door: LdapDoor) -> None:
    [said] = door.send(b"\x30\x84\x40\x00\x00\x00")
    assert said.oid == NOTICE
    assert door.closed


def test_53_one_byte_a_second_does_not_go_on_for_ever(world: World) -> None:
    door = LdapDoor(world, command_time=30.0, idle_time=300.0)
    door.search(MAIL)
    asked = client.search(MAIL, wanted=["x" * 1000])
    for byte in itertools.islice(asked, 100):
        if door.closed:
            break
        door.connection.dataReceived(bytes((byte,)))
        world.clock.advance(1)
    assert door.closed
    assert door.received()[-1].oid == NOTICE


def test_53_a_thousand_pipelined_searches(world: World) -> None:
    """Those that cannot be answered at once: a hundred are under way, the rest is busy."""
    door = LdapDoor(world, peer=KNOWN)
    slow = Slow(door)
    said = door.send(b"".join(client.search("(mail=x@y.test)", number=number) for number in range(1, 1001)))
    assert [each.code for each in said] == [replies.BUSY] * 900
    assert len(slow.waiting) == 100


def test_53_questions_of_many_connections_are_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ldap, "MOST_ASKING", 3)
    first = LdapDoor(world, peer=KNOWN)
    slow = Slow(first)
    doors = [first, *(LdapDoor(world, peer=KNOWN, factory=first.factory) for _ in range(4))]
    said = [door.send(client.search("(mail=x@y.test)")) for door in doors]
    assert [[each.code for each in one] for one in said] == [[], [], [], [replies.BUSY], [replies.BUSY]]
    for waiting in list(slow.waiting):
        waiting.callback(Outcome())
    assert [each.code for each in first.received()] == [0]
    assert doors[4].send(client.search("(mail=x@y.test)", number=2)) == []


def test_53_unbind_in_the_middle(door: LdapDoor) -> None:
    asked = client.search(MAIL, number=1) + client.unbind(number=2) + client.search(MAIL, number=3)
    said = door.send(asked)
    assert {each.number for each in said} <= {1}
    assert door.closed


def test_53_a_number_that_is_in_use(door: LdapDoor) -> None:
    Slow(door)
    door.send(client.search("(mail=x@y.test)", number=4))
    [said] = door.send(client.search("(mail=x@y.test)", number=4))
    assert said.oid == NOTICE


# --- 54: enumeration --------------------------------------------------------------------------------------------------


ENUMERATIONS = [
    "(mail=*)", "(objectClass=*)", "(!(mail=x))", "(!(mail=x@y.test))", "(mail>=a)", "(mail<=z)", "(cn~=carol)",
    "(|(mail=*)(cn=*))", "(&(objectClass=*)(mail=*))", "(mail=*@partner.test)", "(mail=carol*)", "(mail=*carol*)",
    "(cn=Carol*)", "(cn=*)", "(userCertificate=*)", "(pgpKey=*)", "(pgpUserID=*)", "(pgpUserID=*c*)", "(&)", "(|)",
    "(mail:caseIgnoreIA5Match:=carol@partner.test)", "(sn=Meier)", "(!(|(mail=x@y.test)))", "(pgpRevoked=0)",
    *(f"(mail={letter}*)" for letter in "abcdefghijklmnopqrstuvwxyz"),
]  # fmt: skip


@pytest.mark.parametrize("ours", [False, True])
def test_54_strangers_cannot_enumerate(settled: World, ours: bool) -> None:  # noqa: F811
    for filter in ENUMERATIONS:
        for base, scope in (("", SUBTREE), ("o=securegw", ONE), ("dc=test", SUBTREE), (f"mail={CAROL},o=x", ONE)):
            found = LdapDoor(settled, ours=ours).search(filter, base=base, scope=scope)
            assert (found.entries, found.code) == ([], replies.ADMIN_LIMIT_EXCEEDED), (filter, base)


@pytest.mark.parametrize(
    "filter", [f"(|{MAIL}(mail=*))", f"(|{MAIL}(objectClass=*))", f"(|{MAIL}(!{MAIL}))", "(mail=carol@partner.test*)"]
)
def test_54_an_exact_address_does_not_open_the_door_for_others(world: World, filter: str) -> None:
    for address in (CAROL, "carol@partner.test.example", "bob@partner.test"):
        add_carol(world, address)
    assert LdapDoor(world).search(filter).addresses in ([CAROL], [])


def test_54_ten_entries_at_most(world: World) -> None:
    addresses = [f"p{number:02}@partner.test" for number in range(12)]
    for address in addresses:
        add_carol(world, address)
    door = LdapDoor(world)
    found = door.search("(|" + "".join(f"(mail={each})" for each in addresses) + ")")
    assert (len(found.entries), found.code) == (10, replies.SIZE_LIMIT_EXCEEDED)
    many = "(|" + "".join(f"(mail=q{number}@partner.test)" for number in range(21)) + ")"
    assert door.search(many).code == replies.ADMIN_LIMIT_EXCEEDED


def test_54_pages_and_sorting_change_nothing(door: LdapDoor) -> None:
    found = door.search("(mail=*)", controls=client.page(1))
    assert (found.entries, found.code, found.cookie) == ([], replies.ADMIN_LIMIT_EXCEEDED, b"")
    sort = client.control("1.2.840.113556.1.4.473", True, tlv(0x30, tlv(0x30, client.text("mail"))))
    assert door.search(MAIL, controls=sort).code == replies.UNAVAILABLE_CRITICAL_EXTENSION
    views = client.control("2.16.840.1.113730.3.4.9", True, b"")
    assert door.search(MAIL, controls=views).code == replies.UNAVAILABLE_CRITICAL_EXTENSION


@pytest.mark.parametrize("known", [MAIL, "(mail=nobody@partner.test)"])
def test_54_sixty_searches_a_minute_for_each_source(world: World, known: str) -> None:
    add_carol(world)
    door = LdapDoor(world)
    codes = [door.search(known).code for _ in range(62)]
    assert codes == [0] * 60 + [replies.BUSY] * 2
    again = LdapDoor(world, factory=door.factory)
    assert again.search(known).code == replies.BUSY  # another connection from the same place
    assert again.search("(objectClass=*)", base="", scope=BASE).code == 0
    assert LdapDoor(world, factory=door.factory, peer="192.0.2.10").search(known).code == 0
    assert LdapDoor(world, factory=door.factory, peer=KNOWN).search(known).code == 0
    [compared] = again.send(client.compare(f"mail={CAROL},o=x", "mail", CAROL, number=70))
    assert compared.code == replies.BUSY
    world.clock.advance(61)
    assert again.search(known).code == 0


def test_54_an_ipv6_network_is_one_source(world: World) -> None:
    add_carol(world)
    door = LdapDoor(world, peer="2001:db8::1")
    for number in range(60):
        one = LdapDoor(world, factory=door.factory, peer=str(ip_address("2001:db8::1") + number * 7))
        assert one.search(MAIL).code == 0
        one.send(client.unbind())
    assert LdapDoor(world, factory=door.factory, peer="2001:db8::ffff:1").search(MAIL).code == replies.BUSY
    assert LdapDoor(world, factory=door.factory, peer="2001:db8:0:1::1").search(MAIL).code == 0


def test_54_connections_are_counted(world: World) -> None:
    first = LdapDoor(world, connections_per_address=3)
    more = [LdapDoor(world, factory=first.factory) for _ in range(3)]
    assert [each.closed for each in more] == [False, False, True]
    assert not LdapDoor(world, factory=first.factory, peer=KNOWN).closed


def test_54_only_what_is_meant_for_others_is_shown(door: LdapDoor) -> None:
    shown = {name for entry in door.search(MAIL, wanted=["*", "+"]).entries for name in entry.attributes}
    allowed = {"objectClass", "mail", "cn", "sn", "givenName", "displayName"}
    assert shown <= allowed | {"userCertificate;binary", "userSMIMECertificate;binary"}
    for wanted in ("userPassword", "private", "key", "source", "trust"):
        assert [entry.attributes for entry in door.search(MAIL, wanted=[wanted]).entries] == [{}]


# --- 55: writes, passwords, StartTLS ----------------------------------------------------------------------------------


def test_55_a_password_in_clear_is_refused_unheard(door: LdapDoor) -> None:
    [said] = door.send(client.bind("uid=ann", "secret"))
    assert said.code == replies.CONFIDENTIALITY_REQUIRED
    assert door.logins.asked == []


SEARCH = client.search(MAIL, number=2)
INJECTED = [client.bind("ann", "secret", number=2), SEARCH, SEARCH[:5], b"0"]


@pytest.mark.parametrize("behind", INJECTED)
def test_55_t1_what_stands_behind_start_tls_ends_the_session(door: LdapDoor, behind: bytes) -> None:
    [said] = door.send(client.extended(client.START_TLS) + behind)
    assert (said.number, said.oid) == (0, NOTICE)
    assert door.transport.context is None
    assert door.closed
    assert door.logins.asked == []


def test_55_a_search_before_tls_where_tls_is_required(world: World) -> None:
    add_carol(world)
    door = LdapDoor(world, tls=True, tls_only=True)
    assert door.search(MAIL).code == replies.CONFIDENTIALITY_REQUIRED


@pytest.mark.parametrize(("tag", "answer"), [(0x66, 0x67), (0x68, 0x69), (0x4A, 0x6B), (0x6C, 0x6D)])
def test_55_nobody_writes_not_even_signed_in(door: LdapDoor, tag: int, answer: int) -> None:
    door.start_tls()
    door.send(client.bind("ann", "secret"))
    [said] = door.send(client.message(9, tlv(tag, client.text(f"mail={ANN},o=securegw"))))
    assert (said.tag, said.code) == (answer, replies.UNWILLING_TO_PERFORM)


# --- 56: UDP ----------------------------------------------------------------------------------------------------------


def test_56_there_is_no_ldap_over_udp() -> None:
    """An endpoint of Twisted is a stream; a setting that names UDP opens nothing."""
    from twisted.internet import reactor
    from twisted.internet.endpoints import serverFromString

    with pytest.raises(ValueError, match="udp"):
        serverFromString(reactor, "udp:389")
