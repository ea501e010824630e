"""Whatever a mail is made of: looking into it, putting a text in and taking mails out of it never raises."""

from __future__ import annotations

import txaio

txaio.use_twisted()

from hypothesis import given  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from securegw.crypto.seal import MasterKey  # noqa: E402
from securegw.flow.cleaning import disarm  # noqa: E402
from securegw.flow.dressing import without_signature  # noqa: E402
from securegw.flow.inside import cited, look_inside, skim  # noqa: E402
from securegw.flow.proofs import Proofs  # noqa: E402
from securegw.flow.reprocess import attached, openable  # noqa: E402
from securegw.mail.insertion import Insertion, insert, rewrite  # noqa: E402
from securegw.mail.message import read  # noqa: E402
from securegw.policy.findings import read_pattern  # noqa: E402

PIECES = st.sampled_from(
    [
        b"Content-Type: multipart/mixed; boundary=b\r\n", b"Content-Type: multipart/alternative; boundary=b\r\n",
        b"Content-Type: multipart/signed; boundary=b\r\n", b"Content-Type: text/plain; charset=utf-8\r\n",
        b"Content-Type: text/html; charset=iso-2022-jp\r\n", b"Content-Type: text/plain; charset=utf-16\r\n",
        b"Content-Type: text/plain; charset=utf-7\r\n", b"Content-Type: message/rfc822\r\n",
        b"Content-Type: application/pkcs7-mime; name=smime.p7m\r\n", b"Content-Type: text/calendar\r\n",
        b"Content-Transfer-Encoding: base64\r\n", b"Content-Transfer-Encoding: quoted-printable\r\n",
        b"Content-Disposition: attachment; filename=a.eml\r\n", b"Content-ID: <a>\r\n", b"Message-ID: <a@b>\r\n",
        b"References: <a@b> <c\r\n", b"X-Securegw-Opened: a.AAAAAAAAAAAAAAAAAAAAAA\r\n",
        b"X-Securegw-Verdict: x; trace=a;\r\n", b"Subject: =?utf-8?b?4pyT?= case 123456\r\n", b"From: a@b.test\r\n",
        b"\r\n", b"--b\r\n", b"--b--\r\n", b"\n", b"\r", b"<p>text</p><img src=x>", "grüße".encode(), b"=FF=0",
        b"MIIB", b"\0", b"\xff\xfe", b"> quoted\r\n", b"x" * 1200,
    ]
)  # fmt: skip
mails = st.lists(st.one_of(PIECES, st.binary(max_size=12)), max_size=30).map(b"".join)
BANNERS = [
    Insertion("a", "For you – alone", "<p>For you – alone</p>"),
    Insertion("b", "On top", "<b>On top</b>", top=True, marker="text"),
]
PATTERNS = [read_pattern("p", ["case ######", "@@ ##~##"])]
PROOFS = Proofs(MasterKey.from_text(MasterKey.new_text()))


@given(mails)
def test_nothing_is_raised(raw: bytes) -> None:
    message = read(raw)
    for banner in BANNERS:
        insert(raw, banner)
    rewrite(raw, "text/html", disarm)
    without_signature(raw)
    skim(message)
    cited(message)
    assert len(look_inside(raw, PATTERNS).marks) <= 50
    assert PROOFS.check(message).mark in ("none", "forged")
    for inner in attached(raw):
        openable(inner)


@given(mails)
def test_what_is_put_in_is_put_in_once(raw: bytes) -> None:
    once = insert(raw, BANNERS[0])
    if once != raw:
        assert insert(once, BANNERS[0]) == once
