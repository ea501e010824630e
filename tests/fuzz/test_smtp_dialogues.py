"""Both SMTP dialogues under any input, cut anywhere: no exception, bounded, and the same conversation."""

from __future__ import annotations

import itertools

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from securegw.clients.smtp_dialogue import Broken, Done, Mail, SmtpClientDialogue
from securegw.clients.smtp_dialogue import StartTLS as ClientStartTLS
from securegw.servers.smtp_commands import Reply
from securegw.servers.smtp_dialogue import SmtpDialogue
from securegw.servers.smtp_events import AskMessage, AskRecipient, AskSender, AskSignIn, Bounds, Close, Event, Send

COMMANDS = st.sampled_from(
    [
        b"EHLO a.test\r\n",
        b"HELO a.test\r\n",
        b"MAIL FROM:<a@b.test>\r\n",
        b"MAIL FROM:<> SIZE=12 BODY=8BITMIME\r\n",
        b"RCPT TO:<c@d.test>\r\n",
        b"RCPT TO:<no@d.test>\r\n",
        b"RSET\r\n",
        b"NOOP\r\n",
        b"VRFY x\r\n",
        b"QUIT\r\n",
        b"AUTH PLAIN AGEAYg==\r\n",
        b"AUTH LOGIN\r\nYQ==\r\n",
        b"Yg==\r\n",
        b"*\r\n",
        b"MAIL FROM:<\xc3\xa4@b.test> SMTPUTF8 RET=HDRS ENVID=a+2B\r\n",
        b"RCPT TO:<c@d.test> NOTIFY=SUCCESS ORCPT=rfc822;c@d.test\r\n",
        b"BDAT 0\r\n",
        b"BDAT 0 LAST\r\n",
        b"BDAT 8\r\nab\r\ncd\r\n",
        b"BDAT 8 LAST\r\nMAIL\r\n\r\n",
        b"BDAT 3\r\nx\r\nBDAT 3 LAST\r\n\ny\r",
        b"BDAT 600 LAST\r\n" + b"MAIL FROM:<x@y.test>\r\nRSET\r\n" * 21 + b"x" * 12,
        b"BDAT 9999 LAST\r\n",
        b"BDAT 18446744073709551616\r\n",
        b"BDAT -1\r\n",
        b"EHLO a.test\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\nBDAT 3\r\na\r\nBDAT 4 LAST\r\n\nb\r\n",
        b"MAIL\n",
        b"\r\n",
        b"GET / HTTP/1.1\r\n",
        b"NOOP\r",
        b"\0",
        # DATA and its text in one piece: whether a text runs ahead of its 354 is a matter of segments
        b"EHLO a.test\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\nDATA\r\ntext\r\n..\r\n.\r\n",
        b"RSET\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\nDATA\r\nbad\n.\r\nMAIL FROM:<x@y.test>\r\n.\r\n",
        b"RSET\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\nDATA\r\n" + b"z" * 600 + b"\r\n.\r\n",
    ]
)
YES, NO = Reply(250, "2.0.0", "yes"), Reply(550, "5.1.1", "no")


def converse(pieces: list[bytes]) -> tuple[bytes, list[Event]]:
    """What is said, and what else happens, when every question is answered at once."""
    dialogue = SmtpDialogue(Bounds("gw.test", 500, errors=5, junk=20, sign_in=True))
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
            if isinstance(event, AskSender | AskMessage | AskSignIn):
                todo += dialogue.answer(YES)
            elif isinstance(event, AskRecipient):
                todo += dialogue.answer(NO if event.recipient.local == "no" else YES)
    return said, happened


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = sorted({place % (len(data) + 1) for place in places} | {0, len(data)})
    return [data[begin:end] for begin, end in itertools.pairwise(edges)]


@given(st.lists(COMMANDS, max_size=12).map(b"".join), st.lists(st.integers(0, 10_000), max_size=12))
def test_any_cut_gives_the_same_conversation(data: bytes, places: list[int]) -> None:
    whole = converse([data])
    assume(Close("text sent ahead of a refused DATA") not in whole[1])  # only a segment can show that
    assert whole == converse(cut(data, places))
    assert whole == converse(cut(data, list(range(len(data)))))


@given(st.lists(st.binary(max_size=40) | COMMANDS, max_size=15))
def test_the_server_survives_anything(pieces: list[bytes]) -> None:
    said, happened = converse(pieces)
    assert said.count(b"\r\n") == said.count(b"\n") == said.count(b"\r") and said.isascii()
    assert all(len(line) <= 512 for line in said.split(b"\r\n"))
    assert sum(isinstance(event, Close) for event in happened) <= 1
    for event in happened:
        if isinstance(event, AskMessage):
            assert event.raw.count(b"\r\n") == event.raw.count(b"\n") == event.raw.count(b"\r")
            assert len(event.raw) <= 500 and event.recipients


@given(
    st.lists(st.binary(min_size=1, max_size=40) | st.sampled_from([b"\r", b"\n", b".", b"\r\n.\r\n"]), max_size=6),
    st.lists(st.integers(0, 600), max_size=12),
)
def test_any_cut_of_any_chunks_gives_the_same_message(chunks: list[bytes], places: list[int]) -> None:
    wire = b"EHLO a.test\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\n"
    wire += b"".join(b"BDAT %d\r\n" % len(chunk) + chunk for chunk in chunks) + b"BDAT 0 LAST\r\nNOOP\r\n"
    whole = converse([wire])
    assert whole == converse(cut(wire, places))
    text = b"".join(chunks)
    taken = [event.raw for event in whole[1] if isinstance(event, AskMessage)]
    if set(text.replace(b"\r\n", b"")) & set(b"\r\n\0"):
        assert taken == [] and isinstance(whole[1][-1], Close)
    else:
        assert taken == [text if not text or text.endswith(b"\r\n") else text + b"\r\n"]
        assert whole[0].endswith(b"250 2.0.0 Yes\r\n")


REPLIES = st.sampled_from(
    [
        b"220 host ESMTP\r\n",
        b"250-host\r\n250-PIPELINING\r\n250 SIZE 1000\r\n",
        b"250-host\r\n250-PIPELINING\r\n250 CHUNKING\r\n",
        b"250-host\r\n250 STARTTLS\r\n",
        b"250 2.1.0 ok\r\n",
        b"354 go\r\n",
        b"421 bye\r\n",
        b"550 5.1.1 no\r\n",
        b"451 later\n",
        b"25",
        b"250-x\r\n" * 200,
        b"x" * 3000,
    ]
)


@settings(max_examples=200)
@given(st.lists(REPLIES | st.binary(max_size=30), max_size=12), st.sampled_from(["none", "may", "encrypt"]))
def test_the_client_survives_anything_and_answers_once(pieces: list[bytes], tls: str) -> None:
    dialogue = SmtpClientDialogue("gw.test", tls=tls)  # type: ignore[arg-type]
    mail = Mail("a@b.test", ("c@d.test", "e@f.test"), b"text\r\n")
    done: list[Done] = []
    ended, sent = False, False
    for piece in pieces:
        for event in dialogue.receive(piece):
            assert not ended
            ended = isinstance(event, Broken) or (isinstance(event, Done) and not event.reusable)
            done += [event] if isinstance(event, Done) else []
            if isinstance(event, ClientStartTLS):
                dialogue.secured()
        if dialogue.stage == "idle" and not sent:
            sent = True
            done += [event for event in dialogue.send(mail, in_one=True) if isinstance(event, Done)]
    done += [event for event in dialogue.lost("gone") if isinstance(event, Done)]
    assert len(done) == int(sent)
    for result in done:
        assert set(result.replies) == set(mail.recipients)
        assert all(200 <= reply.code < 600 and not 300 <= reply.code < 400 for reply in result.replies.values())
