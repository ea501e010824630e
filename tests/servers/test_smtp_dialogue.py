"""The server's dialogue without a connection: order, bounds, and what never happens."""

from __future__ import annotations

from typing import Any

import pytest

from securegw.mail.address import Address
from securegw.servers.smtp_commands import Reply
from securegw.servers.smtp_dialogue import WAITING_LIMIT, SmtpDialogue
from securegw.servers.smtp_events import AskMessage, AskRecipient, AskSender, Bounds, Close, Send, StartTLS
from securegw.servers.smtp_parameters import Terms

YES = Reply(250, "2.0.0", "yes")
NO = Reply(550, "5.1.1", "no")


def begin(**bounds: Any) -> SmtpDialogue:
    dialogue = SmtpDialogue(Bounds("gw.test", 1000, tls=True, **bounds))
    assert dialogue.greet() == [Send(b"220 gw.test ESMTP\r\n")]
    dialogue.receive(b"EHLO client.test\r\n")
    return dialogue


def say(dialogue: SmtpDialogue, text: bytes) -> bytes:
    """Receive and answer every question with yes; what the client hears."""
    events = dialogue.receive(text)
    heard = b""
    while events:
        event = events.pop(0)
        if isinstance(event, Send):
            heard += event.data
        elif isinstance(event, AskSender | AskRecipient | AskMessage):
            events += dialogue.answer(YES)
    return heard


def codes(heard: bytes) -> list[int]:
    return [int(line[:3]) for line in heard.splitlines() if line[3:4] == b" "]


def test_a_batch_of_commands_is_one_send() -> None:
    [send] = begin().receive(b"NOOP\r\nNOOP\r\nRSET\r\n")
    assert isinstance(send, Send) and codes(send.data) == [250, 250, 250]


def test_one_command_at_a_time() -> None:
    dialogue = begin()
    [question] = dialogue.receive(b"MAIL FROM:<a@b.test> SIZE=7\r\nRCPT TO:<c@d.test>\r\nDATA\r\n")
    assert question == AskSender(Address("a", "b.test"), Terms(size=7))
    assert dialogue.asking
    assert dialogue.receive(b"") == []
    sent, question = dialogue.answer(YES)
    assert sent == Send(b"250 2.0.0 yes\r\n")
    assert question == AskRecipient(Address("a", "b.test"), Address("c", "d.test"))
    [sent] = dialogue.answer(YES)
    assert isinstance(sent, Send) and codes(sent.data) == [250, 354]


def test_quit_waits_for_the_message() -> None:
    """T8: final dot and QUIT in one segment."""
    dialogue = begin()
    say(dialogue, b"MAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\nDATA\r\n")
    [question] = dialogue.receive(b"text\r\n.\r\nQUIT\r\n")
    assert question == AskMessage(Address("a", "b.test"), (Address("c", "d.test"),), Terms(), b"text\r\n")
    sent, closed = dialogue.answer(Reply(250, "2.0.0", "taken"))
    assert isinstance(sent, Send) and codes(sent.data) == [250, 221]
    assert closed == Close("quit")


def test_who_talks_before_the_greeting_is_turned_away() -> None:
    dialogue = SmtpDialogue(Bounds("gw.test", 1000))
    sent, closed = dialogue.receive(b"EHLO early.test\r\n")
    assert isinstance(sent, Send) and codes(sent.data) == [554]
    assert closed == Close("early talker")
    assert dialogue.receive(b"EHLO early.test\r\n") == []


def test_bytes_behind_starttls_end_the_session_without_a_word() -> None:
    assert begin().receive(b"STARTTLS\r\nN") == [Close("bytes behind STARTTLS")]


def test_starttls_forgets_the_transaction() -> None:
    dialogue = begin()
    say(dialogue, b"MAIL FROM:<a@b.test>\r\n")
    _sent, start = dialogue.receive(b"STARTTLS\r\n")
    assert start == StartTLS()
    dialogue.secured()
    assert codes(say(dialogue, b"RCPT TO:<c@d.test>\r\n")) == [503]
    assert b"STARTTLS" not in say(dialogue, b"EHLO client.test\r\n")


def test_without_a_certificate_there_is_no_starttls() -> None:
    dialogue = SmtpDialogue(Bounds("gw.test", 1000, tls=False))
    dialogue.greet()
    assert b"STARTTLS" not in say(dialogue, b"EHLO client.test\r\n")
    assert codes(say(dialogue, b"STARTTLS\r\n")) == [502]


def test_ten_thousand_commands_that_lead_nowhere() -> None:
    events = begin().receive(b"NOOP\r\nRSET\r\nVRFY x\r\n" * 3333)
    assert isinstance(events[0], Send)
    answers = codes(events[0].data)
    assert len(answers) == 52 and answers[-1] == 421
    assert events[1:] == [Close("junk")]


def test_under_stress_five_commands_that_lead_nowhere_are_enough() -> None:
    dialogue = begin(stressed=lambda: True)
    [send, close] = dialogue.receive(b"NOOP\r\n" * 10)
    assert isinstance(send, Send) and codes(send.data) == [250] * 6 + [421]
    assert close == Close("junk")


def test_a_message_pays_for_the_commands_before_it() -> None:
    dialogue = begin(junk=3)
    for _ in range(5):
        heard = say(dialogue, b"RSET\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\nDATA\r\n")
        assert codes(heard + say(dialogue, b".\r\n")) == [250, 250, 250, 354, 250]


def test_guessing_recipients_ends_the_connection() -> None:
    dialogue = begin(junk=3)
    say(dialogue, b"MAIL FROM:<a@b.test>\r\n")
    closed = False
    for number in range(4):
        dialogue.receive(b"RCPT TO:<u%d@d.test>\r\n" % number)
        closed = Close("junk") in dialogue.answer(NO)
        assert closed == (number == 3)


def test_the_recipient_after_the_last_is_told_to_come_again() -> None:
    dialogue = begin(recipients=3)
    heard = say(dialogue, b"MAIL FROM:<a@b.test>\r\n" + b"RCPT TO:<c@d.test>\r\n" * 5)
    assert codes(heard) == [250, 250, 250, 250, 452, 452]
    assert codes(say(dialogue, b"DATA\r\n")) == [354]


def test_a_hundred_thousand_recipients_are_cut_off() -> None:
    dialogue = begin()
    heard = codes(say(dialogue, b"MAIL FROM:<a@b.test>\r\n"))
    for _ in range(100):
        heard += codes(say(dialogue, b"RCPT TO:<c@d.test>\r\n" * 1000))
    assert heard.count(250) == 1001 and len(heard) < 2020 and heard[-1] == 421


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("<@relay.test:victim@d.test>", 553),
        ("<victim%d.test@gw.test>", 250),  # just a local part; whether it is ours is asked
        ("<d.test!victim>", 553),
        ('<"a b"@d.test>', 250),
        ('<"a>b"@d.test>', 250),
        ("<" + "l" * 64 + "@d.test>", 250),
        ("<" + "l" * 65 + "@d.test>", 553),
        ("<" + "l" * 3000 + "@d.test>", 553),
        ("<ü@d.test>", 553),
        ("<c@d.test.>", 553),
        ("<c@[127.0.0.1]>", 250),
        ("<>", 553),
        ("c@d.test", 501),
        ("<c@d.test> <e@f.test>", 501),
        ("<c@d.test>x", 501),
        ("<c@d.test", 501),
    ],
)
def test_recipients(path: str, code: int) -> None:
    dialogue = begin()
    assert codes(say(dialogue, b"MAIL FROM:<a@b.test>\r\n")) == [250]
    assert codes(say(dialogue, f"RCPT TO:{path}\r\n".encode())) == [code]


@pytest.mark.parametrize("name", ["a\x1b[31m", "a b", "x" * 256, "ä", ""])
def test_strange_names_of_clients_are_refused(name: str) -> None:
    dialogue = SmtpDialogue(Bounds("gw.test", 1000))
    dialogue.greet()
    assert codes(say(dialogue, f"EHLO {name}\r\n".encode()))[0] in {500, 501}
    assert dialogue.helo == ""


def test_a_reply_is_one_printable_line_whoever_wrote_it() -> None:
    assert Reply(550, "5.7.1", "no\r\n250 yes\x1b[31m " + "x" * 999).wire() == (
        b"550 5.7.1 no 250 yes [31m " + b"x" * 384 + b"\r\n"
    )


def test_an_owner_who_does_not_pause_is_cut_off() -> None:
    dialogue = begin()
    dialogue.receive(b"MAIL FROM:<a@b.test>\r\n")
    assert dialogue.receive(b"NOOP\r\n" * 1000) == []
    assert dialogue.receive(b"x" * WAITING_LIMIT) == [Close("too much sent ahead")]
    assert dialogue.answer(YES) == []


@pytest.mark.parametrize("place", [0, 1, 4095, 4096, 16383, 16384])
@pytest.mark.parametrize("bad", [b"\r", b"\n", b"\0"])
def test_lone_line_ends_anywhere(place: int, bad: bytes) -> None:
    dialogue = SmtpDialogue(Bounds("gw.test", 100_000))
    dialogue.greet()
    say(dialogue, b"EHLO c.test\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\nDATA\r\n")
    sent, closed = dialogue.receive(b"x" * place + bad + b"y" * 100 + b"\r\n.\r\nNOOP\r\n")
    assert isinstance(sent, Send) and sent.data.startswith(b"550 5.6.0 ") and codes(sent.data) == [550]
    assert isinstance(closed, Close)
