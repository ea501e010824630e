"""Proofs: MACs by which a mark of ours is known again, and no stranger's is taken for it (SEC1).

Not the marks themselves, see ``marking``. The verdict is bound to its mail: to the trace id under which it came, its
author, its Message-ID, its Date, and its body, which is told apart because servers behind us may add a line to it.
RFC 2104, RFC 4648 5.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from typing import TYPE_CHECKING, Literal

import attrs

from securegw.mail.address import author

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from securegw.crypto.seal import MasterKey
    from securegw.mail.message import Message

VERDICT_FIELD = "X-Securegw-Verdict"
OPENED_FIELD = "X-Securegw-Opened"

LENGTH = 16  # bytes of a MAC that are written
MOST_MARKS = 50

_PROVED = re.compile(
    r"(?P<words>.*?);\s*trace=(?P<trace>[0-9A-Za-z._-]{1,64});\s*body=(?P<body>[0-9A-Za-z_-]{22});"
    r"\s*mac=(?P<mac>[0-9A-Za-z_-]{22})\s*",
    re.DOTALL,
)
_OPENED = re.compile(rb"X-Securegw-Opened: {0,2}([0-9A-Za-z_-]{1,64}\.[0-9A-Za-z_-]{22})(?![0-9A-Za-z_-])")


@attrs.frozen
class Proof:
    """What a verdict field is worth. ``words`` is the verdict as it stands; ``body`` whether it is still the same."""

    mark: Literal["ours", "forged", "none"]
    words: str = ""
    trace: str = ""
    body: Literal["same", "changed", ""] = ""


class Proofs:
    """Makes and checks them, for one gateway or all nodes that share the master key."""

    def __init__(self, master: MasterKey) -> None:
        self._verdict_key = master.derive("verdict-mark")
        self._opened_key = master.derive("opened-mark")

    def proved(self, words: str, message: Message, trace: str) -> str:
        """The value of the verdict field: the words, to what they belong, and the MAC."""
        body = _digest(message)
        mac = self._verdict_mac(words, message, trace, body)
        return f"{words};\r\n\ttrace={trace}; body={body};\r\n\tmac={mac}"

    def check(self, message: Message) -> Proof:
        """Whether the verdict in a mail is ours and belongs to it. Two of them are none of ours."""
        fields = message.all(VERDICT_FIELD)
        if not fields:
            return Proof("none")
        found = _PROVED.fullmatch(fields[0])
        if found is None or len(fields) > 1:
            return Proof("forged")
        words, trace, body = found["words"], found["trace"], found["body"]
        if not hmac.compare_digest(found["mac"], self._verdict_mac(words, message, trace, body)):
            return Proof("forged")
        return Proof("ours", " ".join(words.split()), trace, "same" if body == _digest(message) else "changed")

    def opened(self, trace: str) -> str:
        """The value of the field that says: this came sealed and was opened here."""
        return f"{trace}.{self._opened_mac(trace)}"

    def any_opened(self, marks: Iterable[str]) -> bool:
        """Whether one of these values was made by us."""
        for mark in marks:
            trace, _, mac = mark.rpartition(".")
            if hmac.compare_digest(mac, self._opened_mac(trace)):
                return True
        return False

    def _verdict_mac(self, words: str, message: Message, trace: str, body: str) -> str:
        written_by = author(message)
        parts = (
            " ".join(words.split()),
            trace,
            body,
            str(written_by) if written_by else "",
            *("".join((message.first(name) or "").split()) for name in ("Message-ID", "Date")),
        )
        told = b"".join(len(part.encode()).to_bytes(4, "big") + part.encode("utf-8", "replace") for part in parts)
        return _text(hmac.digest(self._verdict_key, told, "sha256"))

    def _opened_mac(self, trace: str) -> str:
        return _text(hmac.digest(self._opened_key, trace.encode("utf-8", "replace"), "sha256"))


def marks_in(raw: bytes) -> Iterator[str]:
    """Everything that looks like our mark of an opened mail, wherever it stands: in the header, in a forwarded mail."""
    at = raw.find(b"X-Securegw-Opened:")
    for _ in range(MOST_MARKS):
        if at < 0:
            return
        match = _OPENED.match(raw, at)
        if match is not None:
            yield match[1].decode("ascii")
        at = raw.find(b"X-Securegw-Opened:", at + 1)


def _digest(message: Message) -> str:
    """Of the body without the line ends behind it: these come and go on the way (RFC 6376 3.4.3 does the same)."""
    return _text(hashlib.sha256(message.body.rstrip(b"\r\n")).digest())


def _text(digest: bytes) -> str:
    return base64.urlsafe_b64encode(digest[:LENGTH]).rstrip(b"=").decode("ascii")
