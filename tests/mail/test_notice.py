from __future__ import annotations

import email
import email.policy

import pytest

from securegw.flow.archive import LYING
from securegw.mail.message import check_wire, read
from securegw.mail.mime import Part, parse
from securegw.mail.notice import Facts, Failure, decode_xtext, may_be_notified, write_notice
from securegw.mail.texts import Texts

TEXTS = Texts()
ORIGINAL = (
    b"Received: from a by b; Mon\r\nFrom: ann@inside.test\r\nTo: bob@outside.test\r\n"
    b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?= <b>\r\nMessage-ID: <1@inside.test>\r\nX-Securegw-Key: secret\r\n"
    b"Disposition-Notification-To: ann@inside.test\r\nBcc: hidden@x.test\r\n\r\nSECRET BODY\r\n"
)


NOTHING = Facts()


def written(
    *failures: Failure,
    header: bytes = ORIGINAL,
    kind: str = "failed",
    language: str = "en",
    sender: str = "ann@inside.test",
    facts: Facts = NOTHING,
) -> bytes:
    raw = write_notice(
        TEXTS, host="gw.test", sender=sender, original_header=header, failures=failures, kind=kind,
        language=language, date=0.0, facts=facts,
    )  # fmt: skip
    check_wire(raw)
    assert max(map(len, raw.split(b"\r\n"))) <= 998
    return raw


def parts(raw: bytes) -> tuple[Part, Part, Part]:
    report = parse(raw)
    assert report.kind == "multipart/report"
    assert report.parameters["report-type"] == "delivery-status"
    alternative, status, header = report.children
    assert (status.kind, header.kind) == ("message/delivery-status", "text/rfc822-headers")
    return alternative, status, header


def words(raw: bytes) -> str:
    return parts(raw)[0].children[0].text()


def test_a_failure_for_persons_and_programs() -> None:
    raw = written(Failure("bob@outside.test", "5.1.1", "550 5.1.1 no such user", remote="mx.outside.test"))
    message = read(raw)
    assert message.first("auto-submitted") == "auto-replied"
    assert message.first("in-reply-to") == "<1@inside.test>"
    assert message.first("from") == "Mail Delivery System <MAILER-DAEMON@gw.test>"
    alternative, status, _ = parts(raw)
    assert "bob@outside.test" in words(raw)
    assert "The recipient's mailbox does not exist." in words(raw)
    assert "Grüße <b>" in words(raw)
    assert "Grüße &lt;b&gt;" in alternative.children[1].text()
    groups = status.content().split(b"\r\n\r\n")
    assert groups[0] == b"Reporting-MTA: dns; gw.test"
    assert groups[1].split(b"\r\n") == [
        b"Final-Recipient: rfc822; bob@outside.test",
        b"Action: failed",
        b"Status: 5.1.1",
        b"Remote-MTA: dns; mx.outside.test",
        b"Diagnostic-Code: smtp; 550 5.1.1 no such user",
        b"",
    ]


def test_other_programs_read_the_report() -> None:
    raw = written(Failure("a@x.test"), Failure("b@x.test", "5.7.1", sentence="A rule refuses this message."))
    report = email.message_from_bytes(raw, policy=email.policy.default)
    status = next(part for part in report.walk() if part.get_content_type() == "message/delivery-status")
    groups = status.get_payload()
    assert [str(group["Final-Recipient"]) for group in groups[1:]] == ["rfc822; a@x.test", "rfc822; b@x.test"]


def test_only_header_fields_go_back_and_none_of_ours() -> None:
    raw = written(Failure("bob@outside.test"))
    assert b"SECRET" not in raw
    returned = parts(raw)[2].content()
    assert returned.startswith(b"Received: from a by b; Mon\r\n")
    for gone in (b"X-Securegw", b"secret", b"Disposition-Notification-To", b"hidden@x.test"):
        assert gone not in returned
    assert parts(written(Failure("a@x.test"), header=b"no header, only secrets"))[2].content() == b""


def test_a_long_or_eight_bit_header_is_bounded_and_safe() -> None:
    header = (
        b"X-Long: "
        + "ä".encode() * 3000
        + b"\r\n"
        + b"X-More: y\r\n" * 1900
        + b"X-Huge: "
        + b"z" * 60_000
        + b"\r\n\r\n"
    )
    raw = written(Failure("a@x.test"), header=header)
    assert raw.isascii()
    assert b"zzzz" not in raw
    assert parts(raw)[2].content().startswith("X-Long: ää".encode())


def test_german_and_delayed() -> None:
    raw = written(Failure("bob@outside.test", "4.4.1", "timed out"), kind="delayed", language="de")
    assert read(raw).first("subject") == "=?utf-8?b?VmVyesO2Z2VydDogR3LDvMOfZSA8Yj4=?="
    assert "nicht erreichbar" in words(raw)
    assert "Bitte senden Sie die Mail nicht noch einmal." in words(raw)
    assert b"Action: delayed\r\nStatus: 4.4.1\r\nDiagnostic-Code: x-securegw; timed out\r\n" in raw


def test_our_own_sentence_comes_first_and_once() -> None:
    sentence = "A rule refuses this message."
    text = words(written(Failure("a@x.test", "5.7.1", diagnostic=sentence, sentence=sentence)))
    assert text.count(sentence) == 1
    german = words(written(Failure("a@x.test", "5.7.1", sentence=sentence), language="de"))
    assert "Eine Regel lehnt diese Nachricht ab." in german


@pytest.mark.parametrize(
    ("status", "action", "expected"),
    [("5.1.1", "failed", "5.1.1"), ("4.4.7", "failed", "5.4.7"), ("junk", "failed", "5.0.0"), ("", "delayed", "4.0.0"),
     ("5.1.1\r\nX: 1", "failed", "5.0.0"), ("2.0.0", "delivered", "2.0.0")],
)  # fmt: skip
def test_status_agrees_with_action(status: str, action: str, expected: str) -> None:
    assert f"\r\nStatus: {expected}\r\n".encode() in written(Failure("a@x.test", status, action=action))


@pytest.mark.parametrize(
    "evil", ["x\r\nAction: delivered\r\n\r\n--b", "x" * 5000, "\0\x1b[31m", "ä\u2028", "<script>x</script>", "--=_"]
)
def test_what_others_say_cannot_shape_the_notice(evil: str) -> None:
    raw = written(Failure(evil, "5.1.1", evil, remote=evil), header=b"Subject: s\r\n\r\n")
    alternative, status, _ = parts(raw)
    assert status.content().count(b"\r\nAction: failed\r\n") == 1
    assert b"\r\nAction: delivered" not in raw
    assert "<script>" not in alternative.children[1].text()
    assert raw.isascii()


def test_addresses_beyond_ascii_pass_everywhere() -> None:
    assert b"Final-Recipient: utf-8; j\\x{FC}rgen@x.test\r\n" in written(Failure("jürgen@x.test"))
    assert "jürgen@x.test" in words(written(Failure("jürgen@x.test")))


@pytest.mark.parametrize(
    ("sender", "header", "may"),
    [
        ("ann@inside.test", b"Subject: x", True),
        ("postmaster@inside.test", b"Subject: x", True),
        ("ann@inside.test", b"Auto-Submitted: no", True),
        ("ann@inside.test", b"Precedence: first-class", True),
        ("", b"Subject: x", False),
        (None, b"Subject: x", False),
        ("ann@inside.test", b"Auto-Submitted: auto-replied", False),
        ("ann@inside.test", b"auto-submitted: AUTO-GENERATED; x=y", False),
        ("ann@inside.test", b"Auto-Submitted: no\r\nAuto-Submitted: auto-replied", False),
        ("ann@inside.test", b"List-Id: <l.x.test>", False),
        ("ann@inside.test", b"Precedence: Bulk", False),
        ("MAILER-DAEMON@x.test", b"Subject: x", False),
        ("owner-list@x.test", b"Subject: x", False),
        ("list-bounces+ann=y.test@x.test", b"Subject: x", False),
        ("list-request@x.test", b"Subject: x", False),
    ],
)
def test_who_may_be_notified(sender: str | None, header: bytes, may: bool) -> None:
    assert may_be_notified(sender, read(header + b"\r\n\r\nbody")) is may


# --- what the sender asked for (RFC 3461, RFC 3464) -----------------------------------------------------------------


def groups(raw: bytes) -> list[list[str]]:
    return [group.split("\r\n") for group in parts(raw)[1].content().decode().strip().split("\r\n\r\n")]


def test_facts_of_the_mail_and_of_its_recipients() -> None:
    facts = Facts("A+2BB", 0.0, 3600.0, 432000.0)
    raw = written(Failure("bob@x.test", "4.4.1", original="RFC822;Bob+40old@x.test"), kind="delayed", facts=facts)
    assert groups(raw) == [
        [
            "Original-Envelope-Id: A+B",
            "Reporting-MTA: dns; gw.test",
            "Arrival-Date: Thu, 01 Jan 1970 00:00:00 +0000",
        ],
        [
            "Original-Recipient: rfc822; Bob@old@x.test",
            "Final-Recipient: rfc822; bob@x.test",
            "Action: delayed",
            "Status: 4.4.1",
            "Last-Attempt-Date: Thu, 01 Jan 1970 01:00:00 +0000",
            "Will-Retry-Until: Tue, 06 Jan 1970 00:00:00 +0000",
        ],
    ]


def test_who_said_nothing_reads_nothing_of_it() -> None:
    assert [line.partition(":")[0] for group in groups(written(Failure("b@x.test"))) for line in group] == [
        "Reporting-MTA", "Final-Recipient", "Action", "Status",
    ]  # fmt: skip


def test_only_a_delay_says_until_when() -> None:
    assert b"Will-Retry-Until" not in written(Failure("b@x.test"), facts=Facts(until=1.0))


@pytest.mark.parametrize(
    ("language", "subject", "sentence"),
    [("en", "Delivered", "lies in the mailbox."), ("de", "Zugestellt", "liegt im Postfach.")],
)
def test_delivered(language: str, subject: str, sentence: str) -> None:
    raw = written(Failure("b@x.test", "2.0.0", sentence=LYING), kind="delivered", language=language)
    assert groups(raw)[1][1:3] == ["Action: delivered", "Status: 2.0.0"]
    assert sentence in words(raw)
    assert subject in email.message_from_bytes(raw, policy=email.policy.default)["subject"]


@pytest.mark.parametrize("language", ["en", "de"])
def test_handed_over(language: str) -> None:
    failure = Failure("b@x.test", "2.0.0", "250 2.0.0 ok", remote="mx.x.test")
    raw = written(failure, kind="relayed", language=language)
    assert groups(raw)[1][1:3] == ["Action: relayed", "Status: 2.0.0"]
    expected = {"en": "has taken the mail.", "de": "hat die Mail angenommen."}
    assert expected[language] in words(raw)
    assert {"en": "Handed over", "de": "Übergeben"}[language] in email.message_from_bytes(
        raw, policy=email.policy.default
    )["subject"]


@pytest.mark.parametrize(
    "evil",
    [
        "a+0D+0AX-Evil: 1", "rfc822;a+0D+0AAction: delivered", "rfc822;a\r\nX: 1", "+00", "rfc822;" + "x" * 9999, "ä",
        "+FF",
    ],
)  # fmt: skip
def test_envid_and_orcpt_cannot_shape_the_notice(evil: str) -> None:
    raw = written(Failure("b@x.test", original=evil), facts=Facts(envid=evil))
    names = [line.partition(":")[0] for group in groups(raw) for line in group]
    assert set(names) <= {
        "Original-Envelope-Id", "Reporting-MTA", "Original-Recipient", "Final-Recipient", "Action", "Status",
    }  # fmt: skip
    assert names.count("Action") == 1
    assert raw.isascii()


@pytest.mark.parametrize(
    ("text", "plain"), [("a+2Bb", "a+b"), ("+3D", "="), ("a+2bb", "a+2bb"), ("+", "+"), ("+E4", "?"), ("", "")]
)
def test_xtext(text: str, plain: str) -> None:
    assert decode_xtext(text) == plain
