"""Any bytes to the readers of header fields and MIME parts, guided by coverage: no crash, no byte lost.

Run by hand: ``python -m tests.fuzz.atheris_message [seconds]``. Without atheris (it is optional) random mails made of
likely lines take its place for a few seconds, and it says so.
"""

from __future__ import annotations

import contextlib
import random

from securegw.mail.errors import BareLine, NotExamined
from securegw.mail.message import check_wire, prepend, read, with_field, without
from securegw.mail.mime import Part, bodies, parse
from tests.fuzz.driver import drive

LINES = (
    b"From: a@b.test", b"Subject: x", b" folded", b"\t", b"", b"no field", b"X_Own: 1", b"x-own-b : 2", b":", b"--b",
    b"--b--", b"Content-Type: multipart/mixed; boundary=b", b"Content-Type: message/rfc822", b"\xff\xfe: \0", b"\r",
    b"Content-Type: multipart/digest; boundary=c", b"--c", b"Content-Transfer-Encoding: base64", b"=", b"YQ==",
    b"Content-Type: text/plain; charset*0=u; charset*1=tf-8", b"Content-Type: text/plain; charset*=utf-8''%ff",
    b"Content-Disposition: attachment; filename==?utf-8?q?a?=", b"Content-Transfer-Encoding: quoted-printable", b"=4",
)  # fmt: skip
ENDS = (b"\r\n", b"\r\n", b"\r\n", b"\n", b"")


def try_one(raw: bytes) -> None:
    _fields(raw)
    _wire(raw)
    with contextlib.suppress(NotExamined):
        root = parse(raw)
        _inside(root)
        bodies(root)


def _fields(raw: bytes) -> None:
    message = read(raw)
    between = raw[message.header_end : message.body_at]
    assert between in (b"", b"\n", b"\r\n")
    assert b"".join(field.raw for field in message.fields) + between + message.body == raw
    assert without(message, ["none-of-these"]) == raw
    assert without(message, ["x-own*", "from"]).endswith(message.body)
    assert read(prepend(raw, b"Trace: 1\r\n")).body == message.body
    changed = read(with_field(message, "Subject", "new"))
    assert changed.first("subject") == "new" and changed.body == message.body


def _wire(raw: bytes) -> None:
    with contextlib.suppress(BareLine):
        check_wire(raw)
        assert raw.count(b"\r") == raw.count(b"\n") == raw.count(b"\r\n") and b"\0" not in raw


def _inside(part: Part) -> None:
    part.content()
    part.text()
    at = part.body_at
    for child in part.children:
        assert at <= child.start <= child.body_at <= child.end <= part.end
        at = child.end
        _inside(child)


def made(source: random.Random) -> bytes:
    count = source.randrange(1, 25)
    return b"".join(line + source.choice(ENDS) for line in source.choices(LINES, k=count))


if __name__ == "__main__":
    drive(try_one, made)
