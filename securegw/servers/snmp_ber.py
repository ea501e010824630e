"""BER as SNMP uses it (RFC 3417 8): definite lengths, few types, small messages; what is anything else is refused.

Not a library for ASN.1: a message here is at most some kilobytes and never nested deeper than it is read.
"""

from __future__ import annotations

from collections.abc import Iterable

import attrs

INTEGER, OCTETS, NULL, OID, SEQUENCE = 0x02, 0x04, 0x05, 0x06, 0x30
COUNTER32, GAUGE32, TICKS, COUNTER64 = 0x41, 0x42, 0x43, 0x46
NO_SUCH_OBJECT, NO_SUCH_INSTANCE, END_OF_VIEW = b"\x80\0", b"\x81\0", b"\x82\0"

LONGEST_OID = 128  # sub-identifiers (RFC 3416 2.1)

Oid = tuple[int, ...]


class BadBer(Exception):
    """The bytes are not what they should be."""


def pack(tag: int, *contents: bytes) -> bytes:
    """A value of this type."""
    content = b"".join(contents)
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8)
    return bytes((tag, 0x80 | len(length))) + length + content


def integer(number: int, tag: int = INTEGER) -> bytes:
    """Two's complement; counters and gauges too, which are never negative."""
    return pack(tag, number.to_bytes(number.bit_length() // 8 + 1, signed=True))


def octets(text: bytes) -> bytes:
    return pack(OCTETS, text)


def oid(name: Oid) -> bytes:
    first, second, *rest = name
    return pack(OID, *(_seven_bits(number) for number in (first * 40 + second, *rest)))


def sequence(items: Iterable[bytes]) -> bytes:
    return pack(SEQUENCE, *items)


@attrs.define
class Reader:
    """Reads values one after another between two places of a message; raises BadBer."""

    raw: bytes
    at: int = 0
    end: int = -1

    def __attrs_post_init__(self) -> None:
        if self.end < 0:
            self.end = len(self.raw)

    @property
    def tag(self) -> int:
        """The type of the next value."""
        if self.at >= self.end:
            raise BadBer("too short")
        return self.raw[self.at]

    @property
    def is_empty(self) -> bool:
        return self.at >= self.end

    def enter(self, tag: int = SEQUENCE) -> Reader:
        """What is inside the next value, which must be of this type."""
        if self.tag != tag:
            raise BadBer(f"type {self.tag}, not {tag}")
        start, end = self._bounds()
        self.at = end
        return Reader(self.raw, start, end)

    def octets(self) -> bytes:
        inside = self.enter(OCTETS)
        return inside.raw[inside.at : inside.end]

    def integer(self, low: int = -(2**31), high: int = 2**31 - 1) -> int:
        inside = self.enter(INTEGER)
        if not 1 <= inside.end - inside.at <= 5:
            raise BadBer("an integer without digits or with too many")
        number = int.from_bytes(inside.raw[inside.at : inside.end], signed=True)
        if not low <= number <= high:
            raise BadBer("an integer out of its range")
        return number

    def oid(self) -> Oid:
        inside = self.enter(OID)
        numbers: list[int] = []
        number = 0
        for byte in inside.raw[inside.at : inside.end]:
            number = number << 7 | byte & 0x7F
            if number >= 1 << 32 or len(numbers) >= LONGEST_OID:
                raise BadBer("an object identifier beyond its bounds")
            if byte < 0x80:
                numbers.append(number)
                number = 0
        if not numbers or inside.raw[inside.end - 1] >= 0x80:
            raise BadBer("an object identifier without an end")
        first = min(numbers[0] // 40, 2)
        return (first, numbers[0] - 40 * first, *numbers[1:])

    def skip(self) -> None:
        """Whatever comes next."""
        if self.is_empty:
            raise BadBer("too short")
        self.at = self._bounds()[1]

    def finish(self) -> None:
        if not self.is_empty:
            raise BadBer("more than expected")

    def _bounds(self) -> tuple[int, int]:
        """Where the content of the next value begins and ends."""
        start = self.at + 2
        if start > self.end:
            raise BadBer("too short")
        length = self.raw[self.at + 1]
        if length & 0x80:
            count = length & 0x7F
            if not 1 <= count <= 3 or start + count > self.end:
                raise BadBer("an indefinite or huge length")
            length = int.from_bytes(self.raw[start : start + count])
            start += count
        if start + length > self.end:
            raise BadBer("a length beyond the end")
        return start, start + length


def _seven_bits(number: int) -> bytes:
    found = bytearray([number & 0x7F])
    while number := number >> 7:
        found.insert(0, 0x80 | number & 0x7F)
    return bytes(found)
