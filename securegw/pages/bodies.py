"""Eats the bodies of requests piece by piece, within limits: forms, files, and the sealed text of a letter.

Not the stock parser, which holds a body several times in memory and blocks meanwhile. RFC 7578, and the URL standard's
application/x-www-form-urlencoded.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from tempfile import SpooledTemporaryFile
from urllib.parse import parse_qsl

import attrs
from multipart import MultipartError, MultipartSegment, ParserLimitReached, PushMultipartParser, parse_options_header

from securegw.pages.sorry import Sorry

SMALL = 1_000_000
MOST_PARTS = 50
PATIENCE = 2  # times the limit that we throw away, so that the browser gets to see the page that says why
WHITE = b" \t\r\n"
BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]")  # RFC 2046 5.1.1
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


@attrs.frozen
class BodyRules:
    """What a route takes: bytes in all, and the one field that may be long and is kept in a file while it arrives.

    Only sealed text may go there: what people write and attach never touches the disk in clear.
    """

    limit: int = SMALL
    sealed_field: str = ""


@attrs.frozen
class Upload:
    """A file of a form."""

    field: str
    name: str
    kind: str
    content: bytes = attrs.field(repr=False)


@attrs.frozen
class Form:
    """A form that arrived complete."""

    fields: Mapping[str, str]
    files: tuple[Upload, ...] = ()
    sealed: str | None = attrs.field(default=None, repr=False)

    def __getitem__(self, name: str) -> str:
        return self.fields.get(name, "")


class Body:
    """Of no kind that we take; the others are made from it. ``problem`` is the HTTP status of what is wrong."""

    def __init__(self, rules: BodyRules) -> None:
        self.rules = rules
        self.size = 0
        self.problem = 0

    def feed(self, data: bytes) -> None:
        self.size += len(data)
        if self.problem:
            return
        if self.size > self.rules.limit:
            self.refuse(413)
        else:
            self.eat(data)

    def refuse(self, status: int) -> None:
        """Note what is wrong and give back what takes room; the fields that came before are kept for the page."""
        self.problem = status
        self.drop()

    def is_hopeless(self, size: int) -> bool:
        """True if a body of this size is not even read to its end: then the connection ends without a word."""
        return size > PATIENCE * self.rules.limit + SMALL

    def form(self) -> Form:
        """The form, once the body has ended; raises Sorry, which has the text fields that could be read."""
        if not self.problem:
            self.end()
        if self.problem:
            raise Sorry(self.problem, fields=self.taken().fields)
        return self.taken()

    def eat(self, data: bytes) -> None:
        """Take the next piece, or note a problem."""

    def end(self) -> None:
        self.refuse(415)

    def taken(self) -> Form:
        return Form({})

    def drop(self) -> None:
        """Give back what takes room."""


class FieldsBody(Body):
    """application/x-www-form-urlencoded: small by its rules."""

    def __init__(self, rules: BodyRules) -> None:
        super().__init__(attrs.evolve(rules, limit=min(rules.limit, SMALL)))
        self.kept = bytearray()
        self.pairs: list[tuple[str, str]] = []

    def eat(self, data: bytes) -> None:
        self.kept += data

    def end(self) -> None:
        try:
            self.pairs = parse_qsl(
                self.kept.decode("ascii"), keep_blank_values=True, max_num_fields=MOST_PARTS, errors="replace"
            )
        except ValueError:
            self.refuse(400)

    def taken(self) -> Form:
        return Form(dict(self.pairs))

    def drop(self) -> None:
        self.kept.clear()


class PartsBody(Body):
    """multipart/form-data: fields and files in memory, the sealed field in a file beyond 1 MB."""

    def __init__(self, rules: BodyRules, boundary: str) -> None:
        super().__init__(rules)
        self.fields: dict[str, bytearray] = {}
        self.files: list[tuple[MultipartSegment, bytearray]] = []
        self.sealed: SpooledTemporaryFile[bytes] | None = None
        self.put: Callable[[bytes], object] = bytearray().extend
        self.text_size = 0
        # Not its strict mode: that one stumbles over a last CRLF which arrives in a packet of its own.
        self.parser = PushMultipartParser(boundary, max_segment_size=rules.limit, max_segment_count=MOST_PARTS)

    def eat(self, data: bytes) -> None:
        try:
            for event in self.parser.parse(data):
                if isinstance(event, MultipartSegment):
                    self.put = self._place(event)
                elif event is not None:
                    self.put(bytes(event))
        except ParserLimitReached:
            self.refuse(413)
        except MultipartError:
            self.refuse(400)
        except OSError:  # no room for temporary files (D5)
            self.refuse(503)

    def _place(self, segment: MultipartSegment) -> Callable[[bytes], object]:
        """Where the bytes of this part go."""
        name = segment.name or ""
        if segment.filename is not None:
            content = bytearray()
            self.files.append((segment, content))
            return content.extend
        if name and name == self.rules.sealed_field:
            if self.sealed is not None:  # two texts could be read differently: neither counts
                self.refuse(400)
                return len
            self.sealed = SpooledTemporaryFile(max_size=SMALL)  # noqa: SIM115 - closed with the request
            return self._keep_sealed
        text = self.fields[name] = bytearray()
        return lambda data: self._keep_text(text, data)

    def _keep_text(self, text: bytearray, data: bytes) -> None:
        self.text_size += len(data)
        if self.text_size > SMALL:
            self.refuse(413)
        else:
            text += data

    def _keep_sealed(self, data: bytes) -> None:
        if self.sealed is not None:
            self.sealed.write(data.translate(None, WHITE))  # the page folds it

    def end(self) -> None:
        try:
            self.parser.close()
        except MultipartError:
            self.refuse(400)

    def taken(self) -> Form:
        fields = {name: text.decode("utf-8", "replace") for name, text in self.fields.items()}
        files = tuple(_upload(segment, bytes(content)) for segment, content in self.files if segment.filename)
        return Form(fields, files, self._sealed_text())

    def _sealed_text(self) -> str | None:
        if self.sealed is None:
            return None
        self.sealed.seek(0)
        return self.sealed.read().decode("ascii", "replace")

    def drop(self) -> None:
        self.files.clear()
        if self.sealed is not None:
            self.sealed.close()
            self.sealed = None


def body_for(content_type: str, rules: BodyRules) -> Body:
    """The eater of a body that says to be of this type."""
    kind, options = parse_options_header(content_type[:500])
    if kind == "application/x-www-form-urlencoded":
        return FieldsBody(rules)
    boundary = str(options.get("boundary", ""))
    if kind == "multipart/form-data" and BOUNDARY.fullmatch(boundary):
        return PartsBody(rules, boundary)
    return Body(rules)


def _upload(segment: MultipartSegment, content: bytes) -> Upload:
    return Upload(segment.name or "", file_name(segment.filename or ""), segment.content_type or "", content)


def file_name(name: str) -> str:
    """The last part of a name, without what could turn, hide or end it."""
    last = re.split(r"[/\\]", name)[-1]
    return CONTROL.sub("", last).strip(" .")[:150] or "file"
