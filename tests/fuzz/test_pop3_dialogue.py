"""The POP3 dialogue under any input, cut anywhere: no exception, bounded, and the same conversation."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from securegw.servers.pop3_conversation import LINE_LIMIT
from securegw.servers.pop3_dialogue import Pop3Dialogue
from securegw.servers.pop3_events import Close, Event, Fetch, Finish, Send, SignIn, StartTLS, Trouble
from tests.support.pop3_door import DOTS, SHORT, mail

MAILS = [mail(1, SHORT), mail(2, DOTS, 3), mail(3, b"A: b\r\n\r\n" + b".x\r\n" * 50, 7)]
COMMANDS = st.sampled_from(
    [
        b"USER box\r\n",
        b"PASS secret\r\n",
        b"PASS wrong\r\n",
        b"USER box\r\nPASS secret\r\n",
        b"AUTH PLAIN AGJveABzZWNyZXQ=\r\n",
        b"AUTH PLAIN\r\nAGJveABzZWNyZXQ=\r\n",
        b"AUTH PLAIN\r\n*\r\n",
        b"AUTH\r\n",
        b"STAT\r\n",
        b"LIST\r\n",
        b"LIST 2\r\n",
        b"UIDL\r\n",
        b"UIDL 9\r\n",
        b"RETR 1\r\n",
        b"RETR 2\r\n",
        b"RETR 3\r\n",
        b"RETR -1\r\n",
        b"TOP 3 4\r\n",
        b"TOP 1 0\r\n",
        b"TOP 2 99999999999\r\n",
        b"DELE 1\r\n",
        b"DELE 3\r\n",
        b"RSET\r\n",
        b"NOOP\r\n",
        b"CAPA\r\n",
        b"UTF8\r\n",
        b"STLS\r\n",
        b"QUIT\r\n",
        b"\r\n",
        b"\xff\r\n",
        b"USER a\nPASS b\r\n",
        b"RETR\r",
        b"\0",
        b"x" * 1100,
    ]
)


def converse(pieces: list[bytes]) -> tuple[bytes, list[Event]]:
    """What is said, and what else happens, when every question is answered at once."""
    dialogue = Pop3Dialogue(errors=6)
    dialogue.secured()
    said, happened = b"", []
    todo = dialogue.greet()
    for piece in [b"", *pieces]:
        todo += dialogue.receive(piece)
        while todo:
            event = todo.pop(0)
            if isinstance(event, Send):
                said += event.data
                continue
            happened.append(event)
            todo += answer(dialogue, event)
    return said, happened


def answer(dialogue: Pop3Dialogue, event: Event) -> list[Event]:
    if isinstance(event, SignIn):
        good = event.password == "secret"
        return dialogue.opened(MAILS) if good else dialogue.refused(Trouble("AUTH", "no"))
    if isinstance(event, Finish):
        return dialogue.finished()
    if not isinstance(event, Fetch):
        return []
    events: list[Event] = []
    texts = MAILS[event.index].texts
    for number, text in enumerate(texts):
        if dialogue.question is event:
            events += dialogue.text(text, last=number + 1 == len(texts))
    assert dialogue.question is not event
    return events


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = sorted({place % (len(data) + 1) for place in places} | {0, len(data)})
    return [data[begin:end] for begin, end in itertools.pairwise(edges)]


@given(st.lists(COMMANDS, max_size=14).map(b"".join), st.lists(st.integers(0, 10_000), max_size=12))
def test_any_cut_gives_the_same_conversation(data: bytes, places: list[int]) -> None:
    assert converse(cut(data, places)) == converse([data])


@given(st.lists(st.binary(max_size=60), max_size=10))
def test_any_bytes(pieces: list[bytes]) -> None:
    said, happened = converse(pieces)
    assert said.endswith(b"\r\n") and said.count(b"\r") == said.count(b"\n")
    assert not any(isinstance(event, SignIn) for event in happened) or b"secret" not in said


@given(st.lists(COMMANDS, max_size=14))
def test_nothing_happens_after_the_end_and_only_quit_deletes(pieces: list[bytes]) -> None:
    _, happened = converse(pieces)
    ends = [number for number, event in enumerate(happened) if isinstance(event, Close)]
    assert len(ends) <= 1 and (not ends or ends[0] == len(happened) - 1)
    assert any(b"QUIT" in piece for piece in pieces) or not any(isinstance(event, Finish) for event in happened)
    assert not any(isinstance(event, StartTLS) for event in happened)  # it is under TLS already


@given(st.lists(COMMANDS, max_size=14))
def test_before_tls_nobody_is_asked_anything(pieces: list[bytes]) -> None:
    dialogue = Pop3Dialogue()
    for piece in pieces:
        for event in dialogue.receive(piece):
            assert isinstance(event, Send | Close | StartTLS)
        assert len(dialogue._buffer) <= LINE_LIMIT + len(piece)
