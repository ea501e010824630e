"""The grammar of SMTP commands: a line becomes a verb and its argument, a path or its parameters.

Not the dialogue: nothing here knows what came before, nor what a parameter means (smtp_parameters). Obeys RFC 5321
4.1.1 and 4.1.2, RFC 6531 3.3 and 3.5 (addresses in UTF-8) and RFC 3030 2 (BDAT). What breaks the grammar raises
``Complaint`` with the reply to give.
"""

from __future__ import annotations

import re

import attrs

from securegw.mail.address import Address, parse_path
from securegw.mail.errors import BadAddress

SENTENCE_LIMIT = 400


@attrs.frozen
class Reply:
    """What the client hears: a code (RFC 5321 4.2), an enhanced status (RFC 3463) or "", a sentence.

    ``reason`` is the word under which a refusal is counted.
    """

    code: int
    status: str
    sentence: str
    reason: str = attrs.field(default="", eq=False)

    @property
    def positive(self) -> bool:
        return self.code < 400

    @property
    def permanent(self) -> bool:
        return self.code >= 500

    def wire(self) -> bytes:
        """One line; a sentence is made printable and short, whoever wrote it."""
        words = self.sentence
        if not (words.isascii() and words.isprintable() and len(words) <= SENTENCE_LIMIT):
            words = " ".join(re.sub(r"[^\x20-\x7e]", " ", words).split())[:SENTENCE_LIMIT]
        status = f" {self.status}" if self.status else ""
        return f"{self.code}{status} {words}\r\n".encode("ascii")


class Complaint(Exception):
    """A command that is answered with an error and changes nothing."""

    def __init__(self, code: int, status: str, sentence: str, reason: str = "bad-command") -> None:
        self.reply = Reply(code, status, sentence, reason)
        super().__init__(sentence)


# One or more spaces after the colon are wrong, but common; the path itself is read strictly by mail.address.
_PATH = re.compile(r' *<((?:"(?:[^"\\]|\\.)*"|[^"<> ])*)>(?: (.*))?$')
_PARAMETER = re.compile(r"([A-Za-z0-9][A-Za-z0-9-]*)(?:=([\x21-\x3c\x3e-\x7e\u0080-\U0010ffff]+))?")
_CHUNK = re.compile(r"([0-9]{1,20})(?: +(LAST))?", re.IGNORECASE)
_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")


def split_line(line: bytes) -> tuple[str, str]:
    """The verb in upper case and the argument behind it."""
    if _CONTROL.search(line):
        raise Complaint(500, "5.5.2", "Control characters do not belong here")
    try:
        verb, _, argument = line.decode("utf-8").partition(" ")
    except UnicodeDecodeError:
        raise Complaint(500, "5.5.2", "That is neither ASCII nor UTF-8") from None
    return verb.upper(), argument.strip(" ")


def read_name(argument: str) -> str:
    """The name after HELO or EHLO: anything printable, since clients are often configured wrongly."""
    if not re.fullmatch(r"[\x21-\x7e]{1,255}", argument):
        raise Complaint(501, "5.5.4", "Say who you are: a host name or an address literal")
    return argument


def split_path(word: str, argument: str) -> tuple[str, dict[str, str]]:
    """``FROM:<path> KEY=value ...`` as the text of the path and its parameters."""
    if argument[: len(word)].upper() != word or not (match := _PATH.match(argument[len(word) :])):
        raise Complaint(501, "5.5.2", f"Write {word}<address>")
    return match[1], _read_parameters(match[2] or "")


def _read_parameters(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for piece in filter(None, text.split(" ")):
        match = _PARAMETER.fullmatch(piece)
        if not match or match[1].upper() in found:
            raise Complaint(501, "5.5.4", "The parameters are not well-formed")
        found[match[1].upper()] = match[2] or ""
    return found


def read_sender(path: str, *, utf8: bool = False) -> Address | None:
    """The address after MAIL FROM; ``<>`` is the null sender (RFC 5321 4.5.5)."""
    return _read_address(path, utf8) if path else None


def read_recipient(path: str, host: str, *, utf8: bool = False) -> Address:
    """The address after RCPT TO; ``<postmaster>`` is ours (RFC 5321 4.5.1)."""
    return _read_address(f"postmaster@{host}" if path.lower() == "postmaster" else path, utf8)


def _read_address(path: str, utf8: bool) -> Address:
    if not utf8 and not path.isascii():
        raise Complaint(553, "5.6.7", "Such an address needs SMTPUTF8", BadAddress.reason)
    try:
        return parse_path(path, utf8=utf8)
    except BadAddress as error:
        raise Complaint(error.code, error.status, error.sentence, error.reason) from None


def read_chunk(argument: str) -> tuple[int, bool] | None:
    """The size of the chunk after BDAT and whether it is the last; None if nobody knows where the chunk ends."""
    match = _CHUNK.fullmatch(argument)
    return (int(match[1]), match[2] is not None) if match else None
