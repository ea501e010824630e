"""Any bytes to the client's SMTP dialogue, guided by coverage: it answers once, and never gives up what is required.

Run by hand: ``python -m tests.fuzz.atheris_smtp_client [seconds]``. Without atheris (it is optional) random bytes
made of the words of SMTP take its place for a few seconds, and it says so.
"""

from __future__ import annotations

import base64
import random
from typing import get_args

from securegw.clients.hop import Tls
from securegw.clients.smtp_dialogue import Mail, SmtpClientDialogue
from securegw.clients.smtp_events import Broken, Done, Event, Ready, Send, SendText, StartTLS
from securegw.clients.smtp_sign_in import Login
from securegw.clients.smtp_text import PIECE, stuffed
from securegw.mail.envelope import Wishes
from tests.fuzz.driver import drive

LEVELS = get_args(Tls)
PASSWORD = "open sesame"
SECRETS = (PASSWORD.encode(), base64.b64encode(PASSWORD.encode()), base64.b64encode(f"\0gw\0{PASSWORD}".encode()))
MAILS = (
    Mail("a@b.test", ("c@d.test", "e@f.test"), b".\r\n..\r\ntext\r\n"),
    Mail("", ("c@d.test", "no address", "ü@d.test"), "Grüße\r\n".encode(), utf8=True, ret="HDRS", envid="x y"),
    Mail("a@b.test", ("c@d.test",), b"x\r\n" * PIECE, wishes={"c@d.test": Wishes("NEVER", "rfc822;x\r\n")}),
)
WORDS = (
    b"220 hi\r\n",
    b"220-hi\r\n",
    b"250-x\r\n",
    b"250-PIPELINING\r\n",
    b"250-CHUNKING\r\n",
    b"250-STARTTLS\r\n",
    b"250-AUTH PLAIN LOGIN\r\n",
    b"250-AUTH=LOGIN\r\n",
    b"250-DSN\r\n250-SMTPUTF8\r\n250-8BITMIME\r\n",
    b"250-SIZE 10\r\n",
    b"250 ok\r\n",
    b"250 2.1.0 ok\r\n" * 4,
    b"354 go\r\n",
    b"334 \r\n",
    b"235 2.7.0 in\r\n",
    b"421 4.3.2 bye\r\n",
    b"451 later\r\n",
    b"550 5.1.1 no\r\n",
    b"535 5.7.8 " + SECRETS[1] + b"\r\n",
    b"250",
    b"-",
    b" ",
    b"\r",
    b"\n",
    b"\xff\0",
    b"x" * 700,
)


class Talk:
    """One connection with a server that says ``data``; checks what our side says as it goes on."""

    def __init__(self, tls: Tls, *, sign_in: bool) -> None:
        self.tls = tls
        self.sign_in = sign_in
        self.secure = self.ended = False
        self.replies = 0
        self.mails = iter(MAILS)
        self.mail: Mail | None = None
        self.dialogue = SmtpClientDialogue("gw.test", tls=tls, login=Login("gw", PASSWORD) if sign_in else None)

    def hold(self, data: bytes, size: int) -> None:
        for at in range(0, len(data), size):
            self.perform(self.dialogue.receive(data[at : at + size]))
        self.perform(self.dialogue.lost("gone"))
        assert self.ended and self.mail is None

    def perform(self, events: list[Event]) -> None:
        for event in events:
            assert not self.ended, "something happened after the end"
            assert not self.sign_in or SECRETS[1].decode() not in repr(event)
            if isinstance(event, Send | SendText):
                self.say(event)
            elif isinstance(event, StartTLS):
                self.secure = True
                self.perform(self.dialogue.secured())
            elif isinstance(event, Broken):
                self.ended = True
                assert event.reply.code >= 200
            else:
                self.next_mail(event)

    def say(self, event: Send | SendText) -> None:
        if isinstance(event, SendText):
            assert self.mail is not None and b"".join(event.pieces) == b"".join(stuffed(self.mail.raw))
            self.dialogue.text_sent()
            return
        assert event.data.endswith(b"\r\n")
        if not self.secure:
            assert not any(secret in event.data for secret in SECRETS)
            assert self.tls in {"none", "may"} or not event.data.startswith((b"MAIL", b"RCPT", b"DATA", b"AUTH"))

    def next_mail(self, event: Ready | Done) -> None:
        if isinstance(event, Done):
            assert self.mail is not None and set(event.replies) == set(self.mail.recipients)
            for reply in event.replies.values():
                assert 200 <= reply.code < 300 or 400 <= reply.code < 600
                assert reply.status[0] == str(reply.code)[0]
            self.mail = None
            self.ended = not event.reusable
        if not self.ended:
            self.mail = next(self.mails, None)
            if self.mail:
                self.perform(self.dialogue.send(self.mail, in_one=True))
            else:
                self.perform(self.dialogue.quit())
                self.ended = True


def try_one(data: bytes) -> None:
    """The first byte decides about level, sign-in and cuts; a small one after it is a word, a larger one itself."""
    if data:
        talk = Talk(LEVELS[data[0] % len(LEVELS)], sign_in=bool(data[0] & 64))
        said = b"".join(WORDS[byte] if byte < len(WORDS) else bytes([byte]) for byte in data[1:])
        talk.hold(said, 1 + data[0] % 64)


def made(source: random.Random) -> bytes:
    words = source.choices(range(len(WORDS)), k=source.randrange(1, 30))
    return bytes([source.randrange(256), *[0] * source.randrange(2), *words])


if __name__ == "__main__":
    drive(try_one, made)
