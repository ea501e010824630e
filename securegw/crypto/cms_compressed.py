"""Opens compressed CMS, within bounds: a small mail may not become a huge one.

Nothing is ever compressed here. RFC 3274 (CompressedData), RFC 1950 (zlib); bounds: threats 6.
"""

from __future__ import annotations

import zlib

from securegw.crypto import ber, der, oids
from securegw.crypto.algorithms import algorithm
from securegw.crypto.cms_read import content_info
from securegw.mail.errors import NotExamined

MOST_TIMES, MOST_BYTES = 100, 200_000_000


def decompress(data: bytes) -> bytes:
    """The content; raises NotExamined for anything odd, and for what grows beyond the bounds."""
    kind, content = content_info(data)
    if kind != "compressed":
        raise NotExamined(detail="CMS: not compressed")
    _version, how, encapsulated = content.parts(3, 3)
    if algorithm(how).kind != oids.ZLIB:
        raise NotExamined(detail="CMS: unknown compression")
    _content_type, inside = encapsulated.expect(der.SEQUENCE).parts(2, 2)
    return _inflate(_octets(inside))


def _octets(inside: ber.Element) -> bytes:
    [content] = inside.expect(0xA0).parts(1, 1)
    return content.octets()


def _inflate(packed: bytes) -> bytes:
    most = min(MOST_BYTES, MOST_TIMES * len(packed))
    work = zlib.decompressobj()
    try:
        text = work.decompress(packed, most + 1)
    except zlib.error:
        raise NotExamined(detail="CMS: broken compression") from None
    if len(text) > most:
        raise NotExamined(detail="CMS: grows too much")
    if not work.eof or work.unused_data:
        raise NotExamined(detail="CMS: broken compression")
    return text
