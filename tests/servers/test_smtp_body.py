"""The text after DATA: its end, its dots and its bounds."""

from __future__ import annotations

import itertools
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from securegw.mail.errors import BareLine
from securegw.mail.message import check_wire
from securegw.servers.smtp_body import BodyReader, ChunkReader, Pieces

LINES = st.lists(st.sampled_from([b"", b".", b"..", b".a", b"text", b"a.", b"x" * 50]), max_size=8)


def read(wire: bytes, cuts: list[int], limit: int = 10_000) -> tuple[BodyReader, bytes | None]:
    reader = BodyReader(limit)
    places = sorted({min(cut, len(wire)) for cut in cuts} | {0, len(wire)})
    for begin, end in itertools.pairwise(places):
        rest = reader.feed(wire[begin:end])
        if rest is not None:
            return reader, rest + wire[end:]
    return reader, None


def stuffed(lines: list[bytes]) -> bytes:
    return b"".join((b"." + line if line.startswith(b".") else line) + b"\r\n" for line in lines)


@given(LINES, st.lists(st.integers(0, 500)), st.sampled_from([b"", b"NOOP\r\n", b".\r\n", b"\r\n.\r\n"]))
def test_any_cut_gives_the_same_text(lines: list[bytes], cuts: list[int], behind: bytes) -> None:
    reader, rest = read(stuffed(lines) + b".\r\n" + behind, cuts)
    assert rest == behind
    assert reader.text() == b"".join(line + b"\r\n" for line in lines)


@pytest.mark.parametrize("offset", [0, 1, 4095, 4096, 16382, 16383, 16384, 16385, 32768])
@pytest.mark.parametrize("size", [1, 4096, 16384])
def test_dots_at_every_buffer_edge(offset: int, size: int) -> None:
    first = b"x" * (offset - 2) + b"\r\n" if offset >= 2 else b""
    wire = first + b"..\r\n..dot\r\n.\r\n"
    reader = BodyReader(100_000)
    rests = [reader.feed(wire[at : at + size]) for at in range(0, len(wire), size)]
    assert rests[-1] == b"" and set(rests[:-1]) <= {None}
    assert reader.text() == first + b".\r\n.dot\r\n"


def test_a_text_as_large_as_allowed_is_no_overflow_however_it_is_stuffed() -> None:
    raw = b".\r\n" * 100
    reader, rest = read(stuffed([b"."] * 100) + b".\r\n", [], limit=len(raw))
    assert rest == b"" and not reader.overflowed
    assert reader.text() == raw


def test_an_overflowing_text_is_not_kept() -> None:
    reader = BodyReader(1000)
    for _ in range(3):
        assert reader.feed(b"x" * 1000) is None
    assert reader.overflowed and reader.hopeless
    assert reader.text() == b""


@given(st.lists(st.binary(max_size=700), max_size=30), st.integers(0, 40))
def test_pieces_of_any_size_keep_their_order(pieces: list[bytes], cut: int) -> None:
    kept = Pieces()
    for piece in pieces:
        kept.add(piece)
    whole = b"".join(pieces)
    assert kept.size == len(whole)
    assert kept.take(cut) == whole[: max(0, len(whole) - cut)]
    assert kept.take() == b""


def test_a_text_in_tiny_segments_costs_no_multiple_of_its_size() -> None:
    kept = Pieces()
    tracemalloc.start()
    for _ in range(300_000):
        kept.add(bytes(3))
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size < 3 * 900_000
    assert len(kept.take()) == 900_000


@given(st.lists(st.binary(min_size=1, max_size=60), min_size=1, max_size=8), st.lists(st.integers(0, 600)))
def test_any_cut_of_the_stream_and_any_chunks_give_the_same_text(chunks: list[bytes], cuts: list[int]) -> None:
    wire = b"".join(chunks) + b"NOOP\r\n"
    pieces, at = Pieces(), 0
    for chunk in chunks:
        reader, rest = ChunkReader(len(chunk), pieces), None
        places = sorted({at, len(wire)} | {cut % len(wire) for cut in cuts if at < cut % len(wire)})
        for begin, end in itertools.pairwise(places):
            rest = reader.feed(wire[begin:end])
            if rest is not None:
                at = end - len(rest)
                break
        assert rest is not None and reader.complete
    assert pieces.take() == b"".join(chunks) and wire[at:] == b"NOOP\r\n"


@pytest.mark.parametrize("raw", [b"a\rb\n", b"\n\r", b"a\r\nb\rc\nd", b"\r", b"\n", b"\0", b"a\r\n\0\0", b"\r\r\n\n"])
def test_line_ends_must_be_pairs_and_not_only_as_many(raw: bytes) -> None:
    with pytest.raises(BareLine):
        check_wire(raw)


@given(st.lists(st.sampled_from([b"\r\n", b"\r", b"\n", b"\0", b"x", b"xy"]), max_size=12).map(b"".join))
def test_line_ends_as_a_slow_reader_sees_them(raw: bytes) -> None:
    clean = not set(raw.replace(b"\r\n", b"")) & set(b"\r\n\0")
    try:
        check_wire(raw)
        assert clean
    except BareLine:
        assert not clean
