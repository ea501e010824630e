"""The text of a message, collected in bulk: after DATA up to CRLF.CRLF, after BDAT by its announced size.

Not a reader of lines: a line may be as long as the message, and nothing inside the text ever changes the mode
of the dialogue. Obeys RFC 5321 2.3.8 (only CRLF ends a line), 4.1.1.4 (end of data), 4.5.2 (transparency) and
RFC 3030 2 (BDAT).
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from securegw.mail.message import WireCheck
from securegw.servers.smtp_spool import SPOOLED_FROM, AfterChunks, AfterData, Spool, Way

END, DOT_LINE = b"\r\n.\r\n", b"\r\n."
SMALL, LARGE = 512, 65536


def _none() -> None:
    return None


class Pieces:
    """A text as it comes. Large pieces are kept as they are, small ones together: a byte each must not cost fifty.

    Each is looked through when it comes: all of a large text at its end would hold up everybody else. From some size
    on they go to a spool, if ``spool`` gives one, by the ``way`` on which the wire becomes text.
    """

    def __init__(self, spool: Callable[[], Spool | None] = _none, way: Callable[[Spool], Way] = AfterChunks) -> None:
        self.size = 0
        self._open = spool
        self._find_way = way
        self._keep_until = SPOOLED_FROM
        self._way: Way | None = None
        self._spool: Spool | None = None
        self._wire = WireCheck()
        self._large: list[bytes] = []
        self._small = bytearray()

    def add(self, data: bytes, *, dotted: bool = True) -> None:
        """``dotted`` false: it is known that no line so far begins with a dot."""
        self.size += len(data)
        self._wire.add(data)
        if self._way is not None:
            self._way.add(data, dotted=dotted)
        elif len(data) >= SMALL and not self._small:
            self._large.append(data)
        else:
            self._small += data
            if len(self._small) >= LARGE:
                self._settle()
        if self.size > self._keep_until:
            self._begin_spool()

    def check(self) -> None:
        """Raise BareLine if a line ends otherwise than by CRLF, or there is a NUL."""
        self._wire.end()

    def clear(self) -> None:
        self._large.clear()
        self._small.clear()
        self._way = self._spool = None

    def spooled(self) -> Spool | None:
        """The spool with the whole text, if it has gone there."""
        if self._way is not None:
            self._way.end()
        return self._spool

    def take(self, but: int = 0) -> bytes:
        """The whole text without its last ``but`` bytes; it is not kept any longer."""
        self._settle()
        self._cut(but)
        text = b"".join(self._large)
        self._large.clear()
        return text

    def _begin_spool(self) -> None:
        self._keep_until = sys.maxsize
        self._spool = self._open()
        if self._spool is None:
            return
        self._settle()
        self._way = self._find_way(self._spool)
        for piece in self._large:
            self._way.add(piece)
        self._large.clear()

    def _settle(self) -> None:
        if self._small:
            self._large.append(bytes(self._small))
            self._small.clear()

    def _cut(self, count: int) -> None:
        """Take ``count`` bytes off the end, though they may lie in several pieces."""
        while count and self._large:
            last = self._large.pop()
            if len(last) > count:
                self._large.append(last[:-count])
            count -= min(count, len(last))


def _any(size: int) -> bool:
    return True


class BodyReader:
    """Eats the stream after DATA; ``overflowed`` once it is longer than a text of ``limit`` bytes can be.

    An overflowing text is swallowed, not kept, until as much again has come; then it is ``hopeless``: whoever
    sends on regardless is not worth waiting for. ``grow`` is asked whether a text of a size may be kept; one that
    may not is swallowed too. A large one goes to what ``spool`` gives.
    """

    def __init__(
        self, limit: int, grow: Callable[[int], bool] = _any, spool: Callable[[], Spool | None] = _none
    ) -> None:
        self._grow = grow
        # Stuffing makes the line ".CRLF" a third longer, any other less; SIZE does not count it (RFC 1870 5).
        self._limit = limit * 4 // 3 + 3
        self._pieces = Pieces(spool, AfterData)
        self._stuffed = False  # perhaps a line begins with a dot: known without another look at the whole
        self._tail = b"\r\n"  # the line end of DATA itself: a text may begin with its end

    @property
    def size(self) -> int:
        return self._pieces.size

    @property
    def overflowed(self) -> bool:
        return self._pieces.size > self._limit

    @property
    def hopeless(self) -> bool:
        return self._pieces.size > 2 * self._limit

    def feed(self, data: bytes) -> bytes | None:
        """Take a piece of the stream; None until the end came, then what follows the end."""
        end = self._end(data)
        if end is None:
            self._keep(data)
            return None
        self._keep(data[:end])
        return data[end:]

    def text(self) -> bytes | Spool:
        """The whole text, with the CRLF of its last line, as its author wrote it (RFC 5321 4.5.2); raises BareLine."""
        self._pieces.check()  # a doubled dot changes nothing of it
        spool = self._pieces.spooled()
        if spool is not None:
            return spool
        raw = self._pieces.take(but=3)
        if self._stuffed:
            raw = raw.replace(b"\r\n.", b"\r\n")
        return raw[1:] if raw.startswith(b".") else raw

    def _end(self, data: bytes) -> int | None:
        """Where in ``data`` the end of the text is over: first across the seam, then inside."""
        seam = self._tail + data[:4]
        at = seam.find(END)
        if at >= 0:
            return at + len(END) - len(self._tail)
        if not self._stuffed:
            at = data.find(DOT_LINE)
            self._stuffed = DOT_LINE in seam or (at >= 0 and not data.startswith(END, at))
        if self._stuffed:
            at = data.find(END)
        return at + len(END) if at >= 0 else None

    def _keep(self, data: bytes) -> None:
        self._tail = (self._tail + data)[-4:] if len(data) < 4 else data[-4:]
        self._pieces.add(data, dotted=self._stuffed)
        if self.overflowed or not self._grow(self._pieces.size):
            self._pieces.clear()


class ChunkReader:
    """Eats one chunk after BDAT, into ``pieces`` or, where they are None, into nothing."""

    hopeless = False  # its end is known

    def __init__(self, size: int, pieces: Pieces | None) -> None:
        self._left = size
        self._taken = 0
        self._pieces = pieces

    @property
    def complete(self) -> bool:
        return not self._left

    @property
    def size(self) -> int:
        """What there is of the text, this chunk and those before it."""
        return self._taken if self._pieces is None else self._pieces.size

    def feed(self, data: bytes) -> bytes | None:
        """Take a piece of the stream; None until the chunk is complete, then what follows it."""
        taken = data[: self._left]
        self._left -= len(taken)
        self._taken += len(taken)
        if self._pieces is not None:
            self._pieces.add(taken)
        return None if self._left else data[len(taken) :]
