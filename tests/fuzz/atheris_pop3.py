"""Any bytes to the POP3 dialogue, and any text through the byte-stuffing, guided by coverage.

Run by hand: ``python -m tests.fuzz.atheris_pop3 [seconds]``. Without atheris (it is optional) random bytes made of the
words of POP3 take its place for a few seconds, and it says so.
"""

from __future__ import annotations

import random

import txaio

txaio.use_twisted()

from securegw.servers.pop3_conversation import LINE_LIMIT  # noqa: E402
from securegw.servers.pop3_dialogue import Pop3Dialogue  # noqa: E402
from securegw.servers.pop3_events import Close, Event, Fetch, Finish, Send, SignIn  # noqa: E402
from securegw.servers.pop3_text import Stuffer, Top  # noqa: E402
from tests.fuzz.driver import drive  # noqa: E402
from tests.support.pop3_door import DOTS, SHORT, mail  # noqa: E402

MAILS = [mail(1, SHORT, 4), mail(2, DOTS, 1)]
WORDS = (
    b"USER box\r\n",
    b"PASS secret\r\n",
    b"AUTH PLAIN ",
    b"AGJveABzZWNyZXQ=",
    b"\r\n",
    b"*\r\n",
    b"STAT\r\n",
    b"LIST ",
    b"UIDL ",
    b"RETR ",
    b"TOP ",
    b"DELE ",
    b"1",
    b"2",
    b" 9",
    b"-",
    b"RSET\r\n",
    b"QUIT\r\n",
    b"STLS\r\n",
    b"CAPA\r\n",
    b"UTF8\r\n",
    b".",
    b"\r",
    b"\n",
    b"\0",
    b"\xff",
)


def try_one(data: bytes) -> None:
    """The first byte decides about the cuts; everything else is what the peer sends, and a mail."""
    if data:
        size = 1 + data[0] % 64
        pieces = [data[at : at + size] for at in range(1, len(data), size)]
        _talk(pieces, secure=data[0] < 200)
        _stuff(pieces, data[0] % 8)


def _talk(pieces: list[bytes], *, secure: bool) -> None:
    dialogue = Pop3Dialogue(errors=5)
    if secure:
        dialogue.secured()
    todo = dialogue.greet()
    closed = False
    for piece in pieces:
        todo += dialogue.receive(piece)
        while todo:
            assert not closed, "something happened after the end"
            event = todo.pop(0)
            closed = isinstance(event, Close)
            assert secure or not isinstance(event, SignIn), "a password before TLS"
            todo += _carry_out(dialogue, event)
        assert len(dialogue._buffer) <= LINE_LIMIT


def _carry_out(dialogue: Pop3Dialogue, event: Event) -> list[Event]:
    if isinstance(event, SignIn):
        return dialogue.opened(MAILS)
    if isinstance(event, Finish):
        return dialogue.finished()
    if isinstance(event, Fetch):
        texts, events = MAILS[event.index].texts, []
        for number, text in enumerate(texts):
            if dialogue.question is event:
                events += dialogue.text(text, last=number + 1 == len(texts))
        return events
    if isinstance(event, Send):
        assert event.data
    return []


def _stuff(pieces: list[bytes], lines: int) -> None:
    stuffer, top = Stuffer(), Top(lines)
    wire = b"".join([*map(stuffer.feed, pieces), stuffer.end()])
    assert wire.endswith(b".\r\n") and not wire.startswith(b".\n")
    assert wire.count(b"\n.\r\n") == 1 if any(pieces) else wire == b".\r\n"
    assert b"".join(pieces).startswith(b"".join(top.feed(piece) for piece in pieces if not top.done))


def made(source: random.Random) -> bytes:
    words = source.choices(WORDS, k=source.randrange(1, 30))
    return bytes([source.randrange(256)]) + WORDS[0] * source.randrange(2) + WORDS[1] + b"".join(words)


if __name__ == "__main__":
    drive(try_one, made)
