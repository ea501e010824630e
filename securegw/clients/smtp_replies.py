"""Replies of an SMTP server: read from the wire, bounded, as values.

Obeys RFC 5321 4.2 and RFC 2034 5. A reply that is too long, or is none, raises ``BadReply``: nothing it says counts.
"""

from __future__ import annotations

import re

import attrs

LINE_LIMIT = 2000
LINES_LIMIT = 100

_LINE = re.compile(rb"([2-5][0-9]{2})(?:([ -])(.*))?", re.DOTALL)
_STATUS = re.compile(r"([245])\.[0-9]{1,3}\.[0-9]{1,3}(?= |$)")


class BadReply(Exception):
    """What the server sends is no SMTP."""


@attrs.frozen
class Reply:
    """What a server said, or what we say in its place when it could not be asked; ``remote`` names it."""

    code: int
    status: str
    text: str
    remote: str = ""

    @property
    def positive(self) -> bool:
        return self.code < 300

    @property
    def temporary(self) -> bool:
        return 400 <= self.code < 500

    @property
    def permanent(self) -> bool:
        return self.code >= 500

    def __str__(self) -> str:
        return " ".join(word for word in (str(self.code), self.status, self.text) if word)


@attrs.frozen
class Lines:
    """One reply as it came: its code and the text of each line."""

    code: int
    texts: tuple[str, ...]

    def reply(self, remote: str) -> Reply:
        """The status is the server's if it fits the code, else made from the code (RFC 2034 5, RFC 3463 3.1)."""
        match = _STATUS.match(self.texts[0])
        fits = match is not None and int(match[1]) == self.code // 100
        status = match[0] if match and fits else f"{self.code // 100}.0.0"
        words = " ".join(text.removeprefix(status) for text in self.texts).split()
        return Reply(self.code, status, " ".join(words)[:500], remote)


class ReplyReader:
    """``feed`` it bytes, take replies with ``next`` until there is none."""

    def __init__(self) -> None:
        self._buffer = b""
        self._at = 0
        self._code = 0
        self._texts: list[str] = []

    @property
    def empty(self) -> bool:
        """Not even the beginning of another reply is there."""
        return self._at >= len(self._buffer) and not self._texts

    def feed(self, data: bytes) -> None:
        """More bytes; what is kept of earlier ones is less than a line once all replies are taken."""
        self._buffer = self._buffer[self._at :] + data if self._at < len(self._buffer) else data
        self._at = 0

    def next(self) -> Lines | None:
        while (line := self._line()) is not None:
            code, last, text = _parse(line)
            if self._texts and code != self._code:
                raise BadReply("the lines of one reply differ in their code")
            if last and not self._texts:
                return Lines(code, (text,))
            self._code = code
            self._texts.append(text)
            if last:
                texts, self._texts = tuple(self._texts), []
                return Lines(code, texts)
            if len(self._texts) >= LINES_LIMIT:
                raise BadReply("too many lines in a reply")
        return None

    def _line(self) -> bytes | None:
        """The next line; a lone LF ends one too, some servers are like that and nothing is hidden by it here."""
        end = self._buffer.find(b"\n", self._at, self._at + LINE_LIMIT)
        if end < 0:
            if len(self._buffer) - self._at >= LINE_LIMIT:
                raise BadReply("a line of a reply is too long")
            return None
        line = self._buffer[self._at : end].removesuffix(b"\r")
        self._at = end + 1
        return line


def _parse(line: bytes) -> tuple[int, bool, str]:
    match = _LINE.fullmatch(line)
    if match is None:
        raise BadReply("a line that is no reply")
    text = (match[3] or b"").decode("utf-8", "replace")
    if not text.isprintable():
        text = "".join(c if c.isprintable() else " " for c in text)
    return int(match[1]), match[2] != b"-", text
