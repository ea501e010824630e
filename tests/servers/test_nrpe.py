"""The door of NRPE: talks, packets of the three versions, who is answered, and threat 5.7.58."""

from __future__ import annotations

import struct
import subprocess
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as some

from securegw.health import Check, State, Table
from securegw.servers.nrpe import MOST
from securegw.servers.nrpe_anonymous import ffdhe2048, group_file
from securegw.servers.nrpe_dialogue import NotNrpe, NrpeDialogue, write
from tests.support.nrpe_door import NrpeDoor, query, read_response
from tests.support.talks import Talk, run_talk, talks

TALKS = talks("nrpe")


@pytest.mark.parametrize("talk", TALKS, ids=lambda talk: talk.name)
def test_talk(talk: Talk) -> None:
    run_talk(talk, NrpeDoor())


@pytest.mark.parametrize("version", [2, 3, 4])
@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_a_query_in_small_segments(version: int, size: int) -> None:
    door, packet = NrpeDoor(), query(version, b"check_securegw_queue")
    for at in range(0, len(packet), size):
        door.send(packet[at : at + size])
    assert door.received().decode().startswith(f"{version} 0 QUEUE OK")


@pytest.mark.parametrize("version", [2, 3, 4])
def test_a_long_text_is_cut_to_the_packet(version: int) -> None:
    table = Table(0.0, (Check("queue", State.WARNING, "ä" * 9000),))
    door = NrpeDoor(table=table)
    door.send(query(version, b"check_securegw_queue"))
    text = door.received().decode()
    assert text.startswith(f"{version} 1 QUEUE WARNING - ää")
    assert len(text.encode()) <= (1028 if version == 2 else 4096)


def test_the_packet_is_that_of_check_nrpe() -> None:
    """Version 3 as check_nrpe 4.1.0 sends it: 1017 bytes of buffer, and three behind it that its C structure has."""
    buffer = b"check_securegw_queue".ljust(1017, b"\0")
    packet = struct.pack("!hhIhhi", 3, 1, 0, 0, 0, 1017) + buffer + bytes(3)
    packet = packet[:4] + struct.pack("!I", zlib.crc32(packet)) + packet[8:]
    assert len(packet) == 1036
    response = NrpeDialogue(lambda name: (0, name)).receive(packet)
    assert response is not None
    assert read_response(response) == "3 0 check_securegw_queue"


class TestThreat5758:
    """5.7.58: only fixed names, arguments off, nothing executed, source list, at most 4 KiB."""

    @pytest.mark.parametrize(
        "name",
        [
            b"check_securegw_queue!a\nb", b"check_securegw_queue\n", b"$(id)", b"`id`", b"a;id", b"a|id", b"../../x",
            b"", b"check_securegw_queue!", b"\xff\xfe", b"a" * 65, b"check securegw",
        ],
    )  # fmt: skip
    @pytest.mark.parametrize("version", [2, 3, 4])
    def test_what_is_no_plain_name_is_refused(self, version: int, name: bytes) -> None:
        asked: list[str] = []

        def ask(text: str) -> None:
            asked.append(text)

        response = NrpeDialogue(ask).receive(query(version, name))
        assert response is not None
        assert read_response(response) == f"{version} 3 arguments are not taken here"
        assert asked == []

    def test_nothing_is_executed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(subprocess, "Popen", None)
        monkeypatch.setattr("os.system", None)
        monkeypatch.setattr("os.posix_spawn", None)
        for name in (b"check_securegw", b"check_disk", b"$(id)"):
            door = NrpeDoor()
            door.send(query(4, name))
            assert door.received()

    @pytest.mark.parametrize("version", [0, 1, 5, -1])
    def test_other_versions(self, version: int) -> None:
        with pytest.raises(NotNrpe):
            NrpeDialogue(lambda name: None).receive(struct.pack("!hh", version, 1))

    @pytest.mark.parametrize("length", [2**31 - 1, 4096, 4081, 0, -1, -(2**31)])
    def test_lengths_beyond_the_bounds_end_it_before_anything_is_kept(self, length: int) -> None:
        with pytest.raises(NotNrpe):
            NrpeDialogue(lambda name: None).receive(struct.pack("!hhIhhi", 4, 1, 0, 0, 0, length))

    @pytest.mark.parametrize("version", [2, 3, 4])
    def test_a_wrong_checksum(self, version: int) -> None:
        packet = query(version, b"check_securegw_queue")
        for at in (4, 9, len(packet) - 1):
            broken = packet[:at] + bytes([packet[at] ^ 1]) + packet[at + 1 :]
            with pytest.raises(NotNrpe):
                NrpeDialogue(lambda name: (0, "")).receive(broken)

    @pytest.mark.parametrize("version", [2, 3, 4])
    def test_more_than_a_query(self, version: int) -> None:
        with pytest.raises(NotNrpe):
            NrpeDialogue(lambda name: (0, "")).receive(query(version, b"a") + b"x")

    def test_one_byte_a_second_is_cut_off(self) -> None:
        door = NrpeDoor()
        for byte in query(2, b"check_securegw_queue")[:9]:
            door.send(bytes([byte]))
            door.wait(1)
            assert not door.closed()
        door.wait(1)
        assert door.closed()

    @pytest.mark.parametrize("address", ["192.0.3.1", "127.0.0.1", "2001:db9::1", "nonsense"])
    def test_strangers_are_cut_off_before_a_word(self, address: str) -> None:
        door = NrpeDoor(address)
        assert door.closed()
        assert door.received() == b""

    @pytest.mark.parametrize("address", ["192.0.2.1", "::ffff:192.0.2.1", "2001:db8:1::2"])
    def test_named_networks_are_answered(self, address: str) -> None:
        door = NrpeDoor(address)
        door.send(query(4, b"check_securegw_queue"))
        assert door.received().startswith(b"4 0")

    def test_there_are_not_too_many_at_once(self) -> None:
        door = NrpeDoor()
        others = [door.connect("192.0.2.1")[1] for _ in range(MOST)]
        assert [other.connected for other in others] == [True] * (MOST - 1) + [False]
        door.transport.loseConnection()
        assert door.connect("192.0.2.1")[1].connected

    def test_a_second_query_behind_the_first_is_not_answered(self) -> None:
        door = NrpeDoor()
        packet = query(4, b"check_securegw_queue")
        door.send(packet)
        door.connection.dataReceived(packet)
        assert len(bytes(door.transport.value())) < 200


@given(version=some.sampled_from([2, 3, 4]), state=some.integers(0, 3), text=some.text())
def test_every_answer_is_a_good_packet(version: int, state: int, text: str) -> None:
    packet = write(version, 2, state, text)
    read = read_response(packet)
    assert read.startswith(f"{version} {state} ")
    assert text.startswith(read[4:]) or "\0" in text


@given(data=some.binary(max_size=1100), cut=some.integers(1, 1100))
def test_any_bytes_are_a_query_or_none(data: bytes, cut: int) -> None:
    dialogue = NrpeDialogue(lambda name: (0, name))
    try:
        for piece in (data[:cut], data[cut:]):
            dialogue.receive(piece)
    except NotNrpe:
        pass


def test_the_group_of_the_anonymous_mode_is_ffdhe2048() -> None:
    """RFC 7919 A.1 prints it; its beginning and end, and that it is a safe prime by Fermat's test."""
    prime = ffdhe2048()
    digits = f"{prime:x}"
    assert digits.startswith("ffffffffffffffffadf85458a2bb4a9aafdc5620273d3cf1d8b9c583ce2d3695")
    assert digits.endswith("886b423861285c97ffffffffffffffff")
    assert pow(3, prime - 1, prime) == 1
    assert pow(3, (prime - 1) // 2 - 1, (prime - 1) // 2) == 1
    assert group_file().startswith(b"-----BEGIN DH PARAMETERS-----\nMIIBCAKCAQEA")
