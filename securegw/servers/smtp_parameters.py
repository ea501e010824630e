"""The parameters of MAIL and RCPT: what the client announces about a message, and what it wants to be told.

Not the grammar around them (smtp_commands). Obeys RFC 1870 3 (SIZE), RFC 6152 2 (BODY), RFC 6531 3.4 (SMTPUTF8),
RFC 4954 5 (AUTH) and RFC 3461 4 (RET, ENVID, NOTIFY, ORCPT) with RFC 6533 3. An unknown parameter is refused, never
ignored (RFC 5321 4.1.1.11).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import attrs

from securegw.mail.envelope import Wishes
from securegw.servers.smtp_commands import Complaint


@attrs.frozen
class Terms:
    """The parameters of MAIL that we understood."""

    size: int | None = None
    eight_bit: bool = False
    utf8: bool = False
    ret: str = ""
    envid: str = ""


# RFC 3461 4: xtext. What it stands for is printable, or somebody would decode it into a new header line.
_XTEXT = re.compile(r"(?:[!-*,-<>-~]|\+(?:[2-6][0-9A-F]|7[0-9A-E]))+")
_UNITEXT = re.compile(rf"(?:{_XTEXT.pattern[:-1]}|[\u00a0-\U0010ffff])+")
_ATOM = re.compile(r"[A-Za-z0-9!#$%&'*/?^_`{|}~-]+")
_TOLD = frozenset({"SUCCESS", "FAILURE", "DELAY"})
ENVID_LIMIT, ORCPT_LIMIT = 100, 500  # RFC 3461 4.4, 4.2


def read_terms(parameters: Mapping[str, str]) -> Terms:
    """The parameters of MAIL."""
    return Terms(**_read("MAIL", _OF_MAIL, parameters)) if parameters else _NO_TERMS


def read_wishes(parameters: Mapping[str, str], *, utf8: bool = False) -> Wishes | None:
    """The parameters of RCPT; None if there are none. ``utf8`` allows ORCPT in UTF-8 (RFC 6533 3)."""
    if not parameters:
        return None
    return Wishes(**_read("RCPT", _OF_UTF8_RCPT if utf8 else _OF_RCPT, parameters))


def _read(verb: str, readers: _Readers, parameters: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in parameters.items():
        if key not in readers:
            raise Complaint(555, "5.5.4", f"{verb} has a parameter that we do not know")
        attribute, read = readers[key]
        meant = read(value)
        if attribute:
            found[attribute] = meant
    return found


def _wrong(sentence: str) -> Complaint:
    return Complaint(501, "5.5.4", sentence)


def _size(value: str) -> int:
    if not re.fullmatch(r"[0-9]{1,64}", value):
        raise _wrong("SIZE is a number of bytes")
    return int(value)


def _body(value: str) -> bool:
    if value.upper() not in {"7BIT", "8BITMIME"}:
        raise _wrong("BODY is 7BIT or 8BITMIME")
    return value.upper() == "8BITMIME"


def _utf8(value: str) -> bool:
    if value:
        raise _wrong("SMTPUTF8 has no value")
    return True


def _ret(value: str) -> str:
    if value.upper() not in {"FULL", "HDRS"}:
        raise _wrong("RET is FULL or HDRS")
    return value.upper()


def _envid(value: str) -> str:
    if len(value) > ENVID_LIMIT or not _XTEXT.fullmatch(value):
        raise _wrong("ENVID is up to 100 characters of xtext")
    return value


def _submitter(value: str) -> None:
    """RFC 4954 5: who wrote it, in the words of somebody we have no reason to believe. Well-formed, and forgotten."""
    if value != "<>" and not (len(value) <= ORCPT_LIMIT and _XTEXT.fullmatch(value)):
        raise _wrong("AUTH is an address in xtext")


def _notify(value: str) -> str:
    words = value.upper().split(",")
    if words != ["NEVER"] and not (_TOLD.issuperset(words) and len(set(words)) == len(words)):
        raise _wrong("NOTIFY is NEVER, or some of SUCCESS, FAILURE, DELAY")
    return ",".join(words)


def _original(value: str) -> str:
    return _typed_address(value, _XTEXT)


def _original_utf8(value: str) -> str:
    return _typed_address(value, _UNITEXT if value[:6].lower() == "utf-8;" else _XTEXT)


def _typed_address(value: str, text: re.Pattern[str]) -> str:
    kind, _, address = value.partition(";")
    if len(value) > ORCPT_LIMIT or not (_ATOM.fullmatch(kind) and text.fullmatch(address) and value.isprintable()):
        raise _wrong("ORCPT is a type, a semicolon and an address in xtext")
    return value


# parameter -> (attribute, "" for what is not kept; reader). A new extension of MAIL or RCPT is a row here.
_Readers = Mapping[str, tuple[str, Callable[[str], Any]]]
_OF_MAIL: _Readers = {
    "SIZE": ("size", _size),
    "BODY": ("eight_bit", _body),
    "SMTPUTF8": ("utf8", _utf8),
    "RET": ("ret", _ret),
    "ENVID": ("envid", _envid),
    "AUTH": ("", _submitter),
}
_OF_RCPT: _Readers = {"NOTIFY": ("notify", _notify), "ORCPT": ("original", _original)}
_OF_UTF8_RCPT: _Readers = {**_OF_RCPT, "ORCPT": ("original", _original_utf8)}
_NO_TERMS = Terms()
