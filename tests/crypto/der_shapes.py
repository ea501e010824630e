"""CMS in shapes that we never write ourselves: built by hand for the tests."""

from __future__ import annotations

import zlib

from securegw.crypto import der, oids


def content_info(kind: bytes, content: bytes) -> bytes:
    return der.sequence(kind, der.tlv(0xA0, content))


def compressed(content: bytes, *, packed: bytes | None = None, how: bytes = oids.ZLIB) -> bytes:
    """CompressedData (RFC 3274); ``packed`` if it shall not be what zlib makes of the content."""
    text = zlib.compress(content) if packed is None else packed
    inside = der.sequence(oids.DATA, der.tlv(0xA0, der.octets(text)))
    return content_info(oids.COMPRESSED_DATA, der.sequence(der.integer(0), der.algorithm(how), inside))


def undetermined(tag: int, *parts: bytes) -> bytes:
    """A value that does not say how long it is (X.690 8.1.3.6)."""
    return bytes((tag, 0x80)) + b"".join(parts) + b"\0\0"


def in_pieces(tag: int, content: bytes, size: int) -> bytes:
    """A string in pieces of told length within one of untold length, as streaming programs write it."""
    return undetermined(tag, *(der.octets(content[at : at + size]) for at in range(0, len(content), size)))
