"""The dialogue of NRPE without I/O: a query goes in, a response comes out, and that is all.

Versions 2, 3 and 4 of the packet as ``check_nrpe`` sends them; there is no RFC. Nothing is ever executed: a query is a
name that is looked up, arguments are refused (CVE-2013-1362, CVE-2014-2913), and nothing of it is repeated in the
answer. What is no query ends the connection without a word.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable

import attrs

QUERY, RESPONSE = 1, 2
LARGEST = 4096
OLD_HEADER = struct.Struct("!hhIh")  # version, type, CRC-32, result
HEADER = struct.Struct("!hhIhhi")  # ... alignment, length of the buffer
OLD_BUFFER, OLD_PAD = 1024, b"\0\0"
TAILS = {3: 3, 4: 0}  # bytes behind the buffer: version 3 sends its C structure with its padding
UNKNOWN = 3

Answer = tuple[int, str]
NAME = re.compile(rb"[A-Za-z_]{1,64}")
NO_ARGUMENTS: Answer = (UNKNOWN, "arguments are not taken here")
NO_SUCH: Answer = (UNKNOWN, "there is no such check here")


class NotNrpe(Exception):
    """The bytes are no query; the word says why."""


@attrs.define
class NrpeDialogue:
    """Eats bytes; ``receive`` returns the response once the query is whole, and the connection is to end then."""

    ask: Callable[[str], Answer | None]
    _seen: bytes = b""

    def receive(self, data: bytes) -> bytes | None:
        """The response, None while the query is not whole; raises NotNrpe."""
        self._seen += data
        size = _size_of(self._seen)
        if size is None or len(self._seen) < size:
            return None
        if len(self._seen) > size:
            raise NotNrpe("more than a query")
        version, wanted = _read(self._seen)
        return write(version, RESPONSE, *self._answer(wanted))

    def _answer(self, wanted: bytes) -> Answer:
        if NAME.fullmatch(wanted) is None:
            return NO_ARGUMENTS
        return self.ask(wanted.decode("ascii")) or NO_SUCH


def write(version: int, kind: int, result: int, text: str) -> bytes:
    """A packet; a text that is too long for it is cut between two characters."""
    if version == 2:
        buffer = _cut(text, OLD_BUFFER - 1).ljust(OLD_BUFFER, b"\0")
        return _summed(OLD_HEADER.pack(2, kind, 0, result) + buffer + OLD_PAD)
    tail = TAILS[version]
    buffer = _cut(text, LARGEST - HEADER.size - tail - 1) + b"\0"
    return _summed(HEADER.pack(version, kind, 0, result, 0, len(buffer)) + buffer + bytes(tail))


def _size_of(seen: bytes) -> int | None:
    """The length of the whole query, None while it cannot be known."""
    if len(seen) < 4:
        return None
    version, kind = struct.unpack_from("!hh", seen)
    if version not in (2, *TAILS) or kind != QUERY:
        raise NotNrpe("not a query of version 2, 3 or 4")
    if version == 2:
        return OLD_HEADER.size + OLD_BUFFER + len(OLD_PAD)
    if len(seen) < HEADER.size:
        return None
    length: int = HEADER.unpack_from(seen)[5]
    size = HEADER.size + length + TAILS[version]
    if length < 1 or size > LARGEST:
        raise NotNrpe("a length beyond the bounds")
    return size


def _read(packet: bytes) -> tuple[int, bytes]:
    """The version and the text up to its zero byte, of a packet whose sum is right."""
    version, _, checksum, _ = OLD_HEADER.unpack_from(packet)
    if zlib.crc32(packet[:4] + bytes(4) + packet[8:]) != checksum:
        raise NotNrpe("a wrong checksum")
    header, tail = (OLD_HEADER.size, len(OLD_PAD)) if version == 2 else (HEADER.size, TAILS[version])
    text, end, _ = packet[header : len(packet) - tail].partition(b"\0")
    if not end:
        raise NotNrpe("a text without an end")
    return version, text


def _summed(packet: bytes) -> bytes:
    return packet[:4] + struct.pack("!I", zlib.crc32(packet)) + packet[8:]


def _cut(text: str, most: int) -> bytes:
    return text.encode("utf-8")[:most].decode("utf-8", "ignore").encode("utf-8")
