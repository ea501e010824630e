"""DSN and AUTH in the client's dialogue: wishes that are carried, passwords that are not told."""

from __future__ import annotations

import pytest

from securegw.clients.smtp_dialogue import SmtpClientDialogue, Tls
from securegw.clients.smtp_envelope import Mail
from securegw.clients.smtp_events import Broken, Event, Ready
from securegw.clients.smtp_sign_in import Login
from securegw.mail.envelope import Wishes
from tests.clients.dialogue_case import MAIL, done, ready, sent

# DSN


WISHES = {"bob@outside.test": Wishes("SUCCESS,FAILURE", "rfc822;bob+2Balias@outside.test")}
DSN = b"250-mx.test\r\n250-PIPELINING\r\n250 DSN\r\n"


def test_wishes_go_to_a_host_that_looks_after_them() -> None:
    mail = Mail(MAIL.sender, MAIL.recipients, MAIL.raw, wishes=WISHES, ret="HDRS", envid="QQ+3D1")
    dialogue = ready(DSN)
    assert sent(dialogue.send(mail)) == (
        b"MAIL FROM:<ann@inside.test> RET=HDRS ENVID=QQ+3D1\r\n"
        b"RCPT TO:<bob@outside.test> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;bob+2Balias@outside.test\r\n"
        b"RCPT TO:<carl@outside.test>\r\nDATA\r\n"
    )
    dialogue.receive(b"250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n")
    assert done(dialogue.receive(b"250 ok\r\n")).dsn
    other = ready()
    assert b"NOTIFY" not in sent(other.send(mail)) and b"RET" not in sent(other.send(mail))


@pytest.mark.parametrize("text", ["x\r\nRSET", "a b", "=", "x" * 600, "ü", "+zz", "", "rfc822;a\0b", "NEVER,SUCCESS"])
def test_5_2_19_a_wish_that_is_none_is_dropped(text: str) -> None:
    mail = Mail(
        MAIL.sender, MAIL.recipients, MAIL.raw, wishes={"bob@outside.test": Wishes(text, text)}, ret=text, envid="a b"
    )
    assert sent(ready(DSN).send(mail)) == (
        b"MAIL FROM:<ann@inside.test>\r\nRCPT TO:<bob@outside.test>\r\nRCPT TO:<carl@outside.test>\r\nDATA\r\n"
    )


# AUTH


LOGIN = Login("gateway", "open sesame")


def under_tls(auth: bytes, login: Login = LOGIN) -> tuple[SmtpClientDialogue, list[Event]]:
    dialogue = SmtpClientDialogue("gw.test", tls="encrypt", remote="mx.test:587", login=login)
    dialogue.receive(b"220 hi\r\n")
    dialogue.receive(b"250-mx.test\r\n250 STARTTLS\r\n")
    dialogue.receive(b"220 go\r\n")
    dialogue.secured()
    return dialogue, dialogue.receive(b"250-mx.test\r\n250 " + auth + b"\r\n")


def broken(events: list[Event]) -> Broken:
    assert isinstance(events[-1], Broken), events
    return events[-1]


@pytest.mark.parametrize("offer", [b"AUTH LOGIN PLAIN", b"auth plain login", b"AUTH=LOGIN PLAIN XOAUTH2"])
def test_sign_in_by_plain(offer: bytes) -> None:
    dialogue, events = under_tls(offer)
    assert sent(events) == b"AUTH PLAIN AGdhdGV3YXkAb3BlbiBzZXNhbWU=\r\n"
    assert dialogue.receive(b"235 2.7.0 welcome\r\n") == [Ready()]


def test_sign_in_by_login() -> None:
    dialogue, events = under_tls(b"AUTH LOGIN CRAM-MD5")
    assert sent(events) == b"AUTH LOGIN\r\n"
    assert sent(dialogue.receive(b"334 VXNlcm5hbWU6\r\n")) == b"Z2F0ZXdheQ==\r\n"
    assert sent(dialogue.receive(b"334 UGFzc3dvcmQ6\r\n")) == b"b3BlbiBzZXNhbWU=\r\n"
    assert dialogue.receive(b"235 welcome\r\n") == [Ready()]


@pytest.mark.parametrize("tls", ["none", "may"])
def test_a_password_is_never_sent_in_clear_text(tls: Tls) -> None:
    dialogue = SmtpClientDialogue("gw.test", tls=tls, login=LOGIN)
    dialogue.receive(b"220 hi\r\n")
    events = dialogue.receive(b"250-mx.test\r\n250 AUTH PLAIN LOGIN\r\n")
    assert sent(events) == b"" and broken(events).reply.status == "4.7.11"


def test_a_refused_sign_in_waits_and_says_why_without_the_password() -> None:
    dialogue, _ = under_tls(b"AUTH PLAIN")
    reply = broken(dialogue.receive(b"535 5.7.8 not AGdhdGV3YXkAb3BlbiBzZXNhbWU= nor open sesame\r\n")).reply
    assert (reply.code, reply.status) == (451, "4.7.8") and "535 5.7.8 not *** nor ***" in reply.text


def test_a_server_that_repeats_the_password_later_is_not_quoted() -> None:
    dialogue, _ = under_tls(b"AUTH PLAIN")
    dialogue.receive(b"235 in\r\n")
    dialogue.send(MAIL)
    result = done(dialogue.receive(b"550 5.7.1 open sesame is a bad password\r\n" + b"503 x\r\n" * 3))
    assert {reply.text for reply in result.replies.values()} == {"*** is a bad password"}


@pytest.mark.parametrize("answer", [b"250 ok\r\n", b"334 more\r\n", b"354 go\r\n", b"\xff\r\n"])
def test_an_answer_that_is_none_to_a_sign_in(answer: bytes) -> None:
    dialogue, _ = under_tls(b"AUTH PLAIN")
    assert broken(dialogue.receive(answer)).reply.status == "4.5.0"


def test_no_way_to_sign_in() -> None:
    for offer, login in ((b"AUTH GSSAPI", LOGIN), (b"SIZE", LOGIN), (b"AUTH PLAIN", Login("a\0b", "c"))):
        _, events = under_tls(offer, login)
        assert sent(events) == b"" and broken(events).reply.status == "4.7.9"


def test_no_representation_has_a_password_or_a_mail() -> None:
    dialogue, events = under_tls(b"AUTH PLAIN")
    assert "AGdh" not in repr(events) and "sesame" not in repr(LOGIN)
    assert "text" not in repr(MAIL) and "sesame" not in repr(vars(dialogue)["_login"])
