"""One mail as a server must be asked to take it: MAIL and RCPT with the parameters that it offers.

Not a dialogue. Nothing but an address or a known parameter ever reaches a command line. Obeys RFC 5321 4.1.1,
RFC 1870 (SIZE), RFC 6152 (8BITMIME), RFC 6531 3.4 (SMTPUTF8) and RFC 3461 4 (DSN). A mail leaves as it is or not
at all: nothing is converted for a host that cannot take it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

import attrs

from securegw.clients.smtp_replies import Reply
from securegw.clients.smtp_text import Text
from securegw.mail.address import parse_path
from securegw.mail.envelope import Wishes
from securegw.mail.errors import BadAddress, BareLine
from securegw.mail.message import check_wire

_XTEXT = r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})"
_NOTIFY = re.compile(r"NEVER|(?:SUCCESS|FAILURE|DELAY)(?:,(?:SUCCESS|FAILURE|DELAY)){0,2}", re.IGNORECASE)
_ORIGINAL = re.compile(rf"[A-Za-z0-9-]{{1,30}};{_XTEXT}{{1,500}}")
_ENVID = re.compile(rf"{_XTEXT}{{1,100}}")
_RET = re.compile(r"FULL|HDRS", re.IGNORECASE)
_NONE: Mapping[str, Wishes] = {}


@attrs.frozen
class Mail:
    """One transaction; ``sender`` "" is the null sender, ``utf8`` if it came to us with SMTPUTF8.

    ``wishes`` by recipient, ``ret`` and ``envid`` are what the sender asked to be told (RFC 3461); ``checked`` if
    somebody has called ``check_wire`` already, which takes its time for a large text; a ``Text`` that is not so is bad.
    """

    sender: str
    recipients: tuple[str, ...]
    raw: bytes | Text = attrs.field(repr=lambda raw: f"<{len(raw)} bytes>")
    eight_bit: bool = False
    utf8: bool = False
    wishes: Mapping[str, Wishes] = _NONE
    ret: str = ""
    envid: str = ""
    checked: bool = False


@attrs.frozen
class Offers:
    """What the server says that it can do: keyword of EHLO -> its parameters."""

    words: Mapping[str, str] = attrs.field(factory=dict)

    def __contains__(self, keyword: str) -> bool:
        return keyword in self.words

    @property
    def size(self) -> int:
        """The largest mail it takes; 0 if it does not say."""
        text = self.words.get("SIZE", "")
        return int(text[:30]) if text.isdecimal() and text.isascii() else 0

    @property
    def mechanisms(self) -> str:
        return self.words.get("AUTH", "")


def read_offers(texts: tuple[str, ...]) -> Offers:
    """The lines of a reply to EHLO after the first; ``AUTH=`` is how old servers write it."""
    words: dict[str, str] = {}
    for text in texts:
        keyword, _, parameters = text.strip().partition(" ")
        if keyword.upper().startswith("AUTH="):
            keyword, parameters = "AUTH", f"{keyword[5:]} {parameters} {words.get('AUTH', '')}"
        elif keyword.upper() == "AUTH":
            parameters = f"{parameters} {words.get('AUTH', '')}"
        words[keyword.upper()] = parameters
    return Offers(words)


def refusal(mail: Mail, offers: Offers, remote: str) -> Reply | None:
    """Why this server cannot take this mail at all."""
    try:
        if not mail.checked:
            _check_wire(mail.raw)
        sender = _path(mail.sender)
    except (BareLine, BadAddress) as error:
        return Reply(error.code, error.status, error.sentence)
    if 0 < offers.size < len(mail.raw):
        return Reply(552, "5.3.4", f"{remote} takes {offers.size} bytes at most", remote)
    if "8BITMIME" not in offers and not mail.raw.isascii():
        return Reply(554, "5.6.3", f"{remote} takes no 8-bit text", remote)
    if "SMTPUTF8" not in offers and not (sender.isascii() and _plain_header(mail)):
        return Reply(550, "5.6.7", f"{remote} takes no international mail", remote)
    return None


def _check_wire(raw: bytes | Text) -> None:
    if not isinstance(raw, bytes):  # looked through, and not found good
        raise BareLine
    check_wire(raw)


def sender_command(mail: Mail, offers: Offers) -> bytes:
    """MAIL with all that this server must know."""
    found = f"MAIL FROM:<{_path(mail.sender)}>"
    if "SIZE" in offers:
        found += f" SIZE={len(mail.raw)}"
    if "8BITMIME" in offers and (mail.eight_bit or not mail.raw.isascii()):
        found += " BODY=8BITMIME"
    if "SMTPUTF8" in offers and _is_international(mail):
        found += " SMTPUTF8"
    if "DSN" in offers:
        found += _parameter("RET", mail.ret, _RET) + _parameter("ENVID", mail.envid, _ENVID)
    return f"{found}\r\n".encode()


def recipient_command(recipient: str, mail: Mail, offers: Offers, remote: str) -> bytes | Reply:
    """RCPT for one recipient, or why this one cannot be named to this server."""
    try:
        path = _path(recipient)
        if not path:
            raise BadAddress
    except BadAddress as error:
        return Reply(error.code, error.status, error.sentence)
    if not path.isascii() and "SMTPUTF8" not in offers:
        return Reply(550, "5.6.7", f"{remote} takes no such addresses", remote)
    found = f"RCPT TO:<{path}>"
    wish = mail.wishes.get(recipient) if mail.wishes and "DSN" in offers else None
    if wish:
        found += _parameter("NOTIFY", wish.notify, _NOTIFY) + _parameter("ORCPT", wish.original, _ORIGINAL)
    return f"{found}\r\n".encode()


@lru_cache(4096)
def _path(text: str) -> str:
    """An address as it is written to the server; a domain is always in ASCII, so often no SMTPUTF8 is needed."""
    if not text:
        return ""
    address = parse_path(text, utf8=True)
    return text if text.isascii() else str(address)


def _parameter(name: str, value: str, form: re.Pattern[str]) -> str:
    """A wish that has not the form of one is dropped; the mail is worth more (threats 5.2.19)."""
    return f" {name}={value}" if value and form.fullmatch(value) else ""


def _is_international(mail: Mail) -> bool:
    return mail.utf8 or not all(_path(path).isascii() for path in (mail.sender, *_readable(mail)))


def _readable(mail: Mail) -> list[str]:
    """Those recipients that are not ASCII and that are addresses at all."""
    found = []
    for recipient in mail.recipients:
        if not recipient.isascii():
            try:
                found.append(_path(recipient))
            except BadAddress:
                continue
    return found


def _plain_header(mail: Mail) -> bool:
    """A header of 8 bits needs SMTPUTF8 only if it came with it; others have always sent such headers."""
    if not mail.utf8:
        return True
    raw = mail.raw if isinstance(mail.raw, bytes) else mail.raw.head
    end = raw.find(b"\r\n\r\n")
    return raw[: end if end >= 0 else len(raw)].isascii()
