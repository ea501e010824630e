"""The MIME entity that is signed or sealed, and the header that stays outside of it: cut and put together by bytes.

Not a parser of what the entity holds (``mail.mime``). Only the fields that describe the content (Content-*) ever move,
in both directions; everything else of the outer header stays where it is, and nothing else of an inner header ever
comes out (SEC3, threats 2026-27443). RFC 8551 3.1, RFC 2045 6.8.
"""

from __future__ import annotations

import binascii
import re
import struct
from collections.abc import Iterable, Iterator
from functools import lru_cache
from io import IncrementalNewlineDecoder

from securegw.mail.errors import HeaderTooLarge, SealBroken
from securegw.mail.gathering import Piece, steps
from securegw.mail.message import Message, read

MIME_VERSION = b"MIME-Version: 1.0\r\n"
COLUMNS = 76
ROWS = 256  # lines of Base64 that are made in one go
STEP = COLUMNS // 4 * 3 * ROWS
PIECE = 1 << 18
ANY_LINE_END = re.compile(rb"\r\n|\r|\n")


def moves(name: bytes) -> bool:
    return name[:8].lower() == b"content-"


def cut(message: Message) -> tuple[bytes, bytes]:
    """The outer header without the fields that move, and the entity made of those and the body."""
    inner = b"".join([_ended(field.raw) for field in message.fields if moves(field.name)])
    return outer_header(message), b"".join((inner, b"\r\n", message.body))


def parted(message: Message) -> tuple[bytes, tuple[Piece, ...]]:
    """The same with the entity in canonical form (RFC 8551 3.1.1), in pieces and without a copy of the body."""
    inner = b"".join([_ended(field.raw) for field in message.fields if moves(field.name)]) + b"\r\n"
    body = memoryview(message.raw)[message.body_at :]
    if _is_canonical(inner) and _is_canonical(body):
        return outer_header(message), (inner, body)
    return outer_header(message), (canonical(b"".join((inner, body))),)


def outer_header(message: Message) -> bytes:
    """All fields but those that describe the content, byte for byte, and a MIME-Version if there was none."""
    outer = b"".join([_ended(field.raw) for field in message.fields if not moves(field.name)])
    return outer if message.count("MIME-Version") else outer + MIME_VERSION


def inside_out(message: Message, entity: Message) -> bytes:
    """The mail with its content replaced by the entity: outer fields stay, of the inner ones only Content-* count."""
    fields = b"".join([_ended(field.raw) for field in entity.fields if moves(field.name)])
    return outer_header(message) + fields + b"\r\n" + entity.body


def _ended(raw: bytes) -> bytes:
    return raw if raw.endswith(b"\n") else raw + b"\r\n"


def read_entity(content: bytes) -> Message:
    """What came out of an envelope, with CRLF line ends, as SMTP needs them; SealBroken if it is no MIME entity."""
    text = canonical(content)
    try:
        entity = read(text)
    except HeaderTooLarge:
        raise SealBroken(detail="no MIME entity") from None
    if not entity.fields and not text.startswith(b"\r\n"):
        raise SealBroken(detail="no MIME entity")
    if entity.fields and not entity.fields[0].name:
        raise SealBroken(detail="no MIME entity")
    return entity


def canonical(content: bytes) -> bytes:
    """Lines end with CRLF (RFC 8551 3.1.1), as they nearly always do."""
    return content if _is_canonical(content) else ANY_LINE_END.sub(b"\r\n", content)


def _is_canonical(content: Piece) -> bool:
    """Looked through in steps, so that a large mail does not keep the interpreter for itself."""
    ends = IncrementalNewlineDecoder(None, translate=False)
    for step in steps(content, PIECE):
        ends.decode(str(step, "latin-1"))
    ends.decode("", final=True)
    return ends.newlines in (None, "\r\n")


def base64_lines(data: bytes, before: bytes = b"") -> bytes:
    """Base64 in lines of 76 columns, each ended by CRLF (RFC 2045 6.8), behind ``before``; put together in one go."""
    return b"".join((before, *base64_pieces((data,))))


def base64_pieces(pieces: Iterable[Piece]) -> Iterator[bytes]:
    """The same of a text that comes in pieces.

    In steps, so that a large mail does not keep the interpreter for itself.
    """
    rest = b""
    for piece in pieces:
        data = b"".join((rest, piece)) if rest else piece
        view = memoryview(data)
        whole = len(data) // STEP * STEP
        for at in range(0, whole, STEP):
            yield _lines(view[at : at + STEP])
        rest = bytes(view[whole:])
    yield _lines(rest)


def _lines(data: Piece) -> bytes:
    """Many lines are cut at once: one by one takes three times as long."""
    text = binascii.b2a_base64(data, newline=False)
    count, last = divmod(len(text), COLUMNS)
    lines = _rows(count).unpack_from(text)
    return b"\r\n".join((*lines, text[-last:], b"") if last else (*lines, b""))


@lru_cache(maxsize=ROWS + 1)
def _rows(count: int) -> struct.Struct:
    return struct.Struct(f"{COLUMNS}s" * count)
