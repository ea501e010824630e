from __future__ import annotations

import email
import email.policy
from collections.abc import Mapping
from email.message import EmailMessage
from types import MappingProxyType
from typing import cast

import pytest

from securegw.mail.address import Address, Mailbox, header_mailboxes, parse_path
from securegw.mail.compose import Attachment, compose, date, message_id, plain
from securegw.mail.message import check_wire, read
from securegw.mail.mime import bodies, parse
from securegw.mail.texts import Text

ANN = Mailbox("Ann Kern", parse_path("ann@inside.test"))
SHORT = plain("s", "t")
BOB = parse_path("bob@outside.test")


def written(
    text: Text = SHORT,
    *,
    sender: Mailbox | Address | str = ANN,
    to: tuple[Mailbox | Address, ...] = (BOB,),
    headers: Mapping[str, str] = MappingProxyType({}),
    attachments: tuple[Attachment, ...] = (),
) -> bytes:
    raw = compose(
        sender=sender, to=to, text=text, message_id="<1@gw.test>", date=0.0, headers=headers, attachments=attachments
    )
    check_wire(raw)
    assert max(map(len, raw.split(b"\r\n"))) <= 998
    assert raw.endswith(b"\r\n")
    return raw


def as_others_read(raw: bytes) -> EmailMessage:
    return cast(EmailMessage, email.message_from_bytes(raw, policy=email.policy.default))


def test_a_whole_mail() -> None:
    raw = written(
        Text("Grüße", "Hällo\nzwei\n", "<p>Hällo</p>\n"),
        headers={"Auto-Submitted": "auto-generated"},
        attachments=(Attachment("bericht.pdf", "application/pdf", b"\0\1\2" * 100),),
    )
    others = as_others_read(raw)
    assert others["Subject"] == "Grüße"
    assert others["Date"] == "Thu, 01 Jan 1970 00:00:00 +0000"
    assert [part.get_content_type() for part in others.walk()] == [
        "multipart/mixed",
        "multipart/alternative",
        "text/plain",
        "text/html",
        "application/pdf",
    ]
    found = bodies(parse(raw))
    assert found.text is not None and found.text.text() == "Hällo\nzwei\n"
    assert found.html is not None and found.html.text() == "<p>Hällo</p>\n"
    assert found.attachments[0].content() == b"\0\1\2" * 100
    assert found.attachments[0].filename == "bericht.pdf"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "a\nb\r\nc\rd",
        "x" * 5000,
        "ä" * 5000,
        "日本語" * 50,
        "a\0b",
        ".\n.\n",
        "From x\n",
        "trailing \n",
        "€ x",
    ],
)
def test_any_text_comes_back(text: str) -> None:
    expected = text.replace("\r\n", "\n").replace("\r", "\n")
    assert parse(written(plain("s", text))).text().removesuffix("\n") == expected.removesuffix("\n")
    both = bodies(parse(written(Text("s", text, f"<p>{text}</p>"))))
    assert both.text is not None and both.text.text() == expected
    assert both.html is not None and both.html.text() == f"<p>{expected}</p>"


@pytest.mark.parametrize(
    "name",
    ["a.pdf", 'q"u\\o.pdf', "ä.pdf", "日本" * 60 + ".pdf", "x" * 300, "../../etc/passwd", "a b.txt", "%41.txt", ""],
)
def test_any_file_name_comes_back(name: str) -> None:
    raw = written(attachments=(Attachment(name, "application/pdf", b"x"),))
    assert (bodies(parse(raw)).attachments[0].filename or "") == name[:255]
    attached = next(iter(as_others_read(raw).iter_attachments()))
    assert (attached.get_filename() or "") == name


def test_a_file_name_cannot_add_a_field() -> None:
    raw = written(attachments=(Attachment("a\r\nX-Evil: 1\r\n\r\nbody", "application/pdf", b"x"),))
    assert b"\r\nX-Evil" not in raw


@pytest.mark.parametrize("kind", ["text/html\r\nX: 1", "", "text", "message/rfc822", "multipart/mixed; boundary=x"])
def test_a_kind_that_no_file_has_becomes_no_kind(kind: str) -> None:
    raw = written(attachments=(Attachment("a", kind, b"x"),))
    assert bodies(parse(raw)).attachments[0].kind == "application/octet-stream"


def test_seven_bit_attachments_stay_readable_and_exact() -> None:
    page = b"<html>\r\n" + b"x" * 900 + b"\r\n</html>\r\n"
    raw = written(attachments=(Attachment("a.html", "text/html", page, encoding="7bit"),))
    assert page in raw
    assert bodies(parse(raw)).attachments[0].content() == page


@pytest.mark.parametrize("content", ["ä".encode(), b"x" * 2000, b"a\0b"])
def test_seven_bit_is_not_taken_at_its_word(content: bytes) -> None:
    raw = written(attachments=(Attachment("a.html", "text/html", content, encoding="7bit"),))
    assert bodies(parse(raw)).attachments[0].content() == content


@pytest.mark.parametrize("bad", ["a\r\nBcc: eve@evil.test", "a\nb", "a\rb", "a\0b"])
def test_line_breaks_in_values_are_refused(bad: str) -> None:
    for change in (
        {"text": plain(bad, "t")},
        {"sender": Mailbox(bad, BOB)},
        {"to": (Mailbox(bad, BOB),)},
        {"headers": {"X-A": bad}},
        {"headers": {bad: "x"}},
    ):
        with pytest.raises(ValueError, match=r"line break|not fit"):
            written(**change)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "name",
    [
        "Ann",
        "Kern, Ann",
        'Ann "A" Kern',
        "Änn Kérn",
        "a@b.test",
        "",
        "x" * 200,
        "ä" * 200,
        "=?utf-8?q?x?=",
        "J. R.",
        "\\",
    ],
)
def test_any_name_comes_back(name: str) -> None:
    raw = written(sender=Mailbox(name, BOB), to=tuple(Mailbox(name, BOB) for _ in range(30)))
    message = read(raw)
    for field in ("From", "To"):
        value = next(one.value for one in message.fields if one.name == field.encode())
        assert {(box.name, box.address) for box in header_mailboxes(value)} == {(name, BOB)}
    assert as_others_read(raw)["From"].addresses[0].addr_spec == str(BOB)


def test_sender_as_a_string_and_nobody_in_to() -> None:
    raw = written(sender="ann@INSIDE.test", to=())
    assert read(raw).first("from") == "ann@inside.test"
    assert read(raw).first("to") == "undisclosed-recipients:;"


def test_message_ids_are_new_and_dates_are_right() -> None:
    assert message_id("gw.test") != message_id("gw.test")
    assert message_id("gw.test").endswith("@gw.test>")
    assert date(1_700_000_000) == "Tue, 14 Nov 2023 22:13:20 +0000"
