"""Any bytes to the MIME walker and to what changes mails by splicing, guided by coverage.

Run by hand: ``python -m tests.fuzz.atheris_mime [seconds] [folder]``; what was found is kept in the folder. Without
atheris (it is optional) random mails made of the words of MIME take its place for a few seconds, and it says so.
"""

from __future__ import annotations

import random
from pathlib import Path

from securegw.crypto.cms_parts import recognise
from securegw.crypto.entity import canonical, cut, inside_out
from securegw.crypto.seven_bit import seven_bit
from securegw.mail.address import author
from securegw.mail.errors import NotExamined
from securegw.mail.message import prepend, read, with_field, without
from securegw.mail.mime import bodies, parse
from tests.fuzz.driver import drive
from tests.fuzz.test_message import assert_inside

VECTORS = Path(__file__).parent.parent / "vectors"
MOST = 4_096  # longer ones the fuzzer would cut off
WORDS = (
    b"\r\n",
    b"\n",
    b"\r",
    b"--b",
    b"--b--",
    b"--c",
    b"From: a@b.test",
    b"Subject: =?utf-8?q?x?=",
    b" folded",
    b"\t",
    b"no field",
    b"Content-Type: multipart/mixed; boundary=b",
    b"Content-Type: multipart/signed; protocol=application/pkcs7-signature; boundary=c",
    b"Content-Type: multipart/digest; boundary=b",
    b"Content-Type: message/rfc822",
    b"Content-Type: application/pkcs7-mime; name=smime.p7m",
    b"Content-Type: text/html; charset=utf-16",
    b"Content-Transfer-Encoding: base64",
    b"Content-Transfer-Encoding: quoted-printable",
    b"Content-Transfer-Encoding: 8bit",
    b"Content-Disposition: attachment; filename*0*=utf-8''%41; filename*1=b",
    b"TUlNRQ==",
    b"=\r\n",
    b"=FF",
    b"\xff\xfe\0",
)


def try_one(raw: bytes) -> None:
    """Every byte stays where it is, every part lies inside its parent, and nothing crashes."""
    message = read(raw)
    author(message)
    recognise(message)
    assert without(message, ["none-of-these"]) == raw
    assert read(prepend(raw, b"Trace: 1\r\n")).body == message.body
    assert read(with_field(message, "Subject", "new")).body == message.body
    outer, entity = cut(message)
    assert read(inside_out(read(outer + b"\r\n"), read(entity))).body == message.body
    text = canonical(raw)
    assert text.count(b"\n") == text.count(b"\r") == text.count(b"\r\n")
    seven_bit(raw)
    try:
        root = parse(raw)
    except NotExamined:
        return
    assert_inside(root)
    found = bodies(root)
    assert found.text or found.html or found.attachments


def made(source: random.Random) -> bytes:
    lines = source.choices(WORDS, k=source.randrange(1, 30))
    return source.choice((b"\r\n", b"\n", b"")).join(lines)


def seeds() -> list[bytes]:
    """What mail programs write, as far as it is short."""
    mails = (file.read_bytes().replace(b"\n", b"\r\n") for file in sorted(VECTORS.glob("*/*.eml")))
    return [mail for mail in mails if len(mail) <= MOST]


if __name__ == "__main__":
    drive(try_one, made, seeds(), WORDS)
