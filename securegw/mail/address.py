"""Addresses: the one strict reading of who is meant, used wherever an address counts.

Not a tolerant reader: what two readers could understand differently is refused, or is nobody. RFC 5321 4.1.2
and 4.5.3.1, RFC 5322 3.4, RFC 6531 3.3, RFC 5890 2.3.2, RFC 5280 7.5 (what is equal).
"""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from functools import lru_cache
from typing import TYPE_CHECKING, NoReturn

import attrs
import idna

from securegw.mail.errors import BadAddress
from securegw.mail.words import decode_words

if TYPE_CHECKING:
    from securegw.mail.message import Field, Message

LOCAL_LIMIT = 64
PATH_LIMIT = 254
DOMAIN_LIMIT = 253

_ATEXT = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\-\u0080-\U0010ffff]"
_DOT_ATOM = re.compile(rf"{_ATEXT}+(?:\.{_ATEXT}+)*")
_QUOTED = r'"(?:[^"\\]|\\.)*+"'
_MAILBOX = re.compile(rf"({_QUOTED}|[^\"@]+)@([^@]+)")
_ESCAPED = re.compile(r"\\(.)")
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_FOLD = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}

_SPACE = re.compile(r"[ \t]*+")
_ATOM = re.compile(r'[^\s()<>,:;"\[\]\\]++')
_QUOTED_WORD = re.compile(_QUOTED)
_ANGLE = re.compile(rf'<((?:{_QUOTED}|[^"<>])*+)>')
_BARE = re.compile(rf'(?:{_QUOTED}|[^\s()<>,:;"\[\]\\@]++)@(?:\[[^\[\]\s]*+\]|[^\s()<>,:;"\[\]\\]++)(?=[\s(,;]|\Z)')
_COMMENT_MARK = re.compile(r"[()]|\\.")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f]")
_EMPTY_FOLD = re.compile(rb"\n[ \t]+\r?\n")
_EDGES = re.compile(r'[\s<>()\[\],;:"\\]+')


@attrs.frozen
class Address:
    """A mailbox, made by ``parse_path``: local part without quotes, domain folded to lower case and A-labels.

    Equal means the same mailbox in the sense of RFC 5280 7.5: local part exact, domain in any case.
    """

    local: str
    domain: str
    text: str = attrs.field(init=False, eq=False, repr=False)
    key: str = attrs.field(init=False, eq=False, repr=False)  # under which tables know it; it can be parsed again

    @text.default
    def _text(self) -> str:
        return f"{_quoted(self.local)}@{self.domain}"

    @key.default
    def _key(self) -> str:
        return f"{_quoted(self.local.lower())}@{self.domain}"

    def __str__(self) -> str:
        return self.text


@attrs.frozen
class Mailbox:
    """One mailbox of a header field: the name shown, decoded, and the address."""

    name: str
    address: Address


@lru_cache(maxsize=8192)
def parse_path(text: str, *, utf8: bool = False) -> Address:
    """Read a Mailbox as in MAIL and RCPT (RFC 5321 4.1.2), without angle brackets; raises BadAddress.

    No source routes; ``%`` and ``!`` are letters like others. ``utf8`` allows RFC 6531 forms.
    """
    if len(text) > 4 * PATH_LIMIT:
        _refuse("too long")
    if not text.isascii() and not (utf8 and _plain_unicode(text)):
        _refuse("characters that are not allowed here")
    match = _MAILBOX.fullmatch(text)
    if match is None:
        _refuse("not of the form local@domain")
    address = Address(_read_local(match[1]), _read_domain(match[2]))
    if len(_quoted(address.local).encode()) > LOCAL_LIMIT or len(str(address).encode()) > PATH_LIMIT:
        _refuse("too long")
    return address


def parse_address(text: str) -> Address:
    """Read an address given by a person or a setting: as strict as on the wire."""
    return parse_path(text)


def _refuse(detail: str) -> NoReturn:
    raise BadAddress(detail=detail)


def _plain_unicode(text: str) -> bool:
    """No invisible, unassigned or direction characters, and one form only for one text (RFC 6532 3.1)."""
    return text.isprintable() and unicodedata.is_normalized("NFC", text)


def _quoted(local: str) -> str:
    if _DOT_ATOM.fullmatch(local):
        return local
    escaped = local.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _read_local(text: str) -> str:
    if not text.startswith('"'):
        return text if _DOT_ATOM.fullmatch(text) else _refuse("local part")
    local = _ESCAPED.sub(r"\1", text[1:-1])
    # RFC 5321 4.1.2 qtextSMTP: space and visible characters only. An empty local part is nobody's.
    return local if local and local.isprintable() else _refuse("local part")


def _read_domain(text: str) -> str:
    if text.startswith("["):
        return _read_literal(text)
    domain = _a_labels(text.translate(_FOLD))
    labels = domain.split(".")
    if len(domain) > DOMAIN_LIMIT or not all(_LABEL.fullmatch(label) for label in labels):
        _refuse("domain")
    if labels[-1].isdigit():  # a bare IP number; resolvers would take it for an address (RFC 3696 2)
        _refuse("domain")
    return domain


def _a_labels(domain: str) -> str:
    """U-labels by IDNA2008 without any mapping: what would have to be mapped first is not the name itself."""
    if domain.isascii():
        return domain
    try:
        return idna.encode(domain, strict=True).decode("ascii")
    except (idna.IDNAError, UnicodeError):
        _refuse("domain")


def _read_literal(text: str) -> str:
    inner = text[1:-1]
    try:
        if text[-1] != "]" or "%" in inner:
            _refuse("address literal")
        if inner[:5].lower() == "ipv6:":
            return f"[IPv6:{ipaddress.IPv6Address(inner[5:])}]"
        return f"[{ipaddress.IPv4Address(inner)}]"
    except ValueError:
        _refuse("address literal")


def header_mailboxes(field_value: bytes) -> tuple[Mailbox, ...]:
    """The mailboxes of a From, To or Cc field (RFC 5322 3.4), also those in groups; raises BadAddress."""
    return _read_list(_text(field_value)).found()


def author(message: Message) -> Address | None:
    """Who wrote the mail, or None if readers could differ about it.

    Exactly one From field, exactly one mailbox in it, and a loose reader who takes everything that looks like
    an address, also in names, comments and encoded words, finds no other one.
    """
    if any(not field.name for field in message.fields):
        return None  # a line that is no field: for some readers the header ends there
    fields = [field for field in message.fields if field.name.lower() == b"from"]
    if len(fields) != 1:
        return None
    return (_kept_author if len(fields[0].raw) < KEPT_LENGTH else _sole_author)(fields[0])


def _sole_author(field: Field) -> Address | None:
    if not field.raw[len(field.name) :].startswith(b":") or _EMPTY_FOLD.search(field.raw):
        return None
    try:
        text = _text(field.value)
        listed = _read_list(text)
        boxes = listed.found()
        if len(boxes) != 1 or listed.odd:
            return None
        seen = {parse_path(word, utf8=True).key for word in _loose_words(text)}
    except BadAddress:
        return None
    return boxes[0].address if seen == {boxes[0].address.key} else None


KEPT_LENGTH = 500
_kept_author = lru_cache(maxsize=1024)(_sole_author)  # a mail is asked a few times, and who writes once writes again


def _loose_words(text: str) -> set[str]:
    """Everything that somebody could take for an address, in the text as it stands and as it is decoded."""
    words = _EDGES.split(f"{text} {decode_words(text)}")
    return {bare for word in words if "@" in (bare := word.strip("@.'"))}


def _text(value: bytes) -> str:
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError:
        _refuse("bytes that are no text")
    if _CONTROL.search(text):
        _refuse("control characters")
    return text


def _read_list(text: str) -> _ListReader:
    reader = _ListReader(text)
    reader.read()
    return reader


class _ListReader:
    """Reads an address list once, left to right. ``odd`` notes what is valid but not one plain mailbox."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.odd = False
        self._boxes: list[Mailbox] = []
        self._in_group = False
        self._closed = False  # a group has just ended; only a comma may follow
        self._start_item()

    def found(self) -> tuple[Mailbox, ...]:
        return tuple(self._boxes)

    def read(self) -> None:
        while self._skip_space() < len(self.text):
            self._read_piece(self.text[self.at])
        if self._in_group:
            _refuse("group without end")
        self._end_item()

    def _start_item(self) -> None:
        self._phrase: list[str] = []
        self._atoms: list[str] = []
        self._address: Address | None = None

    def _skip_space(self) -> int:
        match = _SPACE.match(self.text, self.at)
        self.at = match.end() if match else self.at
        return self.at

    def _read_piece(self, first: str) -> None:
        if first == "(":
            self._skip_comment()
        elif first == ",":
            self._closed = False
            self._end_item()
            self.at += 1
        elif first in ":;":
            self._read_group_mark(first)
        elif self._address is not None or self._closed:
            _refuse("text after an address")
        elif first == "<":
            self._read_angle()
        else:
            self._read_word(first)

    def _skip_comment(self) -> None:
        depth, start = 0, self.at
        for match in _COMMENT_MARK.finditer(self.text, start):
            depth += {"(": 1, ")": -1}.get(match[0], 0)
            if depth == 0:
                self.at = match.end()
                return
        _refuse("comment without end")

    def _read_group_mark(self, mark: str) -> None:
        opening = mark == ":"
        if self._in_group is opening or (opening and (self._closed or not self._name())):
            _refuse("group")
        if opening and self._address is not None:
            _refuse("group")
        if not opening:
            self._end_item()
        self._in_group, self._closed, self.odd = opening, not opening, True
        self._start_item()
        self.at += 1

    def _read_angle(self) -> None:
        match = _ANGLE.match(self.text, self.at)
        if match is None:
            _refuse("angle brackets")
        self._address = parse_path(match[1], utf8=True)
        self.at = match.end()

    def _read_word(self, first: str) -> None:
        bare = _BARE.match(self.text, self.at)
        if bare is not None:
            if self._name():
                _refuse("an address within a name")
            self._address = parse_path(bare[0], utf8=True)
            self.at = bare.end()
            return
        match = (_QUOTED_WORD if first == '"' else _ATOM).match(self.text, self.at)
        if match is None or (first != '"' and "@" in match[0]):
            _refuse("a name with special characters")
        if first == '"':
            self._flush_atoms()
            self._phrase.append(_ESCAPED.sub(r"\1", match[0][1:-1]))
        else:
            self._atoms.append(match[0])
        self.at = match.end()

    def _flush_atoms(self) -> None:
        if self._atoms:
            self._phrase.append(decode_words(" ".join(self._atoms)))
            self._atoms = []

    def _name(self) -> str:
        self._flush_atoms()
        return " ".join(self._phrase)

    def _end_item(self) -> None:
        name = self._name()
        if self._address is not None:
            self._boxes.append(Mailbox(name, self._address))
        elif name:
            _refuse("a name without an address")
        else:
            self.odd = True
        self._start_item()
