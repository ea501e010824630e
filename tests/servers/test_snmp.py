"""The SNMP agent without a network: what it answers, to whom, and threat 5.7.59."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as some
from twisted.internet.task import Clock

from securegw.config.kinds import Unfit
from securegw.health import Check, Levels, State, Table
from securegw.health.checks import CHECKS as NAMES
from securegw.servers.snmp import PER_SECOND, Snmp, SnmpDoor
from securegw.servers.snmp_ber import (
    COUNTER64,
    END_OF_VIEW,
    NO_SUCH_INSTANCE,
    NO_SUCH_OBJECT,
    BadBer,
    Reader,
    integer,
    octets,
    oid,
    pack,
    sequence,
)
from securegw.servers.snmp_engine import BadEngine, start_engine
from securegw.servers.snmp_message import LARGEST, NOT_IN_TIME, UNKNOWN_ENGINES
from securegw.servers.snmp_security import BadSecrets, localize, read_secrets, stretched
from securegw.servers.snmp_settings import EXAMPLE, SnmpSettings, UdpPlace, udp_listen, udp_target
from securegw.servers.snmp_tree import (
    STATE,
    SYSTEM,
    TRAP_OID,
    UPTIME,
    WORDS,
)
from tests.support.snmp_manager import (
    BULK,
    GET,
    NEXT,
    REPORT,
    RESPONSE,
    SET,
    TRAP,
    Answer,
    Manager,
    read_pdu,
    read_v2c,
    request,
    with_community,
)
from tests.support.snmp_names import CHECK_CHANGED, CHECKS, MAILS, OVERALL, ROOT

SECRETS = """\
# who may ask
community watch-me
community  and-me
user nagios SHA-256 authpassword AES privpassword
user old SHA authpassword AES privpassword
user big SHA-512 authpassword AES privpassword
"""
QUEUE = Check("queue", State.WARNING, "many mails", 12.7, "", Levels(10, 20))
SPACE = Check("space", State.OK, "free", 5e12, "B", Levels(2e9, 1e9))
CLOCK = Check("clock", State.UNKNOWN, "ä" * 400, -3.5, "s")
STATE_OF_QUEUE = (*CHECKS, STATE, *b"queue")


class Place:
    """An agent with its files, its clocks and what it sent."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        secrets = folder / "secrets"
        if not secrets.exists():
            secrets.write_text(SECRETS)
            secrets.chmod(0o600)
        self.clock = 1000.0
        self.timer = Clock()
        self.table = Table(900.0, (QUEUE, SPACE, CLOCK))
        self.told: list[tuple[bytes, UdpPlace]] = []
        self.snmp = Snmp(
            SnmpSettings(secrets=secrets, **settings), "gw.test", folder, lambda: self.table, lambda: self.clock,
            lambda: self.clock, lambda message, target: self.told.append((message, target)), self.timer,
        )  # fmt: skip
        self.receive = self.snmp.agent.receive

    def ask(self, pdu: bytes, community: bytes = b"watch-me") -> Answer | None:
        raw = self.receive(with_community(community, pdu))
        return None if raw is None else read_v2c(raw)

    def get(self, *names: Any) -> list[bytes]:
        found = self.ask(request(GET, names))
        assert found is not None
        assert (found.kind, found.id, found.status) == (RESPONSE, 7, 0)
        return [value for _, value in found.bindings]

    def manager(self, **who: Any) -> Manager:
        manager = Manager(self.receive, **who)
        manager.discover()
        return manager


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


# What is answered


def test_the_system_group(place: Place) -> None:
    place.clock += 12.5
    found = place.get(*((*SYSTEM, number, 0) for number in (2, 3, 5)))
    assert found == [oid(ROOT), integer(1250, 0x43), octets(b"gw.test")]


def test_the_whole(place: Place) -> None:
    state, words, age = place.get((*OVERALL, 2, 0), (*OVERALL, 3, 0), (*OVERALL, 4, 0))
    assert (state, age) == (integer(3), integer(100, 0x42))
    assert words.startswith(b"\x04\x81\xff") or b"many mails" in words


def test_a_row_of_the_checks(place: Place) -> None:
    found = place.get(*((*CHECKS, column, *b"queue") for column in range(2, 9)))
    texts = [octets(text) for text in (b"12.7", b"", b"10", b"20")]
    assert found == [integer(1), octets(b"many mails"), integer(12, COUNTER64), *texts]
    assert place.get((*CHECKS, 4, *b"space")) == [integer(5 * 10**12, COUNTER64)]
    assert place.get((*CHECKS, 4, *b"clock")) == [integer(0, COUNTER64)]


def test_long_words_are_cut_between_letters(place: Place) -> None:
    [words] = place.get((*CHECKS, WORDS, *b"clock"))
    assert Reader(words).octets().decode() == "ä" * 127


def test_counters_count(place: Place) -> None:
    from securegw.flow.delivery import COUNTERS

    [before] = place.get((*MAILS, 2, 0))
    COUNTERS["done"].inc()
    [after] = place.get((*MAILS, 2, 0))
    assert int.from_bytes(after[2:]) == int.from_bytes(before[2:]) + 1


def test_what_is_not_there(place: Place) -> None:
    nothing, instance = (1, 3, 6, 1, 2, 1, 2, 1, 0), (*CHECKS, STATE, *b"nobody")
    assert place.get(nothing, instance, (*OVERALL, 2)) == [NO_SUCH_OBJECT, NO_SUCH_INSTANCE, NO_SUCH_INSTANCE]


def test_the_new_table_is_seen(place: Place) -> None:
    assert place.get(STATE_OF_QUEUE) == [integer(1)]
    place.table = Table(1000.0, (Check("queue", State.OK, "few"),))
    assert place.get(STATE_OF_QUEUE) == [integer(0)]


def walk(step: Callable[[Any], Answer | None]) -> list[Any]:
    names: list[Any] = []
    name: Any = (1, 3)
    while True:
        found = step(name)
        assert found is not None
        for name, value in found.bindings:
            if value == END_OF_VIEW:
                return names
            assert not names or name > names[-1]
            names.append(name)


def test_a_walk_sees_everything_in_order_however_it_is_done(place: Place) -> None:
    one_by_one = walk(lambda name: place.ask(request(NEXT, [name])))
    in_bulk = walk(lambda name: place.ask(request(BULK, [name], second=10)))
    manager = place.manager()
    by_user = walk(lambda name: manager.ask(request(BULK, [name], second=25)))
    assert one_by_one == in_bulk == by_user
    assert len(one_by_one) == 7 + 4 + 3 * 7 + 5


def test_a_bulk_with_names_that_are_asked_once(place: Place) -> None:
    found = place.ask(request(BULK, [SYSTEM, (*CHECKS, 2), (*CHECKS, 3)], first=1, second=2))
    assert found is not None
    clock, queue = b"clock", b"queue"
    assert found.names == [
        (*SYSTEM, 1, 0), (*CHECKS, 2, *clock), (*CHECKS, 3, *clock), (*CHECKS, 2, *queue), (*CHECKS, 3, *queue),
    ]  # fmt: skip


# Version 3


@pytest.mark.parametrize(
    "who",
    [{}, {"user": b"old", "hash": "sha1", "size": 12}, {"user": b"big", "hash": "sha512", "size": 48}],
    ids=["sha256", "sha1", "sha512"],
)
def test_a_user_discovers_and_asks(place: Place, who: dict[str, Any]) -> None:
    place.clock += 5000
    manager = place.manager(**who)
    assert (manager.engine, manager.boots, manager.time) == (place.snmp.engine.id, 1, 5000)
    found = manager.ask(request(GET, [STATE_OF_QUEUE]))
    assert found is not None
    assert (found.kind, found.bindings) == (RESPONSE, ((STATE_OF_QUEUE, integer(1)),))
    assert b"many mails" not in manager.last


def test_the_discovery_tells_a_name_and_nothing_else(place: Place) -> None:
    manager = Manager(place.receive)
    report = manager.discover()
    assert (report.kind, report.names) == (REPORT, [UNKNOWN_ENGINES])
    assert len(manager.last) < 120


def test_a_wrong_time_is_told_to_who_is_genuine(place: Place) -> None:
    manager = place.manager()
    manager.time += 151
    report = manager.ask(request(GET, [STATE_OF_QUEUE]))
    assert report is not None
    assert (report.kind, report.names) == (REPORT, [NOT_IN_TIME])
    manager.time -= 1
    assert (manager.ask(request(GET, [STATE_OF_QUEUE])) or report).kind == RESPONSE


def test_an_old_message_is_not_answered_again(place: Place) -> None:
    manager = place.manager()
    old = manager.message(request(GET, [STATE_OF_QUEUE]))
    assert place.receive(old)
    place.clock += 200
    replayed = place.receive(old)
    assert replayed is not None
    assert manager.read(replayed).kind == REPORT


def test_messages_of_an_earlier_start_are_old(tmp_path: Path) -> None:
    first = Place(tmp_path)
    manager = first.manager()
    old = manager.message(request(GET, [STATE_OF_QUEUE]))
    second = Place(tmp_path)
    assert (second.snmp.engine.id, second.snmp.engine.boots) == (first.snmp.engine.id, 2)
    raw = second.receive(old)
    assert raw is not None
    assert manager.read(raw).kind == REPORT


def test_keys_are_those_of_the_standard() -> None:
    """RFC 3414 A.3.2: "maplesyrup" at the engine 00..02, with SHA-1."""
    engine = bytes(11) + b"\x02"
    assert localize("sha", stretched("sha", "maplesyrup"), engine).hex() == "6695febc9288e36282235fc7151f128497b38f3f"


class TestThreat5759:
    """5.7.59: public and private, GETBULK 2,000, SET, spoofed source, v3 without auth: silent, small, read-only."""

    @pytest.mark.parametrize(
        "community", [b"public", b"private", b"", b"watch-m", b"watch-me2", b"WATCH-ME", b"\0" * 300]
    )
    @pytest.mark.parametrize("kind", [GET, NEXT, BULK, SET])
    def test_a_wrong_community_hears_nothing(self, place: Place, community: bytes, kind: int) -> None:
        assert place.ask(request(kind, [STATE_OF_QUEUE]), community) is None

    def test_a_bulk_of_two_thousand_is_small(self, place: Place) -> None:
        place.table = Table(0.0, tuple(Check(name, State.OK, "w" * 255) for name in NAMES))
        raw = place.receive(with_community(b"watch-me", request(BULK, [(1, 3)], second=2000)))
        assert raw is not None
        assert 1000 < len(raw) <= LARGEST
        assert read_v2c(raw).status == 0
        manager = place.manager()
        for names in ([(1, 3)], [(1, 3)] * 64):
            assert manager.ask(request(BULK, names, second=2**31 - 1))
            assert len(manager.last) <= LARGEST

    def test_a_manager_with_little_room_gets_less(self, place: Place) -> None:
        place.table = Table(0.0, tuple(Check(name, State.OK, "w" * 255) for name in NAMES))
        manager = place.manager(largest=484)
        assert manager.ask(request(BULK, [(*CHECKS, WORDS)], second=50))
        assert len(manager.last) <= 484

    def test_a_get_of_too_much_is_refused_in_few_bytes(self, place: Place) -> None:
        place.table = Table(0.0, (Check("queue", State.OK, "w" * 255),))
        found = place.ask(request(GET, [(*CHECKS, WORDS, *b"queue")] * 10))
        assert found is not None
        assert (found.status, found.bindings) == (1, ())  # tooBig

    def test_more_names_than_anybody_needs(self, place: Place) -> None:
        assert place.ask(request(GET, [(1, 3)] * 65)) is None

    def test_a_large_datagram(self, place: Place) -> None:
        assert place.receive(with_community(b"watch-me", request(GET, [(1, 3)])).ljust(1501, b"\0")) is None

    @pytest.mark.parametrize("name", [(*SYSTEM, 4, 0), STATE_OF_QUEUE, (1, 3)])
    def test_nothing_can_be_set(self, place: Place, name: Any) -> None:
        before = place.get((*SYSTEM, 4, 0))
        found = place.ask(request(SET, [name]))
        assert found is not None
        assert (found.status, found.index) == (17, 1)  # notWritable
        by_user = place.manager().ask(request(SET, [name]))
        assert by_user is not None
        assert by_user.status == 17
        assert place.get((*SYSTEM, 4, 0)) == before

    @pytest.mark.parametrize("version", [0, 2, 4])
    def test_other_versions_hear_nothing(self, place: Place, version: int) -> None:
        assert place.receive(with_community(b"watch-me", request(GET, [(1, 3)]), version)) is None

    @pytest.mark.parametrize("flags", [0, 1, 2, 4, 5, 6])
    def test_without_authentication_and_privacy_nothing_is_told(self, place: Place, flags: int) -> None:
        manager = place.manager()
        manager.flags = flags
        assert manager.ask(request(GET, [STATE_OF_QUEUE])) is None

    @pytest.mark.parametrize(
        "change", [{"user": b"nobody"}, {"user": b""}, {"auth": b"wrongpassword"}, {"hash": "sha512", "size": 48}]
    )
    def test_an_unknown_user_or_a_wrong_password_hears_nothing(self, place: Place, change: dict[str, Any]) -> None:
        manager = place.manager()
        for name, value in change.items():
            setattr(manager, name, value)
        assert manager.ask(request(GET, [STATE_OF_QUEUE])) is None

    def test_a_wrong_privacy_password_hears_nothing(self, place: Place) -> None:
        manager = place.manager()
        manager.priv = b"wrongpassword"
        assert manager.ask(request(GET, [STATE_OF_QUEUE])) is None

    def test_a_user_of_another_engine_hears_nothing(self, place: Place) -> None:
        manager = place.manager()
        manager.engine = manager.engine[:-1] + b"\xff"
        assert manager.ask(request(GET, [STATE_OF_QUEUE])) is None

    def test_another_context_hears_nothing(self, place: Place) -> None:
        manager = place.manager(context=b"elsewhere")
        assert manager.ask(request(GET, [STATE_OF_QUEUE])) is None

    def test_every_changed_byte_of_a_message_silences_it(self, place: Place) -> None:
        manager = place.manager()
        raw = manager.message(request(GET, [STATE_OF_QUEUE]))
        for at in range(len(raw)):
            answer = place.receive(raw[:at] + bytes([raw[at] ^ 0x41]) + raw[at + 1 :])
            assert answer is None

    def test_strangers_and_floods_hear_nothing(self, place: Place) -> None:
        sent: list[Any] = []

        class Transport:
            def write(self, data: bytes, addr: Any) -> None:
                sent.append(addr)

        door = SnmpDoor(place.snmp.agent, (ip_network("192.0.2.0/24"),), lambda: place.clock)
        door.transport = Transport()
        good = with_community(b"watch-me", request(GET, [STATE_OF_QUEUE]))
        door.datagramReceived(good, ("198.51.100.1", 5))
        assert sent == []
        for _ in range(PER_SECOND + 50):
            door.datagramReceived(good, ("192.0.2.1", 5))
        assert sent == [("192.0.2.1", 5)] * PER_SECOND
        place.clock += 1
        door.datagramReceived(good, ("192.0.2.1", 5))
        assert len(sent) == PER_SECOND + 1


@given(data=some.binary(max_size=200))
@example(data=b"\x30\x80")
@example(data=b"\x30\x84\xff\xff\xff\xff")
@example(data=b"\x30\x82\x00\x03\x02\x01\x01")
def test_any_bytes_are_a_message_or_silence(data: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    place = _place(tmp_path_factory)
    answer = place.receive(data)
    assert answer is None or len(answer) <= LARGEST


@given(data=some.binary(max_size=60))
def test_any_request_of_the_right_community(data: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    place = _place(tmp_path_factory)
    for kind in (GET, NEXT, SET, BULK):
        answer = place.receive(with_community(b"watch-me", pack(kind, data)))
        assert answer is None or len(answer) <= LARGEST


_MADE: list[Place] = []


def _place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    if not _MADE:
        _MADE.append(Place(tmp_path_factory.mktemp("snmp")))
    return _MADE[0]


@given(number=some.integers(-(2**31), 2**31 - 1))
def test_integers(number: int) -> None:
    assert Reader(integer(number)).integer() == number


@given(
    name=some.lists(some.integers(0, 2**32 - 1), max_size=100), first=some.integers(0, 1), second=some.integers(0, 39)
)
def test_names(name: list[int], first: int, second: int) -> None:
    assert Reader(oid((first, second, *name))).oid() == (first, second, *name)


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"\x02", b"\x02\x00", b"\x02\x05\x01", b"\x02\x06\x01\x01\x01\x01\x01\x01", b"\x02\x80\x01",
        b"\x04\x01\x01",
        b"\x02\x85\x00\x00\x00\x00\x01\x01", b"\x02\x05\x7f\xff\xff\xff\xff",
    ],
)  # fmt: skip
def test_what_is_no_integer(raw: bytes) -> None:
    with pytest.raises(BadBer):
        Reader(raw).integer()


@pytest.mark.parametrize(
    "raw", [b"\x06\x00", b"\x06\x01\x80", b"\x06\x06\x2b\xff\xff\xff\xff\x7f", pack(6, b"\x2b" * 200)]
)
def test_what_is_no_name(raw: bytes) -> None:
    with pytest.raises(BadBer):
        Reader(raw).oid()


# Traps


def test_a_change_is_told_by_community(tmp_path: Path) -> None:
    target = UdpPlace("192.0.2.5", 162)
    place = Place(tmp_path, traps=(target, UdpPlace("192.0.2.6", 1162)))
    place.clock += 3
    place.snmp.changed(Check("queue", State.OK, "few"), QUEUE)
    assert [to for _, to in place.told] == [target, UdpPlace("192.0.2.6", 1162)]
    assert b"watch-me" in place.told[0][0]  # the first one of the file
    told = read_v2c(place.told[0][0])
    assert told.kind == TRAP
    assert told.bindings == (
        (UPTIME, integer(300, 0x43)),
        (TRAP_OID, oid(CHECK_CHANGED)),
        (STATE_OF_QUEUE, integer(1)),
        ((*CHECKS, WORDS, *b"queue"), octets(b"many mails")),
    )


def test_a_change_is_told_as_a_user(tmp_path: Path) -> None:
    place = Place(tmp_path, traps=(UdpPlace("192.0.2.5", 162),), trap_user="nagios")
    place.snmp.changed(Check("queue", State.OK, "few"), QUEUE)
    [(raw, _)] = place.told
    assert b"many mails" not in raw
    message = Reader(raw).enter()
    assert message.integer() == 3
    message.enter()
    parameters = message.enter(4).enter()
    assert (parameters.octets(), parameters.integer()) == (place.snmp.engine.id, 1)


def test_the_number_of_an_organisation_is_in_every_name(tmp_path: Path) -> None:
    place = Place(tmp_path, enterprise=99999, traps=(UdpPlace("192.0.2.5", 162),))
    names = walk(lambda name: place.ask(request(NEXT, [name])))
    assert all(name[:8] == (1, 3, 6, 1, 4, 1, 99999, 1) for name in names if name[:7] != SYSTEM)
    assert len(names) == 7 + 4 + 3 * 7 + 5
    assert place.get((*SYSTEM, 2, 0)) == [oid((1, 3, 6, 1, 4, 1, 99999, 1))]
    place.snmp.changed(Check("queue", State.OK, "few"), QUEUE)
    told = read_v2c(place.told[0][0])
    assert dict(told.bindings)[TRAP_OID] == oid((1, 3, 6, 1, 4, 1, 99999, 1, 0, 1))
    assert place.snmp.engine.id[:4] == (1 << 31 | 99999).to_bytes(4)


def test_without_a_secret_nobody_is_told(tmp_path: Path) -> None:
    place = Place(tmp_path, traps=(UdpPlace("192.0.2.5", 162),), trap_user="nobody")
    place.snmp.changed(Check("queue", State.OK, "few"), QUEUE)
    assert place.told == []


# Files


def test_the_engine_keeps_its_name_and_counts_its_starts(tmp_path: Path) -> None:
    file = tmp_path / "engine"
    engines = [start_engine(file, lambda: 5.0, EXAMPLE) for _ in range(3)]
    assert [engine.boots for engine in engines] == [1, 2, 3]
    assert len({engine.id for engine in engines}) == 1
    assert engines[0].id[:5] == bytes.fromhex("80007ed905")
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("text", ["", "zz 1\n", "80007ed905aabbccdd\n", "80007ed905aabbccdd -1\n", "\xff"])
def test_a_damaged_engine_does_not_begin_anew(tmp_path: Path, text: str) -> None:
    (tmp_path / "engine").write_text(text, "latin-1")
    with pytest.raises(BadEngine):
        start_engine(tmp_path / "engine", lambda: 0.0, EXAMPLE)


def test_an_engine_that_was_started_too_often_answers_no_user(tmp_path: Path) -> None:
    (tmp_path / "engine").write_text(f"80007ed905aabbccdd {2**31 - 2}\n")
    engine = start_engine(tmp_path / "engine", lambda: 0.0, EXAMPLE)
    assert not engine.in_window(engine.boots, 0)


@pytest.mark.parametrize(
    "line",
    [
        "community", "community a b", "user x", "user x SHA-256 short AES privpassword",
        "user x MD5 authpassword AES privpassword",
        "user x SHA-256 authpassword DES privpassword", "user x SHA-256 authpassword AES short", "anything",
    ],
)  # fmt: skip
def test_wrong_lines_are_named_without_their_secrets(tmp_path: Path, line: str) -> None:
    file = tmp_path / "secrets"
    file.write_text(f"community good\n{line}\n")
    file.chmod(0o600)
    with pytest.raises(BadSecrets, match="line 2") as found:
        read_secrets(file, b"engine")
    assert "authpassword" not in str(found.value)


def test_secrets_that_others_can_read_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "secrets"
    file.write_text(SECRETS)
    file.chmod(0o640)
    with pytest.raises(BadSecrets, match="0600"):
        read_secrets(file, b"engine")
    with pytest.raises(BadSecrets, match="cannot be read"):
        read_secrets(tmp_path / "nothing", b"engine")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("udp:161", UdpPlace("", 161)),
        ("udp:161:interface=192.0.2.1", UdpPlace("192.0.2.1", 161)),
        ("udp:port=161:interface=2001\\:db8\\:\\:1", UdpPlace("2001:db8::1", 161)),
    ],
)
def test_where_it_listens(text: str, found: UdpPlace) -> None:
    assert udp_listen.read(text, Path()) == found


@pytest.mark.parametrize("text", ["tcp:161", "udp:", "udp:65536", "udp:161:interface=host", "161", 5])
def test_where_it_cannot_listen(text: object) -> None:
    with pytest.raises(Unfit):
        udp_listen.read(text, Path())


def test_targets() -> None:
    assert udp_target.read("192.0.2.5:162", Path()) == UdpPlace("192.0.2.5", 162)
    assert udp_target.read("[2001:db8::5]:162", Path()) == UdpPlace("2001:db8::5", 162)
    for wrong in ("192.0.2.5", "host:162", "192.0.2.5:0", ":162", 7):
        with pytest.raises(Unfit):
            udp_target.read(wrong, Path())


def test_a_pdu_is_read_as_it_was_written() -> None:
    found = read_pdu(Reader(request(GET, [SYSTEM], number=2**31 - 1)))
    assert (found.id, found.names) == (2**31 - 1, [SYSTEM])
    assert sequence(()) == b"\x30\x00"
