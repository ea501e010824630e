"""The envelope of LDAP on the wire: where a message ends, whether its inside is sound, and how replies are written.

Not the meaning of messages: ldaptor decodes those whose inside was found sound here. It is not asked earlier: it waits
for ever for what a wrong length inside a message promises, and recurses as deep as a stranger likes (threat T9).
RFC 4511 5.1: definite lengths only, and strings in one piece.
"""

from __future__ import annotations

LARGEST = 65_536  # bytes of a whole message
MOST_ELEMENTS = 2_000
DEEPEST = 26  # message, request, twenty levels of a filter, and what stands in the innermost
LONGEST_NUMBER = 4  # bytes; no number of LDAP is larger than 2^31-1


class Broken(Exception):
    """These bytes are no LDAP; the connection cannot go on."""


class TooDeep(Exception):
    """A message that is nested deeper than anybody needs."""


class Frames:
    """Cuts what comes in into whole messages; ``waiting`` while one has begun."""

    def __init__(self) -> None:
        self._rest = b""

    @property
    def waiting(self) -> bool:
        return bool(self._rest)

    def clear(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        """The messages that are complete now. Raises Broken as soon as a length cannot be right."""
        data = self._rest + data if self._rest else data
        found, at, end = [], 0, len(data)
        while end - at >= 2:
            size = _size(data, at, end)
            if size is None or size > end - at:
                break
            found.append(data[at : at + size])
            at += size
        self._rest = data[at:]
        if at == end or end - at >= 2 or data[at] == 0x30:
            return found
        raise Broken("this is not LDAP")


def _size(data: bytes, at: int, end: int) -> int | None:
    """The size of the message that begins here, None if its length has not come whole."""
    if data[at] != 0x30:
        raise Broken("this is not LDAP")
    first = data[at + 1]
    if first < 0x80:
        return 2 + first
    count = first & 0x7F
    if not 1 <= count <= 4:  # four: Windows writes all lengths so, padded with zeros
        raise Broken("a length that is not allowed")
    if end - at < 2 + count:
        return None
    size = 2 + count + int.from_bytes(data[at + 2 : at + 2 + count], "big")
    if size > LARGEST:
        raise Broken("too long")
    return size


def check(message: bytes) -> None:
    """Walk through a whole message: every length must fit into what it stands in. Raises Broken or TooDeep."""
    ends: list[int] = [len(message)]
    at = elements = 0
    while at < len(message):
        while at == ends[-1]:
            ends.pop()
        elements += 1
        if elements > MOST_ELEMENTS:
            raise Broken("too many elements")
        start, end = element(message, at, ends[-1])
        if message[at] & 0x20:
            if len(ends) > DEEPEST:
                raise TooDeep
            ends.append(end)
            at = start
        elif message[at] in _NUMBERS and not 1 <= end - start <= LONGEST_NUMBER:
            raise Broken("a number that is not allowed")
        else:
            at = end


_NUMBERS = (0x01, 0x02, 0x0A)


def element(data: bytes, at: int, end: int) -> tuple[int, int]:
    """Where the content of an element begins and ends; ``end`` is that of what it stands in."""
    if end - at < 2 or data[at] & 0x1F == 0x1F:
        raise Broken("an element that is not allowed")
    first, start = data[at + 1], at + 2
    if first >= 0x80:
        count = first & 0x7F
        if not 1 <= count <= 4 or end - start < count:
            raise Broken("a length that is not allowed")
        first, start = int.from_bytes(data[start : start + count], "big"), start + count
    if first > end - start:
        raise Broken("a wrong length")
    return start, start + first


def _encoded(length: int) -> bytes:
    if length < 0x80:
        return bytes((length,))
    size = (length.bit_length() + 7) // 8
    return bytes((0x80 | size,)) + length.to_bytes(size, "big")


LENGTHS = tuple(_encoded(length) for length in range(16_384))  # as they are written


def length_of(size: int) -> bytes:
    """A length as it is written."""
    return LENGTHS[size] if size < len(LENGTHS) else _encoded(size)


def tlv(tag: bytes, *parts: bytes) -> bytes:
    """An element: tag, length, and the parts one behind the other."""
    return b"".join((tag, length_of(sum(map(len, parts))), *parts))
