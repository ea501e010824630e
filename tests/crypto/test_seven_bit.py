from __future__ import annotations

import pytest

from securegw.crypto import smime
from securegw.crypto.seven_bit import seven_bit
from securegw.mail.address import parse_address
from securegw.mail.mime import parse
from tests.crypto.people import NOW, Authority, Person

HEAD = b"From: ann@inside.test\r\nMIME-Version: 1.0\r\n"
TEXT = "Grüße aus Bern = fine \r\n\r\n.\r\nFrom here " + "ö" * 100 + "\r\n"


@pytest.mark.parametrize("label", [b"Content-Transfer-Encoding: 8bit\r\n", b""])
def test_text_becomes_quoted_printable_and_reads_the_same(label: bytes) -> None:
    raw = HEAD + b"Content-Type: text/plain; charset=utf-8\r\n" + label + b"\r\n" + TEXT.encode()
    safe = seven_bit(raw)
    assert safe.isascii() and max(map(len, safe.split(b"\r\n"))) <= 76
    assert parse(safe).content() == TEXT.encode()
    assert safe.count(b"\n") == safe.count(b"\r\n") == safe.count(b"\r")


def test_only_the_parts_that_need_it_change() -> None:
    first = b"Content-Type: text/plain\r\n\r\nplain  \r\n"
    last = b"Content-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\nAAAA\r\n"
    raw = (
        HEAD
        + b"Content-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: 8bit\r\n\r\n--b\r\n"
        + first
        + b"\r\n--b\r\n\r\n"
        + TEXT.encode()
        + b"\r\n--b\r\nContent-Type: application/x-odd\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\xff\xfe\r\nx"
        + b"\r\n--b\r\n"
        + last
        + b"\r\n--b--\r\n"
    )
    safe = seven_bit(raw)
    assert safe.isascii() and first in safe and last in safe
    assert [part.content() for part in parse(safe).children] == [part.content() for part in parse(raw).children]
    assert parse(safe).encoding == "7bit"


@pytest.mark.parametrize(
    "raw",
    [
        HEAD + b"\r\nplain\r\n",
        HEAD + b"Content-Type: text/plain\r\nContent-Type: text/html\r\n\r\n\xe9\r\n",
        HEAD
        + b'Content-Type: multipart/signed; protocol="application/pgp-signature"; boundary=b\r\n\r\n'
        + b"--b\r\nContent-Type: text/plain\r\n\r\n\xe9\r\n"
        + b"--b\r\nContent-Type: application/pgp-signature\r\n\r\nx\r\n--b--\r\n",
        b"\xe9" * 100,
        b"",
    ],
)
def test_what_is_safe_or_not_ours_stays(raw: bytes) -> None:
    assert seven_bit(raw) == raw or (not raw.startswith(HEAD) and seven_bit(raw).isascii())


def test_an_8bit_mail_is_signed_in_seven_bits(ann: Person, authority: Authority) -> None:
    raw = HEAD + b"Content-Type: text/plain; charset=utf-8\r\n\r\n" + TEXT.encode()
    signed = smime.sign(raw, ann.key, ann.der, [], NOW)
    assert signed.isascii()
    assert smime.open(signed, [], [authority.der], NOW, parse_address("ann@inside.test")).verdict.signed_ok
    assert parse(signed).children[0].content() == TEXT.encode()
