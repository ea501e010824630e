"""Any bytes to the server's SMTP dialogue and to the PROXY reader, guided by coverage.

Run by hand: ``python -m tests.fuzz.atheris_smtp [seconds]``. Without atheris (it is optional) random bytes made of the
words of SMTP take its place for a few seconds, and it says so.
"""

from __future__ import annotations

import random

from securegw.servers.proxy_header import SIGNATURE, BadProxyHeader, ProxyReader
from securegw.servers.smtp_commands import Reply
from securegw.servers.smtp_dialogue import SmtpDialogue
from securegw.servers.smtp_events import AskMessage, AskRecipient, AskSender, AskSignIn, Bounds, Close, Event, Send
from tests.fuzz.driver import drive

SIZE = 500
WORDS = (
    b"EHLO a\r\n",
    b"HELO a\r\n",
    b"MAIL FROM:<a@b.test>",
    b" SMTPUTF8",
    b" SIZE=9",
    b" RET=FULL",
    b"\r\n",
    b"RCPT TO:<c@d.test>",
    b" NOTIFY=NEVER",
    b" ORCPT=rfc822;",
    b"DATA\r\n",
    b".\r\n",
    b"\r\n.\r\n",
    b"BDAT ",
    b"0",
    b"7",
    b" LAST",
    b"x",
    b"\r",
    b"\n",
    b"\0",
    b"AUTH PLAIN ",
    b"AGEAYg==",
    b"AUTH LOGIN\r\n",
    b"*\r\n",
    b"RSET\r\n",
    b"QUIT\r\n",
    b"STARTTLS\r\n",
    SIGNATURE,
    b"PROXY TCP4 192.0.2.1 192.0.2.2 1 25\r\n",
    b"\x21\x11\0\x0c",
    b"\x20\0\0\0",
)


def try_one(data: bytes) -> None:
    """The first byte decides about the cuts; everything else is what the peer sends."""
    if data:
        _talk(data[1:], 1 + data[0] % 64)
        _read_proxy(data[1:])


def _talk(data: bytes, size: int) -> None:
    dialogue = SmtpDialogue(Bounds("gw.test", SIZE, tls=True, errors=5, junk=20, sign_in=True))
    todo = dialogue.greet()
    closed = False
    for at in range(0, len(data), size):
        todo += dialogue.receive(data[at : at + size])
        while todo:
            assert not closed, "something happened after the end"
            event = todo.pop(0)
            closed = isinstance(event, Close)
            todo += _carry_out(dialogue, event)


def _carry_out(dialogue: SmtpDialogue, event: Event) -> list[Event]:
    if isinstance(event, Send):
        assert event.data.isascii() and event.data.endswith(b"\r\n")
        return []
    if isinstance(event, AskMessage):
        ends = event.raw.count(b"\r\n")
        assert len(event.raw) <= SIZE and event.recipients
        assert ends == event.raw.count(b"\r") == event.raw.count(b"\n") and b"\0" not in event.raw
    if isinstance(event, AskMessage | AskRecipient | AskSender | AskSignIn):
        return dialogue.answer(Reply(250, "2.0.0", "yes"))
    return [] if isinstance(event, Close) else dialogue.secured()


def _read_proxy(data: bytes) -> None:
    try:
        found = ProxyReader().feed(data)
        assert found is None or data.endswith(found[1])
    except BadProxyHeader:
        pass


def made(source: random.Random) -> bytes:
    words = source.choices(WORDS, k=source.randrange(1, 30))
    return bytes([source.randrange(256)]) + b"EHLO a\r\n" * source.randrange(2) + b"".join(words)


if __name__ == "__main__":
    drive(try_one, made, words=WORDS)
