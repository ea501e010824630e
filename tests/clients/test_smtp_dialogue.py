"""The client's dialogue without a connection: what it sends, and what it makes of any answer."""

from __future__ import annotations

import random

import pytest

from securegw.clients.smtp_dialogue import SmtpClientDialogue, Tls
from securegw.clients.smtp_envelope import Mail
from securegw.clients.smtp_events import Broken, Done, Ready, Send, StartTLS
from securegw.clients.smtp_replies import Reply
from tests.clients.dialogue_case import EHLO, MAIL, PLAIN, codes, done, ready, sent
from tests.fuzz.atheris_smtp_client import WORDS, try_one


def test_a_pipelined_envelope_is_one_send_and_the_text_follows() -> None:
    dialogue = ready()
    [envelope] = dialogue.send(MAIL)
    assert envelope == Send(
        b"MAIL FROM:<ann@inside.test> SIZE=20\r\nRCPT TO:<bob@outside.test>\r\nRCPT TO:<carl@outside.test>\r\nDATA\r\n"
    )
    text = dialogue.receive(b"250 2.1.0 ok\r\n250 ok\r\n550 5.1.1 no carl\r\n354 go\r\n")
    assert sent(text) == MAIL.raw + b".\r\n"
    result = done(dialogue.receive(b"250 2.0.0 taken as 1\r\n"))
    assert result.reusable
    assert result.replies == {
        "bob@outside.test": Reply(250, "2.0.0", "taken as 1", "mx.test:25"),
        "carl@outside.test": Reply(550, "5.1.1", "no carl", "mx.test:25"),
    }


def test_without_pipelining_one_command_at_a_time() -> None:
    dialogue = ready(PLAIN)
    assert sent(dialogue.send(MAIL)) == b"MAIL FROM:<ann@inside.test>\r\n"
    assert sent(dialogue.receive(b"250 ok\r\n")) == b"RCPT TO:<bob@outside.test>\r\n"
    assert sent(dialogue.receive(b"250 ok\r\n")) == b"RCPT TO:<carl@outside.test>\r\n"
    assert sent(dialogue.receive(b"250 ok\r\n")) == b"DATA\r\n"
    assert sent(dialogue.receive(b"354 go\r\n")) == MAIL.raw + b".\r\n"
    assert codes(done(dialogue.receive(b"250 ok\r\n"))) == [(250, "2.0.0")] * 2


def test_without_pipelining_nothing_follows_a_refused_sender() -> None:
    dialogue = ready(PLAIN)
    dialogue.send(MAIL)
    result = done(dialogue.receive(b"451 4.7.1 greylisted\r\n"))
    assert codes(result) == [(451, "4.7.1")] * 2 and result.reusable
    assert sent(dialogue.send(MAIL)) == b"RSET\r\n"
    assert sent(dialogue.receive(b"250 ok\r\n")) == b"MAIL FROM:<ann@inside.test>\r\n"


def test_without_pipelining_no_data_for_nobody() -> None:
    dialogue = ready(PLAIN)
    dialogue.send(MAIL)
    dialogue.receive(b"250 ok\r\n")
    dialogue.receive(b"550 no\r\n")
    events = dialogue.receive(b"450 later\r\n")
    assert sent(events) == b"" and codes(done(events)) == [(550, "5.0.0"), (450, "4.0.0")]


def test_a_refused_sender_counts_for_all_and_the_next_mail_begins_with_rset() -> None:
    dialogue = ready()
    dialogue.send(MAIL)
    result = done(dialogue.receive(b"550 5.7.1 no\r\n503 x\r\n503 x\r\n503 x\r\n"))
    assert codes(result) == [(550, "5.7.1")] * 2 and result.reusable
    assert sent(dialogue.send(MAIL)).startswith(b"RSET\r\nMAIL FROM")
    dialogue.receive(b"250 reset\r\n250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n")
    assert codes(done(dialogue.receive(b"250 ok\r\n"))) == [(250, "2.0.0")] * 2
    assert sent(dialogue.send(MAIL)).startswith(b"MAIL FROM")  # after a message nothing is open


def test_354_though_nobody_was_accepted_sends_no_text() -> None:
    dialogue = ready()
    dialogue.send(MAIL)
    events = dialogue.receive(b"250 ok\r\n550 no\r\n550 no\r\n354 go\r\n")
    assert sent(events) == b"" and not done(events).reusable
    assert codes(done(events)) == [(550, "5.0.0")] * 2


def test_data_refused() -> None:
    dialogue = ready()
    dialogue.send(MAIL)
    result = done(dialogue.receive(b"250 ok\r\n250 ok\r\n550 5.1.1 no\r\n452 4.3.1 full\r\n"))
    assert result.replies["bob@outside.test"].status == "4.3.1"
    assert result.replies["carl@outside.test"].status == "5.1.1"
    assert result.reusable


@pytest.mark.parametrize("stage", range(6))
def test_5_2_17_421_at_any_stage_is_a_temporary_failure_for_the_rest(stage: int) -> None:
    dialogue = ready()
    dialogue.send(MAIL)
    answers = [b"250 ok\r\n", b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n", b"250 taken\r\n"]
    events = dialogue.receive(b"".join(answers[:stage]) + b"421 4.3.2 going down\r\n")
    result = done(events[:3])
    if stage < 5:
        assert codes(result) == [(421, "4.3.2")] * 2 and not result.reusable
        assert result.untouched == (stage == 0)
    else:
        assert codes(result) == [(250, "2.0.0")] * 2


def test_5_2_17_a_lost_connection_after_the_text_is_temporary() -> None:
    dialogue = ready()
    dialogue.send(MAIL)
    dialogue.receive(b"250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n")
    result = done(dialogue.lost("reset by peer"))
    assert codes(result) == [(451, "4.4.2")] * 2 and not result.untouched and not result.reusable
    assert dialogue.receive(b"250 ok\r\n") == [] == dialogue.lost("again")


def test_a_lost_connection_before_any_word_leaves_the_mail_untouched() -> None:
    dialogue = ready()
    dialogue.send(MAIL)
    assert done(dialogue.lost("gone")).untouched


@pytest.mark.parametrize(
    "answer",
    [
        b"354 too early\r\n",
        b"hello\r\n",
        b"250-one\r\n251 two\r\n",
        b"250" + b"x" * 2000,
        b"250-x\r\n" * 101,
        b"x" * 10_000_000,
        b"999 ?\r\n",
    ],
)
def test_5_2_17_what_is_no_reply_ends_the_connection(answer: bytes) -> None:
    dialogue = ready()
    dialogue.send(MAIL)
    result = done(dialogue.receive(answer))
    assert codes(result) == [(451, "4.5.0")] * 2 and not result.reusable


def test_a_reply_to_nothing_ends_the_connection() -> None:
    dialogue = ready()
    [broken] = dialogue.receive(b"250 surprise\r\n")
    assert isinstance(broken, Broken)


def test_what_follows_good_news_in_the_same_piece_takes_it_back() -> None:
    """Else the next mail would go over a connection that is out of step."""
    dialogue = ready()
    dialogue.send(MAIL)
    dialogue.receive(b"250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n")
    [result] = dialogue.receive(b"250 taken\r\n250 surprise\r\n")
    assert isinstance(result, Done) and not result.reusable and codes(result) == [(250, "2.0.0")] * 2
    greeted = SmtpClientDialogue("gw.test", tls="none")
    greeted.receive(b"220 hi\r\n")
    [broken_event] = greeted.receive(EHLO + b"250 surprise\r\n")
    assert isinstance(broken_event, Broken)


def test_replies_of_many_lines_and_lone_line_feeds() -> None:
    dialogue = ready()
    dialogue.send(MAIL)
    dialogue.receive(b"250-2.1.0 one\n250 2.1.0 two\n250 ok\r\n250 ok\r\n354 go\r\n")
    result = done(dialogue.receive(b"550-5.7.1 no\r\n550-5.7.1 and\r\n550 5.7.1 never\r\n"))
    assert result.replies["bob@outside.test"].text == "no and never"


def test_a_status_of_another_class_than_its_code_is_not_believed() -> None:
    dialogue = ready()
    dialogue.send(MAIL)
    result = done(dialogue.receive(b"450 5.1.1 confused\r\n503 x\r\n503 x\r\n503 x\r\n"))
    assert codes(result) == [(450, "4.0.0")] * 2


# What the server cannot take


def test_eight_bits_only_to_a_host_that_takes_them() -> None:
    eight = Mail("ann@inside.test", ("bob@outside.test",), "Grüße\r\n".encode())
    assert codes(done(ready(PLAIN).send(eight))) == [(554, "5.6.3")]
    assert b" BODY=8BITMIME\r\n" in sent(ready().send(eight))
    assert b"BODY" not in sent(ready().send(MAIL))


def test_too_large_for_the_host() -> None:
    large = Mail("ann@inside.test", ("bob@outside.test",), b"x" * 100_001)
    result = done(ready().send(large))
    assert codes(result) == [(552, "5.3.4")] and result.reusable
    assert b"SIZE=100001" in sent(ready(b"250-mx.test\r\n250 SIZE 0\r\n").send(large))


INTERNATIONAL = b"250-mx.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n"


def test_international_addresses_need_smtputf8() -> None:
    mail = Mail("ann@inside.test", ("björn@outside.test",), b"x\r\n")
    events = ready().send(mail)
    assert sent(events) == b"" and codes(done(events)) == [(550, "5.6.7")]
    assert sent(ready(INTERNATIONAL).send(mail)).startswith(
        "MAIL FROM:<ann@inside.test> SMTPUTF8\r\nRCPT TO:<björn@outside.test>\r\n".encode()
    )
    assert codes(done(ready().send(Mail("björn@inside.test", ("bob@outside.test",), b"x\r\n")))) == [(550, "5.6.7")]


def test_only_those_who_need_smtputf8_are_refused_without_it() -> None:
    dialogue = ready()
    mail = Mail("ann@inside.test", ("björn@outside.test", "bob@outside.test"), b"x\r\n", utf8=True)
    assert sent(dialogue.send(mail)) == b"MAIL FROM:<ann@inside.test> SIZE=3\r\nRCPT TO:<bob@outside.test>\r\nDATA\r\n"
    dialogue.receive(b"250 ok\r\n250 ok\r\n354 go\r\n")
    result = done(dialogue.receive(b"250 ok\r\n"))
    assert {to: reply.status for to, reply in result.replies.items()} == {
        "björn@outside.test": "5.6.7",
        "bob@outside.test": "2.0.0",
    }


def test_an_international_domain_alone_needs_no_smtputf8() -> None:
    mail = Mail("ann@inside.test", ("bob@bücher.test",), b"x\r\n", utf8=True)
    assert b"RCPT TO:<bob@xn--bcher-kva.test>\r\n" in sent(ready().send(mail))


def test_an_international_header_needs_smtputf8() -> None:
    mail = Mail("ann@inside.test", ("bob@outside.test",), "Subject: Grüße\r\n\r\nx\r\n".encode(), utf8=True)
    assert codes(done(ready().send(mail))) == [(550, "5.6.7")]
    assert b" BODY=8BITMIME SMTPUTF8\r\n" in sent(ready(INTERNATIONAL).send(mail))
    body_only = Mail("ann@inside.test", ("bob@outside.test",), "Subject: x\r\n\r\nGrüße\r\n".encode(), utf8=True)
    assert b"MAIL FROM:<ann@inside.test> SIZE=23 BODY=8BITMIME\r\n" in sent(ready().send(body_only))


def test_what_was_declared_8_bit_and_is_not_may_go_anywhere() -> None:
    mail = Mail("ann@inside.test", ("bob@outside.test",), b"x\r\n", eight_bit=True)
    assert sent(ready(PLAIN).send(mail)) == b"MAIL FROM:<ann@inside.test>\r\n"
    assert b"BODY=8BITMIME" in sent(ready().send(mail))


@pytest.mark.parametrize(
    "bad", ["x@y.test>\r\nRSET\r\nMAIL FROM:<z@y.test", "a b@c.test", "\u202eu@c.test", "", "a@b\0.test"]
)
def test_nothing_but_an_address_reaches_a_command_line(bad: str) -> None:
    dialogue = ready()
    mail = Mail("ann@inside.test", (bad, "bob@outside.test"), b"x\r\n")
    assert sent(dialogue.send(mail)) == (
        b"MAIL FROM:<ann@inside.test> SIZE=3\r\nRCPT TO:<bob@outside.test>\r\nDATA\r\n"
    )
    dialogue.receive(b"250 ok\r\n250 ok\r\n354 go\r\n")
    result = done(dialogue.receive(b"250 ok\r\n"))
    assert result.replies[bad].code == 553 and result.replies["bob@outside.test"].code == 250
    if bad:
        assert codes(done(ready().send(Mail(bad, ("bob@outside.test",), b"x\r\n")))) == [(553, "5.1.3")]


@pytest.mark.parametrize("raw", [b"a\nb\r\n", b"a\rb\r\n", b"a\0b\r\n", b"\n.\n", b"\r\n.\r"])
def test_lone_line_ends_never_leave(raw: bytes) -> None:
    events = ready().send(Mail("ann@inside.test", ("bob@outside.test",), raw))
    assert sent(events) == b"" and codes(done(events)) == [(550, "5.6.0")]


# CHUNKING


CHUNKS = b"250-mx.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-CHUNKING\r\n250 SIZE 100000\r\n"
ENVELOPE = (
    b"MAIL FROM:<ann@inside.test> SIZE=20\r\nRCPT TO:<bob@outside.test>\r\nRCPT TO:<carl@outside.test>\r\n"
)
IN_ONE = ENVELOPE + b"BDAT 20 LAST\r\n" + MAIL.raw


def test_a_small_text_goes_with_its_envelope() -> None:
    dialogue = ready(CHUNKS)
    for _ in range(2):  # and nothing has to be reset before the next one
        [event] = dialogue.send(MAIL, in_one=True)
        assert sent([event]) == IN_ONE and dialogue.stage == "end"
        result = done(dialogue.receive(b"250 ok\r\n250 ok\r\n250 ok\r\n250 2.6.0 kept\r\n"))
        assert codes(result) == [(250, "2.6.0")] * 2 and result.reusable


@pytest.mark.parametrize("raw", [b"", b"text", b"a\r\n" * 30_000, b"text\r\n.\r\nmore"])
def test_a_text_whose_chunk_would_be_another_than_after_data_goes_after_data(raw: bytes) -> None:
    mail = Mail(MAIL.sender, MAIL.recipients, raw)
    assert sent(ready(CHUNKS).send(mail, in_one=True)).endswith(b"DATA\r\n")


@pytest.mark.parametrize("ehlo", [EHLO, b"250-mx.test\r\n250 CHUNKING\r\n", PLAIN])
def test_no_chunk_to_who_does_not_offer_it(ehlo: bytes) -> None:
    assert b"BDAT" not in sent(ready(ehlo).send(MAIL, in_one=True))


def test_no_chunk_where_nobody_may_be_there_or_the_settings_forbid_it() -> None:
    assert sent(ready(CHUNKS).send(MAIL)) == ENVELOPE + b"DATA\r\n"
    forbidden = SmtpClientDialogue("gw.test", tls="none", chunking=False)
    forbidden.receive(b"220 hi\r\n" + CHUNKS)
    assert sent(forbidden.send(MAIL, in_one=True)) == ENVELOPE + b"DATA\r\n"


def test_dots_are_not_doubled_in_a_chunk() -> None:
    mail = Mail(MAIL.sender, MAIL.recipients, b".\r\n..\r\n")
    assert sent(ready(CHUNKS).send(mail, in_one=True)).endswith(b"BDAT 7 LAST\r\n.\r\n..\r\n")


def test_who_takes_nobody_takes_no_chunk() -> None:
    dialogue = ready(CHUNKS)
    dialogue.send(MAIL, in_one=True)
    result = done(dialogue.receive(b"250 ok\r\n550 5.1.1 no\r\n450 4.2.0 later\r\n503 5.5.1 nobody\r\n"))
    assert codes(result) == [(550, "5.1.1"), (450, "4.2.0")] and result.reusable
    assert sent(dialogue.send(MAIL, in_one=True)) == b"RSET\r\n" + IN_ONE


def test_a_refused_sender_is_the_reply_for_all() -> None:
    dialogue = ready(CHUNKS)
    dialogue.send(MAIL, in_one=True)
    result = done(dialogue.receive(b"550 5.7.1 not you\r\n503 what\r\n503 what\r\n503 what\r\n"))
    assert codes(result) == [(550, "5.7.1")] * 2 and result.reusable


def test_one_of_two_is_refused_and_the_other_gets_the_chunk() -> None:
    dialogue = ready(CHUNKS)
    dialogue.send(MAIL, in_one=True)
    result = done(dialogue.receive(b"250 ok\r\n550 5.1.1 no\r\n250 ok\r\n250 2.0.0 kept\r\n"))
    assert codes(result) == [(550, "5.1.1"), (250, "2.0.0")] and result.reusable


@pytest.mark.parametrize("refusal", [b"552 5.3.4 too big\r\n", b"452 4.3.1 full\r\n", b"554 5.6.0 no\r\n"])
def test_a_refused_chunk_is_the_mails_end_here(refusal: bytes) -> None:
    dialogue = ready(CHUNKS)
    dialogue.send(MAIL, in_one=True)
    result = done(dialogue.receive(b"250 ok\r\n250 ok\r\n250 ok\r\n" + refusal))
    assert [str(code).encode() for code, _ in codes(result)] == [refusal[:3]] * 2
    assert sent(dialogue.send(MAIL, in_one=True)) == b"RSET\r\n" + IN_ONE  # RFC 3030 2


@pytest.mark.parametrize("code", [b"500", b"502", b"503"])
def test_a_chunk_that_is_not_understood_is_sent_as_ever_and_so_from_here_on(code: bytes) -> None:
    dialogue = ready(CHUNKS)
    dialogue.send(MAIL, in_one=True)
    again = dialogue.receive(b"250 ok\r\n250 ok\r\n250 ok\r\n" + code + b" 5.5.1 what\r\n")
    assert sent(again) == b"RSET\r\n" + ENVELOPE + b"DATA\r\n" and dialogue.stage == "envelope"
    assert sent(dialogue.receive(b"250 ok\r\n250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n")) == MAIL.raw + b".\r\n"
    assert codes(done(dialogue.receive(b"250 2.0.0 kept\r\n"))) == [(250, "2.0.0")] * 2
    assert sent(dialogue.send(MAIL, in_one=True)) == ENVELOPE + b"DATA\r\n"


@pytest.mark.parametrize("answer", [b"354 go\r\n", b"250 ok\r\n"])
def test_5_2_17_an_answer_to_a_chunk_that_is_none(answer: bytes) -> None:
    """354, and "taken" for nobody."""
    dialogue = ready(CHUNKS)
    dialogue.send(MAIL, in_one=True)
    result = done(dialogue.receive(b"250 ok\r\n550 5.1.1 no\r\n550 5.1.1 no\r\n" + answer))
    assert not result.reusable and all(reply.code == 550 for reply in result.replies.values())


def test_a_connection_that_ends_after_a_chunk_may_have_taken_it() -> None:
    """Nothing was said of it, and yet it is not sent again at once (REL3)."""
    dialogue = ready(CHUNKS)
    dialogue.send(MAIL, in_one=True)
    result = done(dialogue.lost("gone"))
    assert result.silent and not result.untouched and codes(result) == [(451, "4.4.2")] * 2
    spoke = ready(CHUNKS)
    spoke.send(MAIL, in_one=True)
    spoke.receive(b"250 ok\r\n")
    assert not done(spoke.lost("gone")).silent


# STARTTLS


def test_starttls_then_a_new_ehlo() -> None:
    dialogue = SmtpClientDialogue("gw.test", tls="may")
    dialogue.receive(b"220 hi\r\n")
    assert sent(dialogue.receive(b"250-mx.test\r\n250-SIZE 5\r\n250 STARTTLS\r\n")) == b"STARTTLS\r\n"
    assert dialogue.receive(b"220 go\r\n") == [StartTLS()]
    assert sent(dialogue.secured()) == b"EHLO gw.test\r\n"
    assert dialogue.receive(b"250-mx.test\r\n250 STARTTLS\r\n") == [Ready()]
    assert b"SIZE" not in sent(dialogue.send(MAIL))  # what was offered in clear text is forgotten


@pytest.mark.parametrize("injected", [b"250-mx.test\r\n250 AUTH PLAIN\r\n", b"2", b"250 ok\r\n"])
@pytest.mark.parametrize("tls", ["may", "encrypt", "verify"])
def test_5_2_17_replies_injected_before_tls_are_a_failure(tls: Tls, injected: bytes) -> None:
    """T2."""
    dialogue = SmtpClientDialogue("gw.test", tls=tls)
    dialogue.receive(b"220 hi\r\n")
    dialogue.receive(b"250-mx.test\r\n250 STARTTLS\r\n")
    [broken] = dialogue.receive(b"220 go\r\n" + injected)
    assert isinstance(broken, Broken) and not broken.handshake


@pytest.mark.parametrize("tls", ["encrypt", "verify"])
def test_required_tls_is_never_given_up(tls: Tls) -> None:
    for ehlo, answer in ((PLAIN, b""), (b"250-mx.test\r\n250 STARTTLS\r\n", b"454 not now\r\n")):
        dialogue = SmtpClientDialogue("gw.test", tls=tls)
        dialogue.receive(b"220 hi\r\n")
        events = dialogue.receive(ehlo) + dialogue.receive(answer)
        assert isinstance(events[-1], Broken) and events[-1].reply.status == "4.7.4"
        assert b"MAIL" not in sent(events)
    old = SmtpClientDialogue("gw.test", tls=tls)
    old.receive(b"220 hi\r\n")
    assert sent(old.receive(b"502 what\r\n")) == b"HELO gw.test\r\n"
    assert isinstance(old.receive(b"250 ok\r\n")[0], Broken)


def test_may_goes_on_without() -> None:
    dialogue = SmtpClientDialogue("gw.test", tls="may")
    dialogue.receive(b"220 hi\r\n")
    dialogue.receive(b"250-mx.test\r\n250 STARTTLS\r\n")
    assert dialogue.receive(b"454 not now\r\n") == [Ready()]
    assert ready(PLAIN, "may").stage == "idle"


def test_a_failed_handshake_says_so() -> None:
    dialogue = SmtpClientDialogue("gw.test", tls="may")
    dialogue.receive(b"220 hi\r\n")
    dialogue.receive(b"250-mx.test\r\n250 STARTTLS\r\n")
    dialogue.receive(b"220 go\r\n")
    [broken] = dialogue.lost("no shared cipher")
    assert isinstance(broken, Broken) and broken.handshake and broken.reply.status == "4.7.5"


@pytest.mark.parametrize("greeting", [b"554 no\r\n", b"421 busy\r\n", b"250 what\r\n", b"SSH-2.0-x\r\n"])
def test_no_greeting(greeting: bytes) -> None:
    [broken] = SmtpClientDialogue("gw.test", tls="none").receive(greeting)
    assert isinstance(broken, Broken)


@pytest.mark.parametrize("answer", [b"503 no reset\r\n", b"354 go\r\n", b"220 hi\r\n"])
def test_a_reset_that_is_refused_leaves_the_mail_untouched(answer: bytes) -> None:
    dialogue = ready()
    dialogue.send(MAIL)
    dialogue.receive(b"550 no\r\n503 x\r\n503 x\r\n503 x\r\n")
    dialogue.send(MAIL)
    result = done(dialogue.receive(answer))
    assert result.untouched and codes(result) == [(451, "4.5.0")] * 2


def test_two_thousand_random_talks() -> None:
    """The first steps of tests/fuzz/atheris_smtp_client, which has found what nobody had thought of."""
    source = random.Random(5)
    for _ in range(2000):
        words = source.choices(range(len(WORDS)), k=source.randrange(1, 30))
        try_one(bytes([source.randrange(256), *[0] * source.randrange(2), *words]))
