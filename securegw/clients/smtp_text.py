"""The text of a mail on the wire: dots doubled, an end, and nothing else changed.

Not a transfer encoding. Obeys RFC 5321 4.5.2; the state at a cut is part of it, so it may be cut anywhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from twisted.internet.defer import Deferred

PIECE = 256 * 1024  # what is stuffed and encrypted in one go; a reactor is held for less than a millisecond
END = b".\r\n"
_CR = 13


class Reader(Protocol):
    """Reads a text that is too large to be held, piece by piece."""

    def next(self) -> Deferred[bytes | None]:
        """The next piece; None after the last."""


class Text(Protocol):
    """A text that is too large to be held; who hands it over has looked through it (``check_wire``)."""

    @property
    def head(self) -> bytes:
        """Its header at least."""

    def __len__(self) -> int: ...

    def isascii(self) -> bool: ...

    def reader(self) -> Reader: ...


class Stuffing:
    """The same for pieces that were cut anywhere."""

    def __init__(self) -> None:
        self._starts_line = True
        self._half = False  # the last piece ended within a pair

    def add(self, piece: bytes) -> bytes:
        if self._half:
            piece = b"\r" + piece
        self._half = piece.endswith(b"\r")
        if self._half:
            piece = piece[:-1]
        if not piece:
            return b""
        doubled = _double(piece, starts_line=self._starts_line)
        self._starts_line = piece.endswith(b"\r\n")
        return doubled

    def end(self) -> bytes:
        return END if self._starts_line else b"\r\n" + END


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
