"""Reads BER in linear time: what mail programs write, with lengths that are not told and strings in pieces.

Not a judge of what the values mean (``cms_read``). X.690 8; indefinite lengths are what Outlook, BouncyCastle and
``openssl cms -stream`` send. Every walk is a loop with a bound, so that no nesting and no number of pieces hurts.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

from securegw.mail.errors import NotExamined

MOST_ELEMENTS = 200_000
CONSTRUCTED = 0x20
OCTETS, OCTETS_IN_PIECES = 0x04, 0x24
END = (0, 0)


class Element(NamedTuple):
    """One value: its tag stands at ``begin``, its content from ``start`` to ``stop``, and the next one at ``end``.

    A named tuple, because a signed mail has a hundred of them and a frozen class takes three times as long to make.
    """

    data: bytes
    tag: int
    begin: int
    start: int
    stop: int
    end: int

    def __repr__(self) -> str:
        return f"Element({self.tag:#04x}, {self.begin}..{self.end})"

    @property
    def raw(self) -> bytes:
        return self.data[self.begin : self.end]

    @property
    def content(self) -> bytes:
        return self.data[self.start : self.stop]

    @property
    def definite(self) -> bool:
        return self.stop == self.end

    def children(self) -> Iterator[Element]:
        """The values inside, one after the other; broken ones raise NotExamined when they are reached."""
        if not self.tag & CONSTRUCTED:
            raise NotExamined(detail="BER: no values inside")
        at = self.start
        while at < self.stop:
            child = element(self.data, at, self.stop)
            yield child
            at = child.end

    def parts(self, least: int, most: int = 16) -> list[Element]:
        """All values inside, if there are as many as there should be."""
        found = list(islice(self.children(), most + 1))
        if not least <= len(found) <= most:
            raise NotExamined(detail="BER: wrong number of values")
        return found

    def expect(self, tag: int) -> Element:
        if self.tag != tag:
            raise NotExamined(detail=f"BER: tag {self.tag:#x} instead of {tag:#x}")
        return self

    def number(self) -> int:
        self.expect(0x02)
        return int.from_bytes(self.content, "big", signed=True)

    def octets(self) -> bytes:
        """The content of an OCTET STRING, put together if it comes in pieces; also of an implicitly tagged one."""
        if not self.tag & CONSTRUCTED:
            return self.content
        return b"".join(_pieces(self.data, self.start, self.stop))


def element(data: bytes, at: int, stop: int) -> Element:
    """The value that begins at ``at``."""
    tag, length, start = _head(data, at, stop)
    if length is not None:
        return Element(data, tag, at, start, start + length, start + length)
    end = _end_of_open(data, start, stop)
    return Element(data, tag, at, start, end - 2, end)


def whole(data: bytes) -> Element:
    """The one value that the bytes hold; a few zero bytes behind it are forgiven, since some programs pad."""
    found = element(data, 0, len(data))
    if data[found.end :].strip(b"\0\r\n"):
        raise NotExamined(detail="BER: something behind the value")
    return found


def inside(data: bytes) -> int:
    """Where the content of the first value starts; the value itself need not be complete."""
    return _head(data, 0, len(data) + (1 << 40))[2]


def _head(data: bytes, at: int, stop: int) -> tuple[int, int | None, int]:
    """Tag, length (None if it is not told) and where the content starts."""
    if stop - at < 2:
        raise NotExamined(detail="BER: cut off")
    if at + 2 > len(data):
        raise NotExamined(detail="BER: cut off")
    tag, first = data[at], data[at + 1]
    if tag & 0x1F == 0x1F:
        raise NotExamined(detail="BER: long tag")
    start = at + 2
    if first == 0x80:
        if not tag & CONSTRUCTED:
            raise NotExamined(detail="BER: open length of a simple value")
        return tag, None, start
    length = first
    if first > 0x80:
        size = first & 0x7F
        if size > 5:
            raise NotExamined(detail="BER: length too long")
        length = int.from_bytes(data[start : start + size], "big")
        start += size
    if start + length > stop:
        raise NotExamined(detail="BER: cut off")
    return tag, length, start


def _end_of_open(data: bytes, at: int, stop: int) -> int:
    """Behind the end mark of a value of indefinite length (X.690 8.1.5); values of told length are jumped over."""
    depth = 1
    for _ in range(MOST_ELEMENTS):
        tag, length, start = _head(data, at, stop)
        if length is None:
            depth += 1
            at = start
        else:
            at = start + length
            if (tag, length) == END:
                depth -= 1
                if depth == 0:
                    return at
    raise NotExamined(detail="BER: too many values")


def _pieces(data: bytes, at: int, stop: int) -> Iterator[memoryview]:
    """The pieces of a string in order; how deep they are packed into each other does not matter (X.690 8.7.3)."""
    view = memoryview(data)
    for _ in range(MOST_ELEMENTS):
        if at >= stop:
            return
        tag, length, start = _head(data, at, stop)
        if tag == OCTETS and length is not None:
            yield view[start : start + length]
            at = start + length
        elif tag == OCTETS_IN_PIECES or (tag, length) == END:
            at = start
        else:
            raise NotExamined(detail="BER: a string with something else in it")
    raise NotExamined(detail="BER: too many pieces")
