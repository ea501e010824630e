"""What the tests of the client's dialogue share: a server's words and what our side makes of them."""

from __future__ import annotations

from securegw.clients.smtp_dialogue import SmtpClientDialogue, Tls
from securegw.clients.smtp_envelope import Mail
from securegw.clients.smtp_events import Done, Event, Ready, Send

EHLO = b"250-mx.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE 100000\r\n"
PLAIN = b"250 mx.test\r\n"
MAIL = Mail("ann@inside.test", ("bob@outside.test", "carl@outside.test"), b"Subject: x\r\n\r\ntext\r\n")


def sent(events: list[Event]) -> bytes:
    return b"".join(event.data for event in events if isinstance(event, Send))


def done(events: list[Event]) -> Done:
    [result] = [event for event in events if isinstance(event, Done)]
    return result


def codes(result: Done) -> list[tuple[int, str]]:
    return [(reply.code, reply.status) for reply in result.replies.values()]


def ready(ehlo: bytes = EHLO, tls: Tls = "none") -> SmtpClientDialogue:
    dialogue = SmtpClientDialogue("gw.test", tls=tls, remote="mx.test:25")
    assert sent(dialogue.receive(b"220 mx.test\r\n")) == b"EHLO gw.test\r\n"
    assert dialogue.receive(ehlo) == [Ready()]
    return dialogue
