"""Mail as POP3 sends it: lines that begin with a dot get another one, wherever the mail was cut into pieces.

Not the reply around it. Obeys RFC 1939 3 (byte-stuffing, the end) and 7 (TOP).
"""

from __future__ import annotations

END = b".\r\n"


class Stuffer:
    """Doubles the dot at the beginning of a line and ends the text; pieces may be of any size.

    A line begins after LF, also after a lone one: there is none in what we keep, and a reader who would take it for
    the end of a line is not misled by it either (threats T4).
    """

    def __init__(self) -> None:
        self._tail = b"\r\n"  # the last two bytes so far

    def feed(self, piece: bytes) -> bytes:
        if not piece:
            return b""
        at_start = self._tail.endswith(b"\n") and piece.startswith(b".")
        self._tail = (self._tail + piece[-2:])[-2:]
        # Most mails have no such line; rfind says so in a quarter of the time that "in" takes.
        stuffed = piece.replace(b"\n.", b"\n..") if piece.rfind(b"\n.") >= 0 else piece
        return b"." + stuffed if at_start else stuffed

    def end(self) -> bytes:
        """What ends the text."""
        return END if self._tail == b"\r\n" else b"\r\n" + END


class Top:
    """Passes the header, the empty line, and so many lines of the body; ``done`` when no more is wanted."""

    def __init__(self, lines: int) -> None:
        self.done = False
        self._left = lines
        self._in_header = True
        self._line_is_empty = True  # nothing but CR so far

    def feed(self, piece: bytes) -> bytes:
        at = self._header(piece) if self._in_header else 0
        if self._in_header:
            return piece
        while self._left and at < len(piece):
            end = piece.find(b"\n", at)
            if end < 0:
                return piece
            at, self._left = end + 1, self._left - 1
        self.done = not self._left
        return piece[:at]

    def _header(self, piece: bytes) -> int:
        """Where the body begins, if it does so in this piece."""
        at = 0
        while (end := piece.find(b"\n", at)) >= 0:
            empty = self._line_is_empty and piece[at:end].strip(b"\r") == b""
            at, self._line_is_empty = end + 1, True
            if empty:
                self._in_header = False
                return at
        self._line_is_empty = self._line_is_empty and piece[at:].strip(b"\r") == b""
        return at
