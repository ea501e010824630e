"""Writes DER, the one encoding of a value (X.690 10), by hand: this is most of the speed of signing.

Not a reader (``ber``) and not a compiler of ASN.1: the little that CMS needs.
"""

from __future__ import annotations

from collections.abc import Sized
from datetime import UTC, datetime
from typing import TypeVar

P = TypeVar("P", bound=Sized)

SEQUENCE, SET, INTEGER, OCTETS, BITS, OID = 0x30, 0x31, 0x02, 0x04, 0x03, 0x06
NULL = b"\x05\x00"


def tlv(tag: int, *parts: bytes) -> bytes:
    """Tag, length, and the parts one behind the other: copied twice, for these are small."""
    content = parts[0] if len(parts) == 1 else b"".join(parts)
    return head(tag, len(content)) + content


def around(tag: int, *parts: P) -> tuple[bytes | P, ...]:
    """The same without joining: a head and the parts. A large content is then copied once, when all is ready.

    A part need not be there yet, if only its length is known.
    """
    return head(tag, sum(map(len, parts))), *parts


def head(tag: int, length: int) -> bytes:
    if length < 0x80:
        return bytes((tag, length))
    if length < 0x10000:  # what to_bytes says as well, in a third of the time
        return bytes((tag, 0x81, length) if length < 0x100 else (tag, 0x82, length >> 8, length & 0xFF))
    size = (length.bit_length() + 7) // 8
    return bytes((tag, 0x80 | size)) + length.to_bytes(size, "big")


def sequence(*parts: bytes) -> bytes:
    return tlv(SEQUENCE, *parts)


def set_of(*parts: bytes) -> bytes:
    """DER sorts the members of a SET OF (X.690 11.6)."""
    return tlv(SET, *sorted(parts))


def integer(value: int) -> bytes:
    """A number that is not negative."""
    return tlv(INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def octets(content: bytes) -> bytes:
    return tlv(OCTETS, content)


def oid(dotted: str) -> bytes:
    first, second, *others = map(int, dotted.split("."))
    encoded = bytearray()
    for number in (first * 40 + second, *others):
        groups = [number & 0x7F]
        while number := number >> 7:
            groups.append(0x80 | (number & 0x7F))
        encoded += bytes(reversed(groups))
    return tlv(OID, bytes(encoded))


def algorithm(identifier: bytes, *parameters: bytes) -> bytes:
    return sequence(identifier, *parameters)


def time(at: float) -> bytes:
    """UTCTime until 2049, GeneralizedTime from 2050 on (RFC 5652 11.3)."""
    when = datetime.fromtimestamp(int(at), UTC)
    if 1950 <= when.year < 2050:
        return tlv(0x17, when.strftime("%y%m%d%H%M%SZ").encode())
    return tlv(0x18, when.strftime("%Y%m%d%H%M%SZ").encode())
