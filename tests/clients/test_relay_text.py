"""A text that is read while it is sent: the same bytes as from memory, held up by the wire, and never half an end."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransportWithDisconnection

from securegw.clients.relay_connection import Patience, RelayConnection
from securegw.clients.relay_text import TextSender
from securegw.clients.smtp_dialogue import SmtpClientDialogue
from securegw.clients.smtp_envelope import Mail, Offers, refusal, sender_command
from securegw.clients.smtp_events import Done
from securegw.clients.smtp_text import Stuffing, stuffed

LINES = st.lists(st.sampled_from([b"", b".", b"..", b".a", b"text", b"a."]), max_size=8)


class Pieces:
    """Gives these pieces; ``waits``: one by one, when it is told to. An error among them is raised."""

    def __init__(self, *pieces: bytes | Exception, waits: bool = False) -> None:
        self.pieces: list[bytes | Exception | None] = [*pieces, None]
        self.waits = waits
        self.asked: list[Deferred[bytes | None]] = []

    def next(self) -> Deferred[bytes | None]:
        if self.waits:
            self.asked.append(Deferred())
            return self.asked[-1]
        piece = self.pieces.pop(0)
        return fail(piece) if isinstance(piece, Exception) else succeed(piece)

    def give(self) -> None:
        self.asked.pop(0).callback(self.pieces.pop(0))  # type: ignore[arg-type]


class Large:
    """A text that is not in memory."""

    def __init__(self, *pieces: bytes | Exception, waits: bool = False) -> None:
        self.raw = b"".join(piece for piece in pieces if isinstance(piece, bytes))
        self.head = self.raw[:100]
        self.pieces = Pieces(*pieces, waits=waits)

    def __len__(self) -> int:
        return len(self.raw)

    def isascii(self) -> bool:
        return self.raw.isascii()

    def reader(self) -> Pieces:
        return self.pieces


class Wire(StringTransportWithDisconnection):
    def abortConnection(self) -> None:
        self.loseConnection()


def begun(large: Large) -> tuple[RelayConnection, Wire, list[Done]]:
    """A connection to which DATA was answered 354."""
    transport, done = Wire(), []
    made = RelayConnection(
        SmtpClientDialogue("gw.test", tls="none", remote="mx.test"),
        "mx.test",
        handshake=lambda: None,  # type: ignore[arg-type, return-value]
        clock=Clock(),
        patience=Patience(),
        gone=lambda _: None,
    )
    transport.protocol = made
    made.makeConnection(transport)
    made.dataReceived(b"220 mx.test\r\n")
    made.dataReceived(b"250-mx.test\r\n250 PIPELINING\r\n")
    mail: Any = Mail("ann@inside.test", ("bob@outside.test",), large, checked=True)  # type: ignore[arg-type]
    made.deliver(mail).addCallback(done.append)
    transport.clear()
    made.dataReceived(b"250 ok\r\n250 ok\r\n354 go\r\n")
    return made, transport, done


@given(LINES, st.lists(st.integers(0, 60)), st.booleans())
def test_any_cut_is_stuffed_as_the_whole(lines: list[bytes], cuts: list[int], ended: bool) -> None:
    text = b"\r\n".join(lines) + (b"\r\n" if ended else b"")
    stuffing, places = Stuffing(), sorted({min(cut, len(text)) for cut in cuts} | {0, len(text)})
    written = b"".join(stuffing.add(text[a:b]) for a, b in itertools.pairwise(places)) + stuffing.end()
    assert written == b"".join(stuffed(text))


def test_a_text_is_sent_piece_by_piece() -> None:
    made, transport, done = begun(Large(b"Subject: x\r", b"\n\r\n", b".dot", b"\r\n."))
    assert transport.value() == b"Subject: x\r\n\r\n..dot\r\n..\r\n.\r\n"
    assert transport.producer is None
    made.dataReceived(b"250 taken\r\n")
    assert done[0].replies["bob@outside.test"].code == 250 and done[0].reusable


def test_the_next_piece_is_read_while_one_goes_out_and_no_further() -> None:
    large = Large(b"one\r\n", b"two\r\n", b"three\r\n", waits=True)
    _, transport, _ = begun(large)
    transport.producer.pauseProducing()
    large.pieces.give()
    assert transport.value() == b"one\r\n" and len(large.pieces.asked) == 1
    large.pieces.give()
    assert transport.value() == b"one\r\n" and not large.pieces.asked
    transport.producer.resumeProducing()
    assert transport.value() == b"one\r\ntwo\r\n"
    large.pieces.give()
    large.pieces.give()
    assert transport.value() == b"one\r\ntwo\r\nthree\r\n.\r\n"


def test_what_cannot_be_read_to_its_end_gets_no_end() -> None:
    _, transport, done = begun(Large(b"one\r\n", RuntimeError("the seal is broken")))
    assert b".\r\n" not in transport.value() and not transport.connected
    assert done[0].replies["bob@outside.test"].code == 451 and not done[0].reusable


@pytest.mark.parametrize("how", ["lost", "refused early"])
def test_a_text_that_is_cut_off_gets_no_end(how: str) -> None:
    large = Large(b"one\r\n", b"two\r\n", waits=True)
    made, transport, done = begun(large)
    large.pieces.give()
    if how == "lost":
        transport.loseConnection()
    else:
        made.dataReceived(b"552 too large\r\n")
    large.pieces.give()
    assert transport.value() == b"one\r\n" and not transport.connected
    assert done[0].replies["bob@outside.test"].code == (451 if how == "lost" else 552)


def test_the_envelope_of_a_large_text() -> None:
    mail: Any = Mail("ann@inside.test", ("bob@outside.test",), Large(b"Subject: \xc3\xa4\r\n\r\n"), checked=True)  # type: ignore[arg-type]
    offers = Offers({"SIZE": "", "8BITMIME": "", "SMTPUTF8": ""})
    assert refusal(mail, offers, "mx.test") is None
    assert sender_command(mail, offers) == b"MAIL FROM:<ann@inside.test> SIZE=15 BODY=8BITMIME\r\n"
    assert refusal(mail, Offers(), "mx.test") is not None
    bad: Any = Mail("ann@inside.test", ("bob@outside.test",), Large(b"a\nb"))  # type: ignore[arg-type]
    found = refusal(bad, offers, "mx.test")
    assert found is not None and found.code // 100 == 5


def test_a_sender_stops_once() -> None:
    transport = Wire()
    told: list[str] = []
    pieces = Pieces(b"one\r\n", b"two\r\n", waits=True)
    sender = TextSender(pieces, transport, sent=lambda: told.append("sent"), broken=lambda: told.append("broken"))
    sender.start()
    sender.stop()
    sender.stop()
    pieces.give()
    assert transport.value() == b"" and told == []
