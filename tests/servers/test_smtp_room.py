"""Memory for texts that are coming in: bounded whatever many clients send, and given back whatever happens."""

from __future__ import annotations

import pytest

from securegw.servers.smtp_body import BodyReader
from securegw.servers.smtp_commands import Reply
from securegw.servers.smtp_dialogue import SmtpDialogue
from securegw.servers.smtp_events import AskMessage, AskRecipient, AskSender, Bounds, Event, Send
from securegw.servers.smtp_room import SHARE, Place, TextRoom
from tests.support.smtp_door import Door

MB = 1 << 20
YES = Reply(250, "2.0.0", "yes")


class Talk:
    """One dialogue; senders and recipients are good, a text is taken when ``take`` says so."""

    def __init__(self, room: TextRoom, size: int = 50 * MB) -> None:
        self.dialogue = SmtpDialogue(Bounds("gw.test", size, room=room))
        self.asked: list[AskMessage] = []
        self.said = b""
        self._carry_out(self.dialogue.greet())
        self.say(b"EHLO client.test\r\n")

    def say(self, data: bytes) -> bytes:
        self.said = b""
        self._carry_out(self.dialogue.receive(data))
        return self.said

    def begin(self, parameters: str = "") -> bytes:
        """The last reply to an envelope and DATA."""
        self.say(f"MAIL FROM:<a@a.test>{parameters}\r\n".encode() + b"RCPT TO:<b@b.test>\r\n")
        return self.say(b"DATA\r\n")

    def take(self, reply: Reply = YES) -> bytes:
        self.said = b""
        self._carry_out(self.dialogue.answer(reply))
        return self.said

    def _carry_out(self, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, Send):
                self.said += event.data
            elif isinstance(event, AskMessage):
                self.asked.append(event)
            elif isinstance(event, AskSender | AskRecipient):
                self._carry_out(self.dialogue.answer(YES))

    def send(self, size: int) -> bytes:
        """A text of this size with its end, in pieces of the size that a transport hands over."""
        line = b"x" * 998 + b"\r\n"
        replies = b"".join(self.say(line * 64) for _ in range(size // 64_000))
        return replies + self.say(b".\r\n")


def test_what_announces_itself_is_refused_before_its_text() -> None:
    room = TextRoom(60 * MB)
    first, second, small = Talk(room), Talk(room), Talk(room)
    assert first.begin(f" SIZE={40 * MB}").startswith(b"354")
    assert second.begin(f" SIZE={40 * MB}").startswith(b"452 4.3.1")
    assert small.begin(" SIZE=20000").startswith(b"354")
    assert room.taken <= 40 * MB
    first.send(MB)
    assert second.say(b"DATA\r\n").startswith(b"452")  # until the first one is durable
    first.take()
    assert room.taken == 0
    assert second.say(b"DATA\r\n").startswith(b"354")


def test_what_announces_nothing_or_lies_is_refused_at_its_end_and_not_kept() -> None:
    room = TextRoom(4 * MB)
    talks = [Talk(room) for _ in range(8)]
    assert all(talk.begin(" SIZE=10").startswith(b"354") for talk in talks)
    line = b"x" * 998 + b"\r\n"
    for _ in range(50):  # all at the same time, 3.2 MB each
        for talk in talks:
            assert talk.say(line * 64) == b""
            assert room.taken <= room.total
    replies = [talk.say(b".\r\n") for talk in talks]
    taken = [talk for talk in talks if talk.asked]
    assert 1 <= len(taken) < len(talks)
    assert [reply[:9] for reply in replies if reply] == [b"452 4.3.1"] * (len(talks) - len(taken))
    assert all(talk.take() == YES.wire() for talk in taken)
    assert room.taken == 0
    assert all(len(talk.asked[0].raw) == 50 * 64_000 for talk in taken)
    # Who was refused comes again, in the same session.
    again = next(talk for talk in talks if not talk.asked)
    assert again.begin().startswith(b"354")
    again.send(MB)
    assert len(again.asked) == 1


def test_who_is_alone_may_be_as_large_as_the_limit() -> None:
    talk = Talk(TextRoom(MB), size=150 * MB)
    assert talk.begin(f" SIZE={150 * MB}").startswith(b"354")
    talk.send(149 * MB)
    assert len(talk.asked[0].raw) > 148 * MB


def test_chunks_are_refused_too_and_their_bytes_swallowed() -> None:
    room = TextRoom(2 * MB)
    first, second = Talk(room), Talk(room)
    assert first.begin(f" SIZE={2 * MB}").startswith(b"354")
    second.say(b"MAIL FROM:<a@a.test>\r\nRCPT TO:<b@b.test>\r\n")
    assert second.say(b"BDAT %d LAST\r\n" % MB + b"NOOP\r\n" * (MB // 6)) == b""
    assert second.say(b"NOOP"[: MB % 6]).startswith(b"452 4.3.1")
    first.dialogue.lost()
    second.say(b"MAIL FROM:<a@a.test>\r\nRCPT TO:<b@b.test>\r\n")
    assert second.say(b"BDAT %d LAST\r\n" % MB + b"x" * MB) == b""
    assert len(second.asked) == 1


@pytest.mark.parametrize("end", [b"RSET\r\n", b"EHLO again.test\r\n", b"QUIT\r\n", None])
def test_room_is_given_back_by_whoever_leaves(end: bytes | None) -> None:
    room = TextRoom(2 * MB)
    talk = Talk(room)
    talk.say(f"MAIL FROM:<a@a.test> SIZE={MB}\r\nRCPT TO:<b@b.test>\r\nBDAT 1\r\nx".encode())
    assert room.taken > 0
    if end is None:
        talk.dialogue.lost()
    else:
        talk.say(end)
    assert room.taken == 0


def test_a_text_that_is_being_taken_holds_its_room_though_its_client_is_gone() -> None:
    room = TextRoom(2 * MB)
    talk = Talk(room)
    talk.begin()
    talk.send(MB)
    held = room.taken
    talk.dialogue.lost()
    assert room.taken == held > 0
    talk.dialogue.answer(YES)
    assert room.taken == 0


def test_a_bad_text_holds_nothing() -> None:
    room = TextRoom(2 * MB)
    talk = Talk(room)
    talk.begin()
    assert talk.say(b"x" * MB + b"\n\r\n.\r\n").startswith(b"550")
    assert room.taken == 0


def test_the_connection_tells_its_dialogue_that_it_is_lost() -> None:
    door = Door()
    door.send(b"EHLO client.test\r\nMAIL FROM:<ann@inside.test> SIZE=1000000\r\nRCPT TO:<bob@outside.test>\r\nDATA\r\n")
    room = door.connection._dialogue._bounds.room
    assert room.taken > 0
    door.transport.loseConnection()
    assert room.taken == 0


def test_a_place_grows_by_doubling_and_then_by_what_is_left() -> None:
    room = TextRoom(10 * SHARE)
    place, other = Place(room), Place(room)
    other.grow(2 * SHARE)
    assert place.grow(SHARE) and room.taken == SHARE
    assert place.grow(SHARE + 1) and place.grow(2 * SHARE + 1) and place.grow(4 * SHARE)
    assert place.grow(10 * SHARE)
    assert not place.grow(10 * SHARE + 1)
    assert room.taken == SHARE
    assert not place.grow(1)


def test_a_refused_text_is_swallowed() -> None:
    reader = BodyReader(10_000, lambda size: size <= 3000)
    for _ in range(5):
        assert reader.feed(b"x" * 998 + b"\r\n") is None
    assert reader.feed(b".\r\nNOOP\r\n") == b"NOOP\r\n"
    assert len(reader._pieces.take()) < 3000
