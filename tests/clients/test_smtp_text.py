"""T3, T7, threats 5.2.16: the text on the wire, wherever it is cut."""

from __future__ import annotations

import pytest

from securegw.clients.smtp_dialogue import SmtpClientDialogue
from securegw.clients.smtp_envelope import Mail
from securegw.clients.smtp_events import SendText
from securegw.clients.smtp_text import PIECE, stuffed
from tests.clients.dialogue_case import codes, done, ready

OFFSETS = [0, 2, 3, 4095, 4096, 16382, 16383, 16384, 16385, 32767, 32768, PIECE - 1, PIECE, PIECE + 1]
CUTS = [(offset, size) for offset in OFFSETS for size in (1, 2, 3, 5, 7, 4096, 16384, PIECE) if offset < 5000 * size]


@pytest.mark.parametrize(("offset", "size"), CUTS)
@pytest.mark.parametrize("line", [b".\r\n", b"..\r\n", b".x\r\n", b".\r\n.\r\n"])
def test_5_2_16_dots_are_stuffed_wherever_they_stand(offset: int, line: bytes, size: int) -> None:
    raw = (b"x" * (offset - 2) + b"\r\n" if offset else b"") + line + b"MAIL FROM:<smuggled@bank.test>\r\n"
    wire = b"".join(stuffed(raw, size))
    assert wire.endswith(b"\r\n.\r\n")
    assert (b"\r\n" + wire).count(b"\r\n.\r\n") == 1
    lines = wire[:-3].split(b"\r\n")
    assert b"\r\n".join(line[1:] if line.startswith(b".") else line for line in lines) == raw


def test_5_2_16_every_cut_of_a_text_of_dots_gives_the_same() -> None:
    raw = b"\r\n.\r\n..\r\n\r\n.a\r\n.\r\n\r\n\r\n."
    whole = b"".join(stuffed(raw, 1000))
    assert {b"".join(stuffed(raw, size)) for size in range(1, len(raw) + 2)} == {whole}


def test_a_text_without_dots_is_not_changed() -> None:
    raw = b"Subject: x\r\n\r\ntext. with. dots.\r\n"
    assert b"".join(stuffed(raw)) == raw + b".\r\n"
    assert b"".join(stuffed(b"no end")) == b"no end\r\n.\r\n" and b"".join(stuffed(b"")) == b".\r\n"


LARGE = Mail("ann@inside.test", ("bob@outside.test",), b"x" * 70 + b"\r\n" + (b"." * 70 + b"\r\n") * 10_000)


def large() -> tuple[SmtpClientDialogue, SendText]:
    dialogue = ready(b"250-mx.test\r\n250 PIPELINING\r\n")
    dialogue.send(LARGE)
    [text] = dialogue.receive(b"250 ok\r\n250 ok\r\n354 go\r\n")
    assert isinstance(text, SendText)
    return dialogue, text


def test_a_large_text_goes_in_pieces() -> None:
    dialogue, text = large()
    pieces = list(text.pieces)
    assert len(pieces) > 2 and b"".join(pieces) == b"".join(stuffed(LARGE.raw, 10**9))
    dialogue.text_sent()
    assert codes(done(dialogue.receive(b"250 ok\r\n"))) == [(250, "2.0.0")]


@pytest.mark.parametrize(("answer", "status"), [(b"250 ok\r\n", "4.5.0"), (b"552 5.3.4 large\r\n", "5.3.4")])
def test_an_answer_before_the_end_of_the_text_ends_the_connection(answer: bytes, status: str) -> None:
    """What follows would be taken for commands; and nobody can have taken half a mail."""
    dialogue, _text = large()
    result = done(dialogue.receive(answer))
    assert [reply.status for reply in result.replies.values()] == [status] and not result.reusable
