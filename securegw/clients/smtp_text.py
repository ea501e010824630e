"""The text of a mail on the wire: dots doubled, an end, and nothing else changed.

Not a transfer encoding. Obeys RFC 5321 4.5.2; the state at a cut is part of it, so it may be cut anywhere.
"""

from __future__ import annotations

from collections.abc import Iterator

PIECE = 256 * 1024  # what is stuffed and encrypted in one go; a reactor is held for less than a millisecond
END = b".\r\n"
_CR = 13


def stuffed(raw: bytes, size: int = PIECE) -> Iterator[bytes]:
    """The pieces of the text with dots doubled; the last one has the end in it.

    Every CR and LF in ``raw`` is part of a pair (``check_wire``). No cut is made within a pair, so that the only
    thing to be known about what went before is whether it ended a line.
    """
    at, starts_line = 0, True
    while len(raw) - at > size:
        cut = at + size
        if raw[cut - 1] == _CR:
            cut += 1
        piece = raw[at:cut]
        yield _double(piece, starts_line=starts_line)
        at, starts_line = cut, piece.endswith(b"\r\n")
    rest = raw[at:] if at else raw
    yield _double(rest, starts_line=starts_line) + _end(rest, starts_line=starts_line)


def _double(piece: bytes, *, starts_line: bool) -> bytes:
    if b"\r\n." in piece:
        piece = piece.replace(b"\r\n.", b"\r\n..")
    return b"." + piece if starts_line and piece.startswith(b".") else piece


def _end(rest: bytes, *, starts_line: bool) -> bytes:
    return END if rest.endswith(b"\r\n") or (starts_line and not rest) else b"\r\n" + END
