"""Journal reports: read to the last line or not at all (MS-XJRNL)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from securegw.mail import journal
from securegw.mail.journal import Recipient, read_report, unpack

ORIGINAL = b"From: ann@inside.test\r\nTo: bob@outside.test\r\nSubject: the original\r\n\r\nHello\r\n.\r\n"
FACTS = """\
Sender: ann@inside.test
Subject: the original
Message-ID: <1@inside.test>
To: bob@outside.test
Cc: carol@outside.test, Expanded: list@inside.test
Bcc: secret@outside.test
To: dave@inside.test, Forwarded: otto@inside.test
Recipient: eve@outside.test
"""
HEAD = (
    b"From: journal@inside.test\r\nTo: archive@inside.test\r\nSubject: report\r\nX-MS-Journal-Report:\r\n"
    b'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="x"\r\n\r\n'
)


def report(
    facts: str = FACTS, original: bytes = ORIGINAL, head: bytes = HEAD, kind: bytes = b"message/rfc822"
) -> bytes:
    told = facts.replace("\n", "\r\n").encode()
    return b"".join(
        (
            head,
            b'--x\r\nContent-Type: text/plain; charset="utf-8"\r\n\r\n',
            told,
            b"\r\n--x\r\nContent-Type: ",
            kind,
            b"\r\n\r\n",
            original,
            b"\r\n--x--\r\n",
        )
    )


def test_envelope_lists_and_blind_copies_are_read() -> None:
    found = read_report(report())
    assert found is not None
    assert found.sender == "ann@inside.test"
    assert found.recipients == (
        Recipient("To", "bob@outside.test"),
        Recipient("Cc", "carol@outside.test", "Expanded", "list@inside.test"),
        Recipient("Bcc", "secret@outside.test"),
        Recipient("To", "dave@inside.test", "Forwarded", "otto@inside.test"),
        Recipient("Recipient", "eve@outside.test"),
    )
    assert found.original == ORIGINAL


def test_the_original_is_unpacked_under_its_envelope() -> None:
    assert unpack(report()) == (
        b"X-Securegw-Journal-Sender: ann@inside.test\r\n"
        b"X-Securegw-Journal-To: bob@outside.test\r\n"
        b"X-Securegw-Journal-Cc: carol@outside.test; Expanded: list@inside.test\r\n"
        b"X-Securegw-Journal-Bcc: secret@outside.test\r\n"
        b"X-Securegw-Journal-To: dave@inside.test; Forwarded: otto@inside.test\r\n"
        b"X-Securegw-Journal-Recipient: eve@outside.test\r\n" + ORIGINAL
    )


def test_fields_that_the_original_has_forged_are_cut() -> None:
    forged = b"X-Securegw-Journal-Bcc: nobody@outside.test\r\nx-securegw-journal-sender: e@f.test\r\n" + ORIGINAL
    unpacked = unpack(report(original=forged))
    assert unpacked is not None
    assert b"nobody@outside.test" not in unpacked and unpacked.endswith(ORIGINAL)


def test_a_subject_is_one_line_whatever_is_in_it() -> None:
    found = read_report(report(FACTS.replace("the original", "one\u2028two\x85To: three@outside.test")))
    assert found is not None and len(found.recipients) == 5


def test_the_null_sender() -> None:
    found = read_report(report(FACTS.replace("Sender: ann@inside.test", "Sender: <>")))
    assert found is not None and found.sender == "<>"


@pytest.mark.parametrize(
    "raw",
    [
        ORIGINAL,
        report(head=HEAD.replace(b"X-MS-Journal-Report:\r\n", b"")),
        report(head=HEAD.replace(b"X-MS-Journal-Report:\r\n", b"X-MS-Journal-Report:\r\n" * 2)),
        report(head=HEAD.replace(b"multipart/mixed", b"multipart/alternative")),
        report(kind=b"text/plain"),
        report(kind=b"message/rfc822\r\nContent-Transfer-Encoding: base64"),
        report("Sender: ann@inside.test\nSubject: x\n"),
        report(FACTS + "Something: else\n"),
        report(FACTS + "To: not an address\n"),
        report(FACTS + "To: bob@outside.test, Deleted: x@y.test\n"),
        report(FACTS.replace("Sender: ann@inside.test", "Sender: ann\x0b@inside.test")),
        report(original=b""),
    ],
)
def test_what_is_not_understood_stays_a_report(raw: bytes) -> None:
    assert unpack(raw) is None


@given(st.binary(max_size=300), st.text(max_size=100))
def test_anything_is_read_without_an_exception(original: bytes, facts: str) -> None:
    raw = report(FACTS + facts, original)
    unpacked, found = unpack(raw), read_report(raw)
    if unpacked is not None and found is not None:
        told = unpacked.split(b"\r\n", 1 + len(found.recipients))[:-1]
        assert all(line.startswith(journal.PREFIX.encode()) for line in told)
