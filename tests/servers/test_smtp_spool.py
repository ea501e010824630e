"""Large texts on their way to a spool: the same text as in memory, back-pressure, and nothing left of what failed."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock

from securegw.mail.address import Address
from securegw.mail.errors import DiskFull
from securegw.servers import smtp_body
from securegw.servers.smtp import SmtpFactory, SmtpSettings
from securegw.servers.smtp_body import BodyReader
from securegw.servers.smtp_room import TextRoom
from securegw.servers.smtp_spool import SPOOL_MEMORY, SPOOLED_FROM, AfterChunks, AfterData
from tests.support.smtp_door import Door, PretendedIntake

ENVELOPE = b"MAIL FROM:<ann@inside.test>\r\nRCPT TO:<bob@outside.test>\r\n"
LINE = b"x" * 998 + b"\r\n"
PIECE = LINE * 65
PIECES = st.lists(st.sampled_from([b"", b".", b"..", b".a", b"text", b"a.", b"x" * 50]), max_size=12)


class Heap:
    """A spool that keeps what it gets; ``behind`` when it is told so."""

    def __init__(self) -> None:
        self.text = b""
        self.behind = self.dropped = False
        self.calm: Callable[[], None] | None = None

    def __len__(self) -> int:
        return len(self.text)

    def isascii(self) -> bool:
        return self.text.isascii()

    def startswith(self, start: bytes) -> bool:
        return self.text.startswith(start)

    def add(self, data: bytes) -> None:
        self.text += data

    def when_calm(self, call: Callable[[], None]) -> None:
        self.calm = call

    def drop(self) -> None:
        self.dropped = True


class SpoolingIntake(PretendedIntake):
    """Gives heaps, and takes them; ``problem`` is what has gone wrong with the disk."""

    def __init__(self) -> None:
        super().__init__()
        self.heaps: list[Heap] = []
        self.spooled_for: list[list[str]] = []
        self.problem: Exception | None = None

    def spool(self, recipients: Sequence[Address]) -> Heap:  # type: ignore[override]
        self.spooled_for.append([str(each) for each in recipients])
        self.heaps.append(Heap())
        return self.heaps[-1]

    async def accept(self, envelope, raw):  # type: ignore[no-untyped-def]
        if self.problem is not None:
            raise self.problem
        return await super().accept(envelope, raw)


def begun(command: bytes = b"DATA\r\n") -> tuple[Door, SpoolingIntake]:
    """A door in the middle of a text."""
    intake = SpoolingIntake()
    door = Door(factory=SmtpFactory(intake, SmtpSettings(), None, "gw.test", Clock()))  # type: ignore[arg-type]
    door.send(b"EHLO client.test\r\n" + ENVELOPE)
    door.send(command)
    door.received()
    return door, intake


def last_code(door: Door) -> int:
    return int(door.received().splitlines()[-1][:3])


@given(PIECES, st.lists(st.integers(0, 300)))
def test_any_cut_gives_the_same_text(lines: list[bytes], cuts: list[int]) -> None:
    wire = b"".join((b"." + line if line.startswith(b".") else line) + b"\r\n" for line in lines) + b".\r\n"
    heap, places = Heap(), sorted({min(cut, len(wire)) for cut in cuts} | {0, len(wire)})
    way = AfterData(heap)
    for begin, end in itertools.pairwise(places):
        way.add(wire[begin:end])
        assert len(wire[:end]) - len(heap) < 50, "what is held back is bounded"
    way.end()
    assert heap.text == b"".join(line + b"\r\n" for line in lines)


def test_a_text_of_dots_is_not_held_back() -> None:
    heap = Heap()
    way = AfterData(heap)
    for _ in range(10):
        way.add(b"." * 1000)
    assert len(heap) > 9990


@pytest.mark.parametrize("text", [b"a\r\n", b"a", b"a\r", b"\r\n"])
def test_chunks_get_an_end_to_their_last_line(text: bytes) -> None:
    heap = Heap()
    way = AfterChunks(heap)
    for byte in text:
        way.add(bytes((byte,)))
    way.end()
    assert heap.text == (text if text.endswith(b"\r\n") else text + b"\r\n")


def test_a_text_goes_to_the_spool_from_a_size_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smtp_body, "SPOOLED_FROM", 100)
    for size, spooled in ((97, False), (98, True)):
        heap = Heap()
        reader = BodyReader(10_000, spool=lambda heap=heap: heap)
        assert reader.feed(b"..x" + b"y" * (size - 5) + b"\r\n.\r\n") == b""
        assert (reader.text() is heap) == spooled
        assert heap.text == (b".x" + b"y" * (size - 5) + b"\r\n" if spooled else b"")


def test_a_large_text_is_taken_out_of_the_spool() -> None:
    door, intake = begun()
    door.send(b"..first\r\n")
    for _ in range(20):
        door.send(PIECE)
    assert intake.spooled_for == [["bob@outside.test"]]
    assert len(intake.heaps[0]) > SPOOLED_FROM
    door.send(b"..last\r\n.\r\n")
    [(_, raw)] = intake.mails
    assert raw is intake.heaps[0]
    assert intake.heaps[0].text == b".first\r\n" + PIECE * 20 + b".last\r\n"
    assert last_code(door) == 250


def test_a_large_text_in_chunks_goes_there_too() -> None:
    size = len(PIECE)
    door, intake = begun(f"BDAT {size}\r\n".encode() + PIECE)
    for _ in range(20):
        door.send(f"BDAT {size}\r\n".encode() + PIECE)
    door.send(b"BDAT 5 LAST\r\n.last")
    assert intake.heaps[0].text == PIECE * 21 + b".last\r\n"
    assert last_code(door) == 250


def test_a_disk_that_is_full_is_told_at_the_end_of_the_text_and_the_session_goes_on() -> None:
    door, intake = begun()
    intake.problem = DiskFull()
    for _ in range(20):
        door.send(PIECE)
    door.send(b".\r\n")
    assert last_code(door) == 452
    assert intake.heaps[0].dropped
    door.send(b"NOOP\r\n")
    assert last_code(door) == 250


def test_who_writes_faster_than_the_disk_is_told_to_wait() -> None:
    door, intake = begun()
    for _ in range(20):
        door.send(PIECE)
    assert door.transport.producerState == "producing"
    intake.heaps[0].behind = True
    door.send(PIECE)
    assert door.transport.producerState == "paused"
    intake.heaps[0].behind = False
    assert intake.heaps[0].calm is not None
    intake.heaps[0].calm()
    assert door.transport.producerState == "producing"
    door.send(b".\r\n")
    assert last_code(door) == 250


def test_a_calm_spool_does_not_wake_who_waits_for_an_answer() -> None:
    door, intake = begun()
    for _ in range(20):
        door.send(PIECE)
    intake.heaps[0].behind = True
    door.send(PIECE)
    calm = intake.heaps[0].calm
    intake.gates = []
    door.send(b".\r\n")  # it was on its way already
    door.send(b"NOOP\r\n")
    assert calm is not None
    calm()
    assert door.transport.producerState == "paused"
    intake.gates[0].callback(None)
    assert door.transport.producerState == "producing"


@pytest.mark.parametrize("how", ["lost", "lone LF", "too long", "RSET behind a chunk"])
def test_nothing_is_left_of_a_text_that_failed(how: str) -> None:
    size = 1_500_000
    door, intake = begun(f"BDAT {size}\r\n".encode() if how == "RSET behind a chunk" else b"DATA\r\n")
    if how == "RSET behind a chunk":
        door.send(b"x" * size)
        door.send(b"RSET\r\n")
    else:
        for _ in range(20 if how != "too long" else 50):
            door.send(PIECE)
    if how == "lost":
        door.connection.connectionLost()
    elif how == "lone LF":
        door.send(b"a\nb\r\n.\r\n")
    elif how == "too long":
        door.send(b".\r\n")
    assert [heap.dropped for heap in intake.heaps] == [True]
    assert intake.mails == []


def test_a_spooled_text_takes_little_of_the_room() -> None:
    door, _ = begun()
    room = door.connection._dialogue._bounds.room
    for _ in range(28):
        door.send(PIECE)
    assert 0 < room.taken <= SPOOLED_FROM + SPOOL_MEMORY
    door.send(b".\r\n")
    assert room.taken == 0


def test_where_there_is_no_spool_a_text_takes_its_size() -> None:
    from securegw.servers.smtp_room import Place

    room = TextRoom(10 << 20)
    assert Place(room).grow(9 << 20)
    assert not Place(room).grow(9 << 20)
    assert Place(TextRoom(4 << 20), spools=True).grow(50 << 20)
