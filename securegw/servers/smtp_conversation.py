"""How an SMTP dialogue goes: bytes become commands, commands become replies and questions, one at a time.

Not the commands (smtp_transfer, smtp_dialogue); no I/O and no clock. Obeys RFC 5321 2.3.8 and 4.5.3 (lines), RFC 2920
(PIPELINING) and RFC 2034 (ENHANCEDSTATUSCODES).

One command at a time: while a question is open, what arrives waits. So the order of replies is the order of
commands, and a command sees the answer to the one before it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from securegw.mail.errors import MailError, TooBig
from securegw.servers.smtp_commands import Complaint, Reply
from securegw.servers.smtp_counters import count_refusal
from securegw.servers.smtp_events import Bounds, Close, Event, Question, Send

LINE_LIMIT = 4096
WAITING_LIMIT = 1024 * 1024  # a caller that does not pause its transport is cut off here
STRESS_ERRORS, STRESS_JUNK = 1, 5


class Reader(Protocol):
    """Takes the stream while it is no commands; ``feed`` returns None until its end, then what follows it."""

    @property
    def size(self) -> int: ...

    @property
    def hopeless(self) -> bool: ...

    def feed(self, data: bytes) -> bytes | None: ...


class Conversation:
    """``greet``, then ``receive`` bytes and ``answer`` questions; each call returns what is to be done."""

    def __init__(self, bounds: Bounds) -> None:
        self.steps = 0  # grows with every command, so that a clock can tell progress from dripping
        self._bounds = bounds
        self._buffer = bytearray()
        self._replies: list[bytes] = []
        self._events: list[Event] = []
        self._greeted = self._closed = False
        self._then: Callable[[Reply], None] | None = None
        self._reader: Reader | None = None
        self._finish: Callable[[], None]
        self._errors = self._junk = 0

    # What the owner of the connection calls

    @property
    def asking(self) -> bool:
        """A question is open: pause the transport."""
        return self._then is not None

    def greet(self) -> list[Event]:
        self._greeted = True
        self._replies.append(f"220 {self._bounds.host} ESMTP\r\n".encode("ascii"))
        return self._flush()

    def lost(self) -> None:
        """The connection is gone: nothing more will come, but perhaps the answer to a question."""
        self._closed = True
        self._forget()

    def refuse(self, reply: Reply, reason: str) -> list[Event]:
        """Say this and close: no room, out of time, going down (RFC 5321 3.8)."""
        self._hang_up(reply, reason)
        return self._flush()

    def receive(self, data: bytes) -> list[Event]:
        if self._closed:
            return []
        if not self._greeted:
            return self.refuse(Reply(554, "5.5.1", "Wait for the greeting"), "early talker")
        if self._reader is not None:  # the buffer is empty then; a text is not copied through it
            self._read(self._reader, data)
        else:
            self._buffer += data
        self._work()
        return self._flush()

    def answer(self, reply: Reply) -> list[Event]:
        """The answer to the open question, also to one whose asker is gone meanwhile."""
        then, self._then = self._then, None
        self._answered()
        if self._closed or then is None:
            return []
        then(reply)
        self._work()
        return self._flush()

    # The loop

    def _work(self) -> None:
        while self._buffer and not self._closed and self._then is None:
            if self._reader is not None:
                data = bytes(self._buffer)
                self._buffer.clear()
                self._read(self._reader, data)
            elif not self._read_line():
                break
        if self._then is not None and len(self._buffer) > WAITING_LIMIT:
            self._hang_up(None, "too much sent ahead")

    def _read(self, reader: Reader, data: bytes) -> None:
        rest = reader.feed(data)
        if rest is not None:
            self._reader = None
            self._buffer += rest
            self._finish()
        elif reader.hopeless:
            self._hang_up(refusal(TooBig()), "text far over the limit")

    def _read_line(self) -> bool:
        """Run one command; False if its line is not complete yet."""
        if not self.steps and not self._buffer[:1].isalpha():  # a TLS ClientHello has no lines
            self._hang_up(None, "not SMTP")
            return False
        end = self._buffer.find(b"\r\n", 0, LINE_LIMIT)
        if end < 0:
            if len(self._buffer) >= LINE_LIMIT:
                self._hang_up(Reply(500, "5.5.2", "Line too long"), "command line too long")
            return False
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 2]
        try:
            self._take(line)
        except Complaint as complaint:
            self._complain(complaint.reply)
        return True

    def _take(self, line: bytes) -> None:
        """One line of the client."""
        raise NotImplementedError

    def _flush(self) -> list[Event]:
        """All replies of this batch in one write (RFC 2920 3.2), before what follows from them."""
        events, self._events = self._events, []
        if self._replies:
            events.insert(0, Send(b"".join(self._replies)))
            self._replies.clear()
        return events

    # What a command may do

    def _say(self, code: int, status: str, sentence: str) -> None:
        self._replies.append(Reply(code, status, sentence).wire())

    def _ask(self, question: Question, then: Callable[[Reply], None]) -> None:
        self._then = then
        self._events.append(question)

    def _listen(self, reader: Reader, finish: Callable[[], None]) -> None:
        """What follows is no command until the reader has its end."""
        self._reader, self._finish = reader, finish

    def _decline(self, reply: Reply) -> None:
        """A refusal that happens to the best of clients."""
        self._replies.append(reply.wire())
        count_refusal(reply.reason)

    def _complain(self, reply: Reply) -> None:
        """A refusal that happens to the best of clients, but not often."""
        self._decline(reply)
        self._errors += 1
        if self._errors >= (STRESS_ERRORS if self._bounds.stressed() else self._bounds.errors):
            self._hang_up(Reply(421, "4.7.0", "Too many errors"), "too many errors")

    def _count_junk(self) -> None:
        self._junk += 1
        if self._junk > (STRESS_JUNK if self._bounds.stressed() else self._bounds.junk):
            self._hang_up(Reply(421, "4.7.0", "Too many commands without a message"), "junk")

    def _hang_up(self, reply: Reply | None, reason: str) -> None:
        if self._closed:
            return
        if reply:
            self._replies.append(reply.wire())
        self._closed = True
        self._then = None
        self._forget()
        self._buffer.clear()
        self._events.append(Close(reason))

    def _forget(self) -> None:
        self._reader = None

    def _answered(self) -> None:
        """The open question is answered."""


def refusal(error: MailError) -> Reply:
    """An error as a reply."""
    return Reply(error.code, error.status, error.sentence, error.reason)
