"""Facts: the outer header, decoded, and nothing else."""

from __future__ import annotations

import pytest

from securegw.mail.message import read
from securegw.policy.facts import Facts, gather


def facts_of(raw: bytes, sender: str = "Ann@Inside.test", usable=("smime",)) -> Facts:
    return gather(
        read(raw),
        direction="outgoing",
        sender=sender,
        recipient="Bob@Outside.test",
        inside=True,
        usable=usable,
    )


def test_gathered() -> None:
    raw = b"Subject: =?utf-8?q?gr=C3=BC=C3=9Fe?=\r\nX-One: a\r\nx-ONE: b\r\n\r\nbody"
    facts = facts_of(raw)
    assert (facts.sender, facts.recipient) == ("ann@inside.test", "bob@outside.test")
    assert facts.subject == "grüße"
    assert facts.headers["x-one"] == ("a", "b")
    assert (facts.size, facts.usable) == (len(raw), {"smime"})
    assert not facts.calendar and not facts.notice


def test_no_header_no_facts() -> None:
    facts = facts_of(b"\r\nSubject: [confidential]\r\n")
    assert (facts.subject, dict(facts.headers)) == ("", {})


def test_nobody_changes_them() -> None:
    facts = facts_of(b"Subject: a\r\n\r\n")
    with pytest.raises(TypeError):
        facts.headers["subject"] = ("b",)  # type: ignore[index]
    assert hash(facts) == hash(facts_of(b"Subject: a\r\n\r\n"))


def test_for_another_recipient() -> None:
    facts = facts_of(b"Subject: a\r\n\r\n").to("Carl@X.test", None)
    assert (facts.recipient, facts.usable, facts.direction) == ("carl@x.test", None, "outgoing")
    assert facts.to("d@inside.test", (), "internal").direction == "internal"


@pytest.mark.parametrize(
    ("header", "sender", "expected"),
    [
        (b"Auto-Submitted: auto-replied\r\n", "a@b.c", True),
        (b"Auto-Submitted: No\r\n", "a@b.c", False),
        (b"Auto-Submitted: no; x=y\r\n", "a@b.c", False),
        (b"X: y\r\n", "", True),
        (b"X: y\r\n", "a@b.c", False),
    ],
)
def test_automatic_mail(header, sender, expected) -> None:
    assert facts_of(header + b"\r\n", sender).notice is expected


REQUEST = b"Content-Type: text/calendar; method=REQUEST\r\n\r\nBEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n"


def multipart(kind: bytes, *parts: bytes) -> bytes:
    body = b"".join(b"--b\r\n" + part + b"\r\n" for part in parts)
    return b"Content-Type: multipart/" + kind + b"; boundary=b\r\n\r\n" + body + b"--b--\r\n"


TEXT = b"Content-Type: text/plain\r\n\r\nCome.\r\n"
PDF = b"Content-Type: application/pdf\r\n\r\nsecret\r\n"


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (REQUEST, True),
        (multipart(b"alternative", TEXT, REQUEST), True),
        (multipart(b"alternative", TEXT), False),
        (multipart(b"alternative", TEXT, REQUEST, PDF), False),
        (multipart(b"mixed", TEXT, REQUEST), False),
        (multipart(b"mixed", multipart(b"alternative", TEXT, REQUEST), PDF), False),
        (TEXT, False),
        (REQUEST + b"x" * (1 << 20), False),
    ],
)
def test_only_a_meeting_request_and_nothing_else_is_one(raw, expected) -> None:
    assert facts_of(b"MIME-Version: 1.0\r\n" + raw).calendar is expected


def test_two_content_types_make_no_meeting_request() -> None:
    assert not facts_of(b"Content-Type: text/calendar\r\nContent-Type: application/pdf\r\n\r\nx").calendar
