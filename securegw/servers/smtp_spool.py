"""A large text on its way to the spool: what came on the wire, piece by piece, as its author wrote it.

Not the spool, which is behind ``Intake`` (flow/spool), and not the search for the end of a text (smtp_body). Obeys
RFC 5321 4.5.2 (transparency) and RFC 3030 2 (BDAT).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

SPOOLED_FROM = 1 << 20  # a smaller text stays in memory: most are, and the disk sees them once anyhow
SPOOL_MEMORY = 5 << 18  # what one in the spool still takes of it: what waits, and what is being sealed

END, DOT_LINE = b".\r\n", b"\r\n."
SEAM = 4  # no pair and dot, and no end, is longer than this


class Spool(Protocol):
    """Where a large text goes. Its length counts what came; a trouble with it is told by ``Intake.accept``."""

    @property
    def behind(self) -> bool: ...

    def __len__(self) -> int: ...

    def isascii(self) -> bool: ...

    def add(self, data: bytes) -> None: ...

    def when_calm(self, call: Callable[[], None]) -> None: ...

    def drop(self) -> None: ...


class Way(Protocol):
    """How pieces of the wire become pieces of the text."""

    def add(self, data: bytes, *, dotted: bool = True) -> None:
        """``dotted`` false: it is known that no line of what came so far begins with a dot."""

    def end(self) -> None: ...


class AfterData:
    """A text after DATA: doubled dots become one, the dot that ends it goes, and what is held back is bounded."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._held = b"\r\n"  # the line end of DATA itself: the text may begin with a dot
        self._foreign = 2

    def add(self, data: bytes, *, dotted: bool = True) -> None:
        text = self._held + data
        cut = max(len(text) - SEAM, 0)
        for seam in (1, 2):  # a pair stays with the dot behind it
            if text.startswith(DOT_LINE, cut - seam):
                cut -= seam
                break
        self._pass(text[:cut], dotted=dotted)
        self._held = text[cut:]

    def end(self) -> None:
        self._pass(self._held.removesuffix(END), dotted=True)

    def _pass(self, text: bytes, *, dotted: bool) -> None:
        if dotted:
            text = text.replace(DOT_LINE, b"\r\n")
        foreign = min(self._foreign, len(text))
        self._foreign -= foreign
        if len(text) > foreign:
            self._spool.add(text[foreign:] if foreign else text)


class AfterChunks:
    """A text in chunks: as it is, with an end to its last line."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._tail = b""

    def add(self, data: bytes, *, dotted: bool = True) -> None:
        self._tail = (self._tail + data[-2:])[-2:]
        self._spool.add(data)

    def end(self) -> None:
        if self._tail != b"\r\n":
            self._spool.add(b"\r\n")
