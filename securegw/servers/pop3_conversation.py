"""How a POP3 dialogue goes: bytes become commands, commands become replies and questions, one at a time.

Not the commands (pop3_dialogue); no I/O and no clock. Obeys RFC 1939 3 and RFC 2449 4 (lines) and 6.8 (PIPELINING).

One command at a time: while a question is open, what arrives waits, so the order of replies is the order of commands.
"""

from __future__ import annotations

from securegw.servers.pop3_counters import count_refusal
from securegw.servers.pop3_events import Close, Event, Question, Send, Trouble

LINE_LIMIT = 1024  # RFC 2449 says 255; an answer to AUTH may be longer
WAITING_LIMIT = 64 * 1024  # a caller that does not pause its transport is cut off here


class Complaint(Exception):
    """A command that cannot be obeyed, and why."""

    def __init__(self, sentence: str, code: str = "") -> None:
        super().__init__(sentence)
        self.trouble = Trouble(code, sentence)


class Conversation:
    """``greet``, then ``receive`` bytes and answer questions; each call returns what is to be done."""

    def __init__(self, errors: int = 10) -> None:
        self._most_errors = errors
        self._errors = 0
        self._buffer = bytearray()
        self._events: list[Event] = []
        self._question: Question | None = None
        self._closed = False

    # What the owner of the connection calls

    @property
    def question(self) -> Question | None:
        """The open question."""
        return self._question

    @property
    def asking(self) -> bool:
        """A question is open: pause the transport."""
        return self._question is not None

    def greet(self) -> list[Event]:
        self._say("securegw is ready")
        return self._flush()

    def refuse(self, sentence: str, code: str, reason: str) -> list[Event]:
        """Say this and close: no room, going down."""
        self._hang_up(Trouble(code, sentence), reason)
        return self._flush()

    def receive(self, data: bytes) -> list[Event]:
        if not self._closed:
            self._buffer += data
            self._work()
        return self._flush()

    # The loop

    def _work(self) -> None:
        while self._question is None and not self._closed:
            end = self._buffer.find(b"\r\n", 0, LINE_LIMIT)
            if end < 0:
                break
            line = bytes(self._buffer[:end])
            del self._buffer[: end + 2]
            try:
                self._take(line)
            except Complaint as complaint:
                self._complain(complaint.trouble)
        self._check_waiting()

    def _check_waiting(self) -> None:
        if self._closed:
            return
        if self._question is None and len(self._buffer) >= LINE_LIMIT:
            self._hang_up(Trouble("", "Line too long"), "command line too long")
        elif len(self._buffer) > WAITING_LIMIT:
            self._hang_up(None, "too much sent ahead")

    def _take(self, line: bytes) -> None:
        """One line of the client."""
        raise NotImplementedError

    def _flush(self) -> list[Event]:
        """What is to be done, neighbouring replies as one (one write a reply, and one for many)."""
        events, self._events = self._events, []
        if len(events) < 2:
            return events
        joined: list[Event] = []
        for event in events:
            if joined and isinstance(event, Send) and isinstance(joined[-1], Send):
                joined[-1] = Send(joined[-1].data + event.data)
            else:
                joined.append(event)
        return joined

    # What a command may do

    def _say(self, sentence: str) -> None:
        self._events.append(Send(f"+OK {sentence}\r\n".encode()))

    def _list(self, sentence: str, lines: list[str]) -> None:
        """A reply of many lines; none of them begins with a dot."""
        self._events.append(Send("\r\n".join([f"+OK {sentence}", *lines, ".\r\n"]).encode()))

    def _ask(self, question: Question) -> None:
        self._question = question
        self._events.append(question)

    def _decline(self, trouble: Trouble) -> None:
        """A refusal that happens to the best of clients."""
        code = f"[{trouble.code}] " if trouble.code else ""
        self._events.append(Send(f"-ERR {code}{trouble.sentence}\r\n".encode()))

    def _complain(self, trouble: Trouble) -> None:
        """A refusal that happens to the best of clients, but not often."""
        self._decline(trouble)
        count_refusal(trouble.code or "command")
        self._errors += 1
        if self._errors >= self._most_errors:
            self._hang_up(None, "too many errors")

    def _hang_up(self, trouble: Trouble | None, reason: str) -> None:
        if self._closed:
            return
        if trouble is not None:
            self._decline(trouble)
        self._closed, self._question = True, None
        self._buffer.clear()
        self._events.append(Close(reason))
