"""Parts: a mail as a tree, found by offsets in its bytes (MIME).

Not a writer, see ``compose``; nothing here changes a mail. What readers could take apart differently is marked
``ambiguous``; what goes beyond the limits raises NotExamined, so that no rule is silently skipped (threats 5.5.27).
RFC 2045, RFC 2046, RFC 2183, RFC 2387.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator, Mapping

import attrs

from securegw.mail.errors import HeaderTooLarge, NotExamined
from securegw.mail.message import Field, Message, cut
from securegw.mail.parameters import Value, file_name, read_kind, read_word
from securegw.mail.words import decode_charset, loose_text

DEPTH = 50
PARTS = 1000
LOOK_ALIKES = 100
LINE = 1 << 20

_AS_IS = frozenset({"", "7bit", "8bit", "binary"})
_ONCE = ("content-type", "content-transfer-encoding", "content-disposition", "mime-version")
_NOT_BASE64 = bytes(set(range(256)) - set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="))
_AFTER_DELIMITER = re.compile(rb"(--)?[ \t]*+(?:\r?\n|\Z)")


@attrs.frozen(eq=False)
class Part:
    """One part: where it stands in the whole, what it says of itself, and the parts in it."""

    whole: bytes = attrs.field(repr=False)
    start: int
    end: int
    body_at: int
    fields: tuple[Field, ...] = attrs.field(repr=False)
    kind: str
    parameters: Mapping[str, str]
    disposition: str
    filename: str | None
    encoding: str
    ambiguous: bool
    children: tuple[Part, ...] = ()

    @property
    def raw(self) -> bytes:
        return self.whole[self.start : self.end]

    @property
    def message(self) -> Message:
        """The part as a message of its own, header and body."""
        return Message(self.raw, self.fields, self.body_at - self.start)

    def first(self, name: str) -> str | None:
        """The value of a field in this part's own header."""
        return Message(b"", self.fields, 0).first(name)

    def content(self) -> bytes:
        """The body decoded; what is not decodable is given as it stands. Never longer than the part."""
        body = self.whole[self.body_at : self.end]
        if self.encoding == "base64":
            return _from_base64(body)
        return binascii.a2b_qp(body) if self.encoding == "quoted-printable" else body

    def text(self) -> str:
        """The content as text with ``\\n`` at line ends."""
        content = self.content()
        charset = self.parameters.get("charset", "").lower()
        plain = charset in ("", "us-ascii", "ascii")
        text = loose_text(content) if plain else decode_charset(content, charset)
        return text.replace("\r\n", "\n").replace("\r", "\n")


def content_type(value: str) -> tuple[str, Mapping[str, str]]:
    """Kind in lower case and parameters of a Content-Type value."""
    read = read_kind(value)
    return read.word, read.parameters


def parse(raw: bytes, *, depth: int = DEPTH, parts: int = PARTS) -> Part:
    """Take a mail apart; raises NotExamined for longer lines, deeper nests and more parts than are allowed."""
    _check_lines(raw)
    return _Parser(raw, parts).part(0, len(raw), depth, "text/plain")


def _check_lines(raw: bytes) -> None:
    """Raise NotExamined for a line of more than ``LINE`` bytes: from one line end to the last one within reach."""
    at = 0
    while len(raw) - at > LINE:
        end = raw.rfind(b"\n", at, at + LINE + 2)  # its own CR and LF do not count
        if end < 0:
            raise NotExamined(detail="a line of more than 1 MB")
        at = end + 1


class _Parser:
    def __init__(self, whole: bytes, parts: int) -> None:
        self.whole = whole
        self.parts_left = parts
        self.look_alikes_left = parts * LOOK_ALIKES

    def part(self, start: int, end: int, depth: int, default: str) -> Part:
        self.parts_left -= 1
        if depth < 0 or self.parts_left < 0:
            raise NotExamined(detail="too many parts, or nested too deeply")
        try:
            fields, body_at = cut(self.whole, start, end)
        except HeaderTooLarge as error:
            raise NotExamined(detail=error.detail) from None
        kind, disposition, encoding, ambiguous = _describe(fields, default)
        part = Part(
            whole=self.whole,
            start=start,
            end=end,
            body_at=body_at,
            fields=fields,
            kind=kind.word,
            parameters=kind.parameters,
            disposition=disposition.word,
            filename=file_name(disposition, kind),
            encoding=encoding,
            ambiguous=ambiguous,
        )
        return self._with_children(part, depth - 1)

    def _with_children(self, part: Part, depth: int) -> Part:
        if part.kind.startswith("multipart/"):
            boundary = part.parameters.get("boundary", "").rstrip()
            default = "message/rfc822" if part.kind == "multipart/digest" else "text/plain"
            bounds = self._bodies(part, boundary.encode("utf-8", "replace")) if boundary else ()
            children = tuple([self.part(start, end, depth, default) for start, end in bounds])
            odd = not children or part.encoding not in _AS_IS  # RFC 2045 6.4
            return attrs.evolve(part, children=children, ambiguous=part.ambiguous or odd)
        if part.kind in ("message/rfc822", "message/global"):
            if part.encoding not in _AS_IS:
                return attrs.evolve(part, ambiguous=True)
            return attrs.evolve(part, children=(self.part(part.body_at, part.end, depth, "text/plain"),))
        return part

    def _bodies(self, part: Part, boundary: bytes) -> Iterator[tuple[int, int]]:
        """Start and end of each body part; the line end before a delimiter belongs to it (RFC 2046 5.1.1)."""
        opened = -1
        for before, after, closes in self._delimiters(part, boundary):
            if opened >= 0:
                yield opened, max(opened, before)
            if closes:
                return
            opened = after
        if opened >= 0:
            yield opened, part.end

    def _delimiters(self, part: Part, boundary: bytes) -> Iterator[tuple[int, int, bool]]:
        needle = b"--" + boundary
        at = self.whole.find(needle, part.body_at, part.end)
        while at >= 0:
            starts_line = at == part.body_at or self.whole[at - 1] == ord("\n")
            match = _AFTER_DELIMITER.match(self.whole, at + len(needle), part.end) if starts_line else None
            if match is not None:
                yield self._line_end_before(at), match.end(), bool(match[1])
            else:
                self._count_look_alike()
            at = self.whole.find(needle, at + len(needle), part.end)

    def _line_end_before(self, at: int) -> int:
        return at - 2 if self.whole[max(at - 2, 0) : at] == b"\r\n" else max(at - 1, 0)

    def _count_look_alike(self) -> None:
        self.look_alikes_left -= 1
        if self.look_alikes_left < 0:
            raise NotExamined(detail="too many lines that look like boundaries")


def _describe(fields: tuple[Field, ...], default: str) -> tuple[Value, Value, str, bool]:
    """What a part says of itself, and whether it could be understood in two ways."""
    header = Message(b"", fields, 0)
    stated = header.first("content-type")
    kind = read_kind(stated) if stated is not None else Value(default, {})
    disposition = read_word(header.first("content-disposition") or "")
    encoding = read_word(header.first("content-transfer-encoding") or "")
    twice = any(header.count(name) > 1 for name in _ONCE)
    no_field = any(not field.name for field in fields)
    return kind, disposition, encoding.word, twice or no_field or kind.doubled or disposition.doubled


def _from_base64(body: bytes) -> bytes:
    """Tolerant: other characters are skipped, the first ``=`` ends it (RFC 2045 6.8)."""
    clean = body.translate(None, _NOT_BASE64).partition(b"=")[0]
    clean = clean[:-1] if len(clean) % 4 == 1 else clean
    return binascii.a2b_base64(clean + b"=" * (-len(clean) % 4))
