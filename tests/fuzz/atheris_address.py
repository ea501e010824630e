"""Any bytes to the readers of addresses and of header words, guided by coverage.

Run by hand: ``python -m tests.fuzz.atheris_address [seconds]``. Without atheris (it is optional) random texts made of
the pieces of addresses take its place for a few seconds, and it says so.
"""

from __future__ import annotations

import contextlib
import random

from securegw.mail.address import author, header_mailboxes, parse_path
from securegw.mail.errors import BadAddress
from securegw.mail.message import read
from securegw.mail.words import decode_words, encode_words
from tests.fuzz.driver import drive

PIECES = (
    b"alice", b"@", b"corp.test", b"<", b">", b'"', b"\\", b"(", b")", b",", b";", b":", b" ", b"\t", b".",
    b"[1.2.3.4]", b"[IPv6:::1]", b"=?utf-8?q?a=40b?=", b"=?utf-8?b?YUBi?=", b"=?", b"?=", "\u00e4".encode(),
    b"\0", b"\r\n ", b"xn--", b"<alice@corp.test>", b"Group: ", b"\xff", "\u3002".encode(), b"@a,@b:", b"%",
)  # fmt: skip


def try_one(data: bytes) -> None:
    """The first byte decides whether UTF-8 may stand in the path."""
    if not data:
        return
    raw = data[1:]
    _path(raw.decode("utf-8", "replace"), utf8=bool(data[0] & 1))
    _header(raw)
    _words(raw.decode("utf-8", "replace"))


def _path(text: str, *, utf8: bool) -> None:
    with contextlib.suppress(BadAddress):
        address = parse_path(text, utf8=utf8)
        assert parse_path(str(address), utf8=utf8) == address
        assert parse_path(address.key, utf8=utf8).key == address.key
        assert not {"\r", "\n", "\0"} & set(str(address))
        assert len(str(address).encode()) <= 320


def _header(raw: bytes) -> None:
    with contextlib.suppress(BadAddress):
        for mailbox in header_mailboxes(raw):
            assert not {"\r", "\n", "\0"} & set(str(mailbox.address))
    writer = author(read(b"From: " + raw + b"\r\nTo: x@y.test\r\n\r\n"))
    assert writer is None or parse_path(str(writer), utf8=True) == writer


def _words(text: str) -> None:
    decode_words(text)
    value = encode_words(text)
    assert value.isascii()
    # A word of ASCII is not broken while mail servers take its line.
    assert all(len(line) <= 76 or (len(line) < 500 and " " not in line.strip()) for line in value.split("\r\n"))


def made(source: random.Random) -> bytes:
    return bytes([source.randrange(256)]) + b"".join(source.choices(PIECES, k=source.randrange(1, 14)))


if __name__ == "__main__":
    drive(try_one, made, words=PIECES)
