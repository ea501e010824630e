"""The message: header fields and body, read by cutting and changed by splicing bytes.

Not a parser of what is inside: see ``mime`` for parts and ``address`` for mailboxes. Nothing is ever
serialised again, so bytes that nobody touches stay as they came. RFC 5322 2.2, RFC 5321 2.3.8 and 4.4.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import cached_property, lru_cache
from io import IncrementalNewlineDecoder
from typing import NamedTuple

import attrs

from securegw.mail.errors import BareLine, HeaderTooLarge
from securegw.mail.gathering import spliced
from securegw.mail.words import decode_words, encode_words, loose_text

__all__ = [
    "Field",
    "Message",
    "WireCheck",
    "check_wire",
    "cut",
    "decode_words",
    "encode_words",
    "field_line",
    "prepend",
    "prepended",
    "read",
    "wire_date",
    "with_field",
    "without",
]

HEADER_LIMIT = 256 * 1024
FIELD_LIMIT = 2000

# A line with its continuations, and the field name if it has one; the look-ahead: never an empty match.
_FIELD = re.compile(rb"((?=[\x00-\xff])(?:([!-9;-~]++)[ \t]*+:)?[^\n]*+(?:\n[ \t][^\n]*+)*+\n?)")
_STARTS_HEADER = re.compile(rb"[!-9;-~]++[ \t]*+:")
_FOLD = re.compile(rb"\r?\n(?=[ \t])")
_NAME = re.compile(r"[!-9;-~]{1,76}")
_FOLDED_VALUE = re.compile(r"[^\r\n\0]*(?:\r\n[ \t][^\r\n\0]*[^\r\n\0 \t][^\r\n\0]*)*")


class Field(NamedTuple):
    """One header field as it stands, line end and folds included. A line that is none has an empty name.

    A named tuple, because a header has dozens and a frozen class takes three times as long to make.
    """

    name: bytes
    raw: bytes

    @property
    def value(self) -> bytes:
        """What stands behind the colon, unfolded (RFC 5322 2.2.3) and stripped."""
        text = self.raw.partition(b":")[2] if self.name else self.raw
        return (_FOLD.sub(b"", text) if b"\n" in text else text).strip()


@attrs.frozen
class Message:
    """A mail: ``raw`` as a whole, its fields in order, and where the body begins."""

    raw: bytes
    fields: tuple[Field, ...]
    body_at: int

    @property
    def body(self) -> bytes:
        return self.raw[self.body_at :]

    @property
    def header(self) -> bytes:
        """All fields as they stand, without the empty line."""
        return self.raw[: self.header_end]

    @property
    def header_end(self) -> int:
        return sum(len(field.raw) for field in self.fields)

    @cached_property
    def named(self) -> Mapping[str, Sequence[Field]]:
        """The fields by their names in lower case; lines that are no fields are not among them."""
        found: dict[str, list[Field]] = {}
        for field in self.fields:
            if field.name:
                found.setdefault(field.name.decode("ascii").lower(), []).append(field)
        return found

    def all(self, name: str) -> tuple[str, ...]:
        """The values of all fields of this name, unfolded, as text; encoded words stay encoded."""
        return tuple([loose_text(field.value) for field in self.named.get(name.lower(), ())])

    def first(self, name: str) -> str | None:
        found = self.named.get(name.lower())
        return loose_text(found[0].value) if found else None

    def count(self, name: str) -> int:
        return len(self.named.get(name.lower(), ()))


def read(raw: bytes) -> Message:
    """Cut a mail into header fields and body. Odd mail passes; only a monster raises HeaderTooLarge.

    A line that is no field does not end the header: so whoever deletes fields also finds those that a more
    tolerant reader behind us would see.
    """
    return Message(raw, *cut(raw, 0, len(raw)))


def cut(raw: bytes, start: int, end: int) -> tuple[tuple[Field, ...], int]:
    """The fields, and where the body begins, of what stands in ``raw`` from ``start`` to ``end``."""
    header_end, body_at = _header_bounds(raw, start, end)
    found = _FIELD.findall(raw, start, header_end)
    if len(found) > FIELD_LIMIT:
        raise HeaderTooLarge(detail=f"{len(found)} fields")
    if not any(name for _, name in found):
        return (), body_at if header_end == start else start
    return tuple([Field(name, text) for text, name in found]), body_at


def _header_bounds(raw: bytes, start: int, end: int) -> tuple[int, int]:
    """Where the fields end and where the body begins.

    What starts with a space has no header: on top of it, a trace field of ours would get a continuation.
    """
    if raw.startswith((b" ", b"\t"), start, end):
        return start, start
    if raw.startswith(b"\r\n", start, end):
        return start, start + 2
    if raw.startswith(b"\n", start, end):
        return start, start + 1
    window = min(end, start + HEADER_LIMIT + 3)
    crlf = raw.find(b"\n\r\n", start, window)
    lone = raw.find(b"\n\n", start, window if crlf < 0 else crlf + 1)
    if lone >= 0:
        return lone + 1, lone + 2
    if crlf >= 0:
        return crlf + 1, crlf + 3
    if end - start > HEADER_LIMIT:
        raise HeaderTooLarge(detail="no end of the header found")
    return end, end


def _has_header(raw: bytes) -> bool:
    """True if a field can be put on top as it is; the usual case is seen at the first line."""
    return bool(_STARTS_HEADER.match(raw)) or raw.startswith((b"\r\n", b"\n")) or not raw or bool(read(raw).fields)


def without(message: Message, names: Iterable[str]) -> bytes:
    """The mail without the fields of these names; all other bytes stay. A trailing ``*`` matches any ending.

    Case does not count, and ``_`` counts as ``-``: some readers fold the two.
    """
    goes = _name_test(tuple(names))
    kept = [field.raw for field in message.fields if not goes(field.name)]
    if len(kept) == len(message.fields):
        return message.raw
    return spliced(message.raw, 0, message.header_end, b"".join(kept))


@lru_cache(maxsize=64)  # nearly always the same few names
def _name_test(names: tuple[str, ...]) -> Callable[[bytes], bool]:
    folded = [_fold_name(name.encode("ascii")) for name in names]
    exact = frozenset(name for name in folded if not name.endswith(b"*"))
    starts = tuple(name[:-1] for name in folded if name.endswith(b"*"))

    def goes(name: bytes) -> bool:
        name = _fold_name(name)
        return name in exact or name.startswith(starts)

    return goes


def _fold_name(name: bytes) -> bytes:
    return name.lower().replace(b"_", b"-")


def field_line(name: str, value: str) -> bytes:
    """A header field with its line end. The value may be folded; any other line break in it is refused."""
    if not _NAME.fullmatch(name) or not _FOLDED_VALUE.fullmatch(value):
        raise ValueError(f"not fit for a header field: {name!r}")
    return f"{name}: {value}\r\n".encode()


def with_field(message: Message, name: str, value: str) -> bytes:
    """The mail with this field: in the place of the first one of its name, else at the end of the header."""
    line, wanted, at = field_line(name, value), name.lower().encode(), 0
    for field in message.fields:
        if field.name.lower() == wanted:
            return spliced(message.raw, at, at + len(field.raw), line)
        at += len(field.raw)
    if at == 0 and message.body_at == 0:
        return spliced(message.raw, 0, 0, line + b"\r\n")
    ended = b"" if at == 0 or message.raw[at - 1 : at] == b"\n" else b"\r\n"
    return spliced(message.raw, at, at, ended + line)


def prepend(raw: bytes, lines: bytes) -> bytes:
    """The mail with these fields on top, as trace fields must be (RFC 5321 4.4)."""
    # join, unlike +, lets other threads run while it copies much.
    return b"".join((lines, raw) if _has_header(raw) else (lines, b"\r\n", raw))


def prepended(message: Message, lines: bytes) -> Message:
    """The same of a mail that has been read, for one such line: the rest of it is not read again."""
    raw, body_at = prepend(message.raw, lines), message.body_at + len(lines)
    if not message.fields or len(message.fields) >= FIELD_LIMIT or body_at > HEADER_LIMIT:
        return read(raw)
    return Message(raw, (Field(lines.partition(b":")[0], lines), *message.fields), body_at)


def wire_date(moment: float) -> str:
    """A moment, in Unix seconds, as header fields write it (RFC 5322 3.3), in UTC."""
    return _date_of(int(moment))


@lru_cache(maxsize=16)
def _date_of(second: int) -> str:
    return format_datetime(datetime.fromtimestamp(second, UTC))


_PIECE = 1 << 20


def check_wire(raw: bytes) -> None:
    """Raise BareLine on a lone CR, a lone LF or a NUL (RFC 5321 2.3.8): there is nothing of them but whole pairs."""
    check = WireCheck()
    for at in range(0, len(raw), _PIECE):
        check.add(raw[at : at + _PIECE])
    check.end()


class WireCheck:
    """The same for a text that comes in pieces, so that a large one is not looked through in one go.

    Python's own reader of text files notes which line ends it has met, in one pass and three times as fast as counting.
    """

    def __init__(self) -> None:
        self._ends = IncrementalNewlineDecoder(None, translate=False)
        self._has_nul = False

    def add(self, piece: bytes) -> None:
        self._ends.decode(piece.decode("latin-1"))  # a CR at its end is kept back until the next piece
        self._has_nul = self._has_nul or b"\0" in piece

    @property
    def is_good(self) -> bool:
        """Whether all pieces together, which are all that there is, may go on the wire."""
        self._ends.decode("", final=True)
        return self._ends.newlines in (None, "\r\n") and not self._has_nul

    def end(self) -> None:
        """Raise BareLine if the pieces have something that may not be, or end within a pair."""
        if not self.is_good:
            raise BareLine
