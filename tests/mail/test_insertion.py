"""Banners go into the body that is read, in its own charset and encoding, once, and nothing else is touched."""

from __future__ import annotations

import base64
import quopri

import pytest

from securegw.mail.bodies import bodies
from securegw.mail.insertion import Insertion, insert
from securegw.mail.mime import parse
from tests.support.mails import read

BANNER = Insertion("b", "For the recipient alone.\nSecond line.", "<p>For the recipient alone.<br>Second line.</p>")
TOP = Insertion("t", "CAUTION: from outside", "<b>CAUTION: from outside</b>", top=True)
UMLAUT = Insertion("u", "Grüße – nur für Sie", "<p>Grüße – nur für Sie</p>")
HEAD = b"From: a@b.test\r\nSubject:   odd  one\r\nMIME-Version: 1.0\r\n"


def whole(kind: bytes, body: bytes, encoding: bytes = b"") -> bytes:
    cte = b"Content-Transfer-Encoding: " + encoding + b"\r\n" if encoding else b""
    return HEAD + b"Content-Type: " + kind + b"\r\n" + cte + b"\r\n" + body


def text_of(raw: bytes, kind: str = "text") -> str:
    part = getattr(bodies(parse(raw)), kind)
    return str(part.text())


def agrees_with_the_standard_library(raw: bytes, expected: str) -> None:
    body = read(raw).get_body(("plain",))
    assert body is not None
    assert expected in body.get_content()


def test_a_plain_text_at_the_end_and_on_top() -> None:
    raw = whole(b"text/plain; charset=us-ascii", b"hello\r\n")
    done = insert(raw, BANNER)
    assert done == raw + b"\r\nFor the recipient alone.\r\nSecond line.\r\n"
    assert insert(raw, TOP) == raw.replace(b"\r\n\r\nhello", b"\r\n\r\nCAUTION: from outside\r\n\r\nhello")
    agrees_with_the_standard_library(done, "Second line.")


@pytest.mark.parametrize(
    ("charset", "encoding", "body"),
    [
        (b"utf-8", b"8bit", "für dich\r\n".encode()),
        (b"iso-8859-1", b"8bit", "für dich\r\n".encode("latin-1")),
        (b"windows-1252", b"quoted-printable", quopri.encodestring("für dich".encode("cp1252")) + b"\r\n"),
        (b"utf-8", b"base64", base64.encodebytes("für dich\r\n".encode()).replace(b"\n", b"\r\n")),
        (b"utf-16", b"base64", base64.encodebytes("für dich\r\n".encode("utf-16")).replace(b"\n", b"\r\n")),
        (b"iso-2022-jp", b"7bit", "日本語\r\n".encode("iso-2022-jp")),
    ],
)
def test_the_charset_and_the_encoding_stay_where_they_can_hold_it(charset: bytes, encoding: bytes, body: bytes) -> None:
    raw = whole(b"text/plain; charset=" + charset, body, encoding)
    before = text_of(raw).strip()
    done = insert(raw, BANNER)
    assert before in text_of(done) and text_of(done).count("Second line.") == 1
    assert b"Content-Transfer-Encoding: " + encoding in done
    assert b"charset=" + charset in done
    agrees_with_the_standard_library(done, "Second line.")


@pytest.mark.parametrize("charset", [b"us-ascii", b"iso-8859-1", b"iso-2022-jp"])
def test_what_a_charset_cannot_hold_makes_the_part_utf8(charset: bytes) -> None:
    done = insert(whole(b'text/plain; charset="' + charset + b'"; format=flowed', b"hello\r\n", b"7bit"), UMLAUT)
    assert "Grüße – nur für Sie" in text_of(done)
    assert 'charset="utf-8"' in done.decode("ascii")
    assert b'format="flowed"' in done
    agrees_with_the_standard_library(done, "Grüße – nur für Sie")


def test_a_mail_that_says_nothing_of_itself() -> None:
    done = insert(b"From: a@b.test\r\nSubject: x\r\n\r\nhello\r\n", UMLAUT)
    assert b"MIME-Version: 1.0" in done
    assert text_of(done) == "hello\n\nGrüße – nur für Sie\n"
    plain = insert(b"From: a@b.test\r\nSubject: x\r\n\r\nhello\r\n", BANNER)
    assert plain.startswith(b"From: a@b.test\r\nSubject: x\r\n\r\nhello\r\n\r\nFor")


def test_html_before_the_end_of_the_body_and_behind_its_start() -> None:
    raw = whole(b"text/html; charset=utf-8", b"<html><BODY class=x><p>hi</p></BODY></html>\r\n")
    html = text_of(insert(raw, BANNER), "html")
    assert html.index("<p>hi</p>") < html.index("For the recipient") < html.index("</BODY>")
    html = text_of(insert(raw, TOP), "html")
    assert html.index("<BODY class=x>") < html.index("CAUTION") < html.index("<p>hi</p>")
    bare = text_of(insert(whole(b"text/html", b"hi"), BANNER), "html")
    assert bare.startswith("hi<div")


ALTERNATIVE = (
    b"preamble\r\n--b\r\nContent-Type: text/plain\r\n\r\nhello\r\n"
    b"--b\r\nContent-Type: multipart/related; boundary=r\r\n\r\n"
    b"--r\r\nContent-Type: text/html\r\n\r\n<p>hello</p>\r\n"
    b"--r\r\nContent-Type: image/png\r\nContent-ID: <p>\r\nContent-Transfer-Encoding: base64\r\n\r\nAAAA\r\n--r--\r\n"
    b"--b--\r\nepilogue\r\n"
)


def test_both_forms_of_an_alternative_and_nothing_else() -> None:
    raw = whole(b"multipart/alternative; boundary=b", ALTERNATIVE)
    done = insert(raw, BANNER)
    assert "Second line." in text_of(done) and "Second line." in text_of(done, "html")
    assert done.count(b"Second line.") == 2
    kept = done.replace(b"\r\n\r\nFor the recipient alone.\r\nSecond line.\r\n", b"", 1)
    kept = kept.replace(b'<div class="securegw-banner">' + BANNER.html.encode() + b"</div>\r\n", b"", 1)
    assert kept == raw


def test_attached_texts_are_left_alone() -> None:
    attached = b"--m\r\nContent-Type: text/plain\r\nContent-Disposition: attachment; filename=a.txt\r\n\r\nfile\r\n"
    first = b"--m\r\nContent-Type: text/plain\r\n\r\nhello\r\n"
    done = insert(whole(b"multipart/mixed; boundary=m", first + attached + b"--m--\r\n"), BANNER)
    assert done.count(b"Second line.") == 1
    assert attached in done
    only = whole(b"multipart/mixed; boundary=m", attached + b"--m--\r\n")
    assert insert(only, BANNER) == only


@pytest.mark.parametrize("banner", [BANNER, TOP, UMLAUT], ids=["bottom", "top", "umlaut"])
@pytest.mark.parametrize("kind", ["text/plain; charset=utf-8", "text/html; charset=utf-8"])
def test_it_is_not_put_in_twice(banner: Insertion, kind: str) -> None:
    once = insert(whole(kind.encode(), b"hello\r\n", b"8bit"), banner)
    assert insert(once, banner) == once


def test_not_in_an_answer_that_quotes_it() -> None:
    quoted = b"Yes.\r\n\r\nAnn wrote:\r\n> hello\r\n>\r\n> For the recipient\r\n> alone. Second line.\r\n"
    raw = whole(b"text/plain", quoted)
    assert insert(raw, BANNER) == raw
    html = b"<p>Yes</p><blockquote>For the recipient <i>alone.</i><br>Second&#32;line.</blockquote>"
    raw = whole(b"text/html", html)
    assert insert(raw, BANNER) == raw


def test_a_marker_is_replaced() -> None:
    marked = Insertion("m", "The text", "<p>The text</p>", marker="[disclaimer]")
    done = insert(whole(b"text/plain", b"a\r\n[disclaimer]\r\nb\r\n"), marked)
    assert text_of(done) == "a\nThe text\nb\n"
    html = text_of(insert(whole(b"text/html", b"a[disclaimer]b"), marked), "html")
    assert html == 'a<div class="securegw-banner"><p>The text</p></div>b\n'


PGP = b"-----BEGIN PGP SIGNED MESSAGE-----\r\nHash: SHA256\r\n\r\nhello\r\n-----BEGIN PGP SIGNATURE-----\r\n"


@pytest.mark.parametrize(
    "raw",
    [
        whole(b"multipart/signed; boundary=b; protocol=x", b"--b\r\n\r\nhi\r\n--b\r\nContent-Type: a/b\r\n\r\n--b--"),
        whole(b"multipart/encrypted; boundary=b; protocol=x", b"--b\r\n\r\nhello\r\n--b--\r\n"),
        whole(b"application/pkcs7-mime; smime-type=enveloped-data", b"AAAA", b"base64"),
        whole(b"text/plain", PGP),
        whole(b"text/plain\r\nContent-Type: text/html", b"hello"),
        whole(b"multipart/mixed; boundary=b", b"no such boundary"),
        whole(b"text/plain; charset=x-unknown", b"hello"),
        whole(b"image/png", b"AAAA", b"base64"),
        HEAD + b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n\r\nx\r\n" * 2000,
    ],
    ids=["signed", "encrypted", "sealed", "pgp", "two kinds", "no parts", "charset", "picture", "too many parts"],
)
def test_what_is_closed_or_not_certain_stays_as_it_is(raw: bytes) -> None:
    assert insert(raw, BANNER) == raw


def test_long_lines_stay_legal() -> None:
    raw = whole(b"text/plain; charset=utf-8", b"x" * 900 + b"\r\n", b"8bit")
    done = insert(raw, Insertion("l", "y" * 2000, "<p>y</p>"))
    assert max(map(len, done.split(b"\r\n"))) <= 998
    assert "y" * 2000 in text_of(done)


@pytest.mark.parametrize("body", [b"<" * 1_000_000, b"<body " * 200_000, b"> " * 1_000_000, b"\n>" * 500_000])
def test_what_is_built_to_cost_much_costs_little(body: bytes) -> None:
    """In quadratic time this would not come back."""
    for kind in (b"text/html", b"text/plain"):
        assert len(insert(whole(kind, body), BANNER)) > len(body)
