"""Byte-stuffing and TOP, cut anywhere: what a reader undoes is what was kept (RFC 1939 3, 7; threats T4)."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from securegw.servers.pop3_text import Stuffer, Top

PIECES = st.lists(
    st.sampled_from([b".", b"\r\n", b"\r", b"\n", b"..", b"\r\n.", b"\r\n.\r\n", b"text", b"\r\n\r\n", b""]),
    max_size=20,
)


def stuffed(pieces: list[bytes]) -> bytes:
    stuffer = Stuffer()
    return b"".join([*map(stuffer.feed, pieces), stuffer.end()])


def read(wire: bytes, line_end: bytes = b"\r\n") -> tuple[bytes, bytes]:
    """What a client reads up to the dot, and what is left for the next reply."""
    lines = []
    while True:
        line, found, wire = wire.partition(line_end)
        assert found, "the text never ends"
        if (line.rstrip(b"\r") == b"." and line_end == b"\n") or line == b".":
            return b"".join(lines), wire
        lines.append((line[1:] if line.startswith(b".") else line) + line_end)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = sorted({place % (len(data) + 1) for place in places} | {0, len(data)})
    return [data[begin:end] for begin, end in itertools.pairwise(edges)]


@given(PIECES.map(b"".join), st.lists(st.integers(0, 200), max_size=12))
def test_any_cut_gives_the_same_text(data: bytes, places: list[int]) -> None:
    assert stuffed(cut(data, places)) == stuffed([data])


@given(st.lists(st.sampled_from([b".", b"..", b"", b"text", b".text", b" .", b"a" * 300]), max_size=12))
def test_what_a_client_reads_is_what_was_kept(lines: list[bytes]) -> None:
    kept = b"".join(line + b"\r\n" for line in lines)
    assert read(stuffed([kept])) == (kept, b"")


@given(PIECES)
def test_no_reader_sees_an_end_before_the_end(pieces: list[bytes]) -> None:
    """Neither one that knows CRLF only nor one that takes LF for the end of a line, whatever was kept."""
    wire = stuffed(pieces)
    assert read(wire)[1] == b""
    assert read(wire, b"\n")[1] == b""


def test_a_text_without_a_last_line_end_gets_one() -> None:
    assert stuffed([b"text"]) == b"text\r\n.\r\n"
    assert stuffed([b"text\r"]) == b"text\r\r\n.\r\n"
    assert stuffed([]) == b".\r\n"


def top(pieces: list[bytes], lines: int) -> bytes:
    reader, taken = Top(lines), []
    for piece in pieces:
        taken.append(reader.feed(piece))
        if reader.done:
            break
    return b"".join(taken)


MAIL = b"A: 1\r\nB: 2\r\n\r\none\r\n\r\n.three\r\nfour\r\n"


@pytest.mark.parametrize("size", range(1, len(MAIL) + 1))
@pytest.mark.parametrize(
    ("lines", "wanted"),
    [
        (0, b"A: 1\r\nB: 2\r\n\r\n"),
        (1, b"A: 1\r\nB: 2\r\n\r\none\r\n"),
        (3, b"A: 1\r\nB: 2\r\n\r\none\r\n\r\n.three\r\n"),
        (4, MAIL),
        (1 << 31, MAIL),
    ],
)
def test_top_in_pieces(lines: int, wanted: bytes, size: int) -> None:
    assert top([MAIL[at : at + size] for at in range(0, len(MAIL), size)], lines) == wanted


def test_top_of_a_mail_without_a_body() -> None:
    assert top([b"A: 1\r\n"], 5) == b"A: 1\r\n"
    assert top([b"\r\nbody\r\n"], 0) == b"\r\n"
