"""The grammar of SMTP commands: a line becomes a verb and its argument, a path or its parameters.

Not the dialogue: nothing here knows what came before. Obeys RFC 5321 4.1.1 and 4.1.2, RFC 1870 3 (SIZE) and
RFC 6152 2 (BODY). What breaks the grammar raises ``Complaint`` with the reply to give.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import attrs

from securegw.mail.address import Address, parse_path
from securegw.mail.errors import BadAddress


@attrs.frozen
class Reply:
    """What the client hears: a code (RFC 5321 4.2), an enhanced status (RFC 3463) or "", a sentence."""

    code: int
    status: str
    sentence: str

    @property
    def positive(self) -> bool:
        return self.code < 400

    @property
    def permanent(self) -> bool:
        return self.code >= 500

    def wire(self) -> bytes:
        """One line; a sentence is made printable and short, whoever wrote it."""
        words = " ".join(re.sub(r"[^\x20-\x7e]", " ", self.sentence).split())[:400]
        line = " ".join(part for part in (str(self.code), self.status, words) if part)
        return f"{line}\r\n".encode("ascii")


class Complaint(Exception):
    """A command that is answered with an error and changes nothing."""

    def __init__(self, code: int, status: str, sentence: str) -> None:
        self.reply = Reply(code, status, sentence)
        super().__init__(sentence)


@attrs.frozen
class Terms:
    """The parameters of MAIL that we understood."""

    size: int | None = None
    eight_bit: bool = False


# One or more spaces after the colon are wrong, but common; the path itself is read strictly by mail.address.
_PATH = re.compile(r' *<((?:"(?:[^"\\]|\\.)*"|[^"<> ])*)>(?: (.*))?$')
_PARAMETER = re.compile(r"([A-Za-z0-9][A-Za-z0-9-]*)(?:=([\x21-\x3c\x3e-\x7e]+))?$")
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
    for piece in text.split():
        match = _PARAMETER.match(piece)
        if not match or match[1].upper() in found:
            raise Complaint(501, "5.5.4", "The parameters are not well-formed")
        found[match[1].upper()] = match[2] or ""
    return found


def read_sender(path: str) -> Address | None:
    """The address after MAIL FROM; ``<>`` is the null sender (RFC 5321 4.5.5)."""
    return _read_address(path) if path else None


def read_recipient(path: str, host: str) -> Address:
    """The address after RCPT TO; ``<postmaster>`` is ours (RFC 5321 4.5.1)."""
    return _read_address(f"postmaster@{host}" if path.lower() == "postmaster" else path)


def _read_address(path: str) -> Address:
    try:
        return parse_path(path)
    except BadAddress as error:
        raise Complaint(error.code, error.status, error.sentence) from None


def _size(value: str) -> int:
    if not re.fullmatch(r"[0-9]{1,64}", value):
        raise Complaint(501, "5.5.4", "SIZE is a number of bytes")
    return int(value)


def _body(value: str) -> bool:
    if value.upper() not in {"7BIT", "8BITMIME"}:
        raise Complaint(501, "5.5.4", "BODY is 7BIT or 8BITMIME")
    return value.upper() == "8BITMIME"


# parameter -> (attribute of Terms, reader); a new extension of MAIL is a row here
MAIL_PARAMETERS: Mapping[str, tuple[str, Callable[[str], Any]]] = {
    "SIZE": ("size", _size),
    "BODY": ("eight_bit", _body),
}


def read_terms(parameters: Mapping[str, str]) -> Terms:
    """The parameters of MAIL; an unknown one is refused, never ignored (RFC 5321 4.1.1.11)."""
    found: dict[str, Any] = {}
    for key, value in parameters.items():
        if key not in MAIL_PARAMETERS:
            raise Complaint(555, "5.5.4", "MAIL has a parameter that we do not know")
        attribute, read = MAIL_PARAMETERS[key]
        found[attribute] = read(value)
    return Terms(**found)
