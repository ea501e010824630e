"""The server's side of an SMTP dialogue as a state machine: it eats bytes and returns what is to be done.

Not a protocol of Twisted and not a judge: it opens no socket, knows no clock, and asks whether a sender, a
recipient or a message is welcome. Obeys RFC 5321, RFC 1870 (SIZE), RFC 2034 (ENHANCEDSTATUSCODES), RFC 2920
(PIPELINING), RFC 3207 (STARTTLS) and RFC 6152 (8BITMIME).

One command at a time: while a question is open, what arrives waits. So the order of replies is the order of
commands, and a command sees the answer to the one before it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import attrs

from securegw.mail.address import Address
from securegw.mail.errors import BareLine, TooBig, TooManyRecipients
from securegw.mail.message import check_wire
from securegw.servers.smtp_body import BodyReader
from securegw.servers.smtp_commands import (
    Complaint,
    Reply,
    Terms,
    read_name,
    read_recipient,
    read_sender,
    read_terms,
    split_line,
    split_path,
)
from securegw.servers.smtp_events import (
    AskMessage,
    AskRecipient,
    AskSender,
    Bounds,
    Close,
    Event,
    Question,
    Send,
    StartTLS,
)

LINE_LIMIT = 4096
WAITING_LIMIT = 1024 * 1024  # a caller that does not pause its transport is cut off here
# Verbs of other protocols: somebody makes a browser or a balancer talk to us (RFC 5321 never had them).
FOREIGN = frozenset({"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PRI", "PROXY", "PUT"})


@attrs.define
class _Transaction:
    sender: Address | None
    terms: Terms
    recipients: list[Address] = attrs.Factory(list)
    tried: int = 0


class SmtpDialogue:
    """``greet``, then ``receive`` bytes and ``answer`` questions; each call returns what is to be done."""

    def __init__(self, bounds: Bounds) -> None:
        self.helo = ""
        self.steps = 0  # grows with every command, so that a clock can tell progress from dripping
        self._bounds = bounds
        self._buffer = bytearray()
        self._replies: list[bytes] = []
        self._events: list[Event] = []
        self._greeted = self._secure = self._closed = self._extended = False
        self._wary = True  # at the first line, and behind a refused DATA, nonsense is not forgiven
        self._then: Callable[[Reply], None] | None = None
        self._body: BodyReader | None = None
        self._transaction: _Transaction | None = None
        self._errors = self._junk = 0

    # What the owner of the connection calls

    @property
    def asking(self) -> bool:
        """A question is open: pause the transport."""
        return self._then is not None

    @property
    def reading_body(self) -> int | None:
        """How many bytes of a text have come, or None outside of DATA."""
        return self._body.size if self._body else None

    def greet(self) -> list[Event]:
        self._greeted = True
        self._replies.append(f"220 {self._bounds.host} ESMTP\r\n".encode("ascii"))
        return self._flush()

    def refuse(self, reply: Reply, reason: str) -> list[Event]:
        """Say this and close: no room, out of time, going down (RFC 5321 3.8)."""
        self._hang_up(reply, reason)
        return self._flush()

    def receive(self, data: bytes) -> list[Event]:
        if self._closed:
            return []
        if not self._greeted:
            return self.refuse(Reply(554, "5.5.1", "Wait for the greeting"), "early talker")
        if self._body is not None:  # the buffer is empty then; a text is not copied through it
            self._read_body(self._body, data)
        else:
            self._buffer += data
        self._work()
        return self._flush()

    def answer(self, reply: Reply) -> list[Event]:
        """The answer to the open question."""
        then, self._then = self._then, None
        if self._closed or then is None:
            return []
        then(reply)
        self._work()
        return self._flush()

    def secured(self) -> list[Event]:
        """TLS covers the connection from here; nothing said before counts (RFC 3207 4.2)."""
        self._secure = True
        self._forget()
        self.helo, self._extended = "", False
        return []

    # The loop

    def _work(self) -> None:
        while self._buffer and not self._closed and self._then is None:
            if self._body is not None:
                data = bytes(self._buffer)
                self._buffer.clear()
                self._read_body(self._body, data)
            elif not self._read_line():
                break
        if self._then is not None and len(self._buffer) > WAITING_LIMIT:
            self._hang_up(None, "too much sent ahead")

    def _read_body(self, body: BodyReader, data: bytes) -> None:
        rest = body.feed(data)
        if rest is not None:
            self._body = None
            self._buffer += rest
            self._finish_body(body)
        elif body.hopeless:
            self._hang_up(_reply(TooBig()), "text far over the limit")

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
        self._run(line)
        return True

    def _run(self, line: bytes) -> None:
        self.steps += 1
        wary, self._wary = self._wary, False
        try:
            verb, argument = split_line(line)
            if verb in COMMANDS:
                COMMANDS[verb](self, argument)
            elif wary or verb in FOREIGN:
                self._hang_up(Reply(554, "5.5.1", "This is an SMTP server"), "not SMTP")
            else:
                raise Complaint(500, "5.5.1", "Command not known")
        except Complaint as complaint:
            self._complain(complaint.reply)

    def _flush(self) -> list[Event]:
        """All replies of this batch in one write (RFC 2920 3.2), before what follows from them."""
        events, self._events = self._events, []
        if self._replies:
            events.insert(0, Send(b"".join(self._replies)))
            self._replies.clear()
        return events

    # Replies

    def _say(self, code: int, status: str, sentence: str) -> None:
        self._replies.append(Reply(code, status, sentence).wire())

    def _ask(self, question: Question, then: Callable[[Reply], None]) -> None:
        self._then = then
        self._events.append(question)

    def _complain(self, reply: Reply) -> None:
        self._replies.append(reply.wire())
        self._errors += 1
        if self._errors >= self._bounds.errors:
            self._hang_up(Reply(421, "4.7.0", "Too many errors"), "too many errors")

    def _count_junk(self) -> None:
        self._junk += 1
        if self._junk > self._bounds.junk:
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
        self._transaction = None
        self._body = None

    # Commands

    def _hello(self, argument: str) -> None:
        self._introduce(argument, extended=False)
        self._replies.append(f"250 {self._bounds.host}\r\n".encode("ascii"))

    def _extended_hello(self, argument: str) -> None:
        self._introduce(argument, extended=True)
        *lines, last = [self._bounds.host, *self._extensions()]
        self._replies.extend(f"250-{line}\r\n".encode("ascii") for line in lines)
        self._replies.append(f"250 {last}\r\n".encode("ascii"))

    def _introduce(self, argument: str, *, extended: bool) -> None:
        name = read_name(argument)
        if self.helo:
            self._count_junk()
        self._forget()  # RFC 5321 4.1.4: a later EHLO acts as RSET
        self.helo, self._extended = name, extended

    def _extensions(self) -> list[str]:
        always = [f"SIZE {self._bounds.size}", "PIPELINING", "8BITMIME", "ENHANCEDSTATUSCODES"]
        return [*always, "STARTTLS"] if self._bounds.tls and not self._secure else always

    def _start_tls(self, argument: str) -> None:
        if not self._bounds.tls:
            raise Complaint(502, "5.5.1", "There is no TLS here")
        if self._secure or not self._extended:
            raise Complaint(503, "5.5.1", "Not now")
        if argument:
            raise Complaint(501, "5.5.4", "STARTTLS has no parameters")
        if self._buffer:  # commands that would cross from clear text into TLS (CVE-2011-0411)
            return self._hang_up(None, "bytes behind STARTTLS")
        self._say(220, "2.0.0", "Begin TLS now")
        self._forget()
        self._events.append(StartTLS())

    def _mail(self, argument: str) -> None:
        if not self.helo or self._transaction:
            raise Complaint(503, "5.5.1", "One sender at a time" if self.helo else "Introduce yourself first")
        path, parameters = split_path("FROM:", argument)
        sender = read_sender(path)
        if parameters and not self._extended:
            raise Complaint(555, "5.5.4", "Parameters need EHLO")
        terms = read_terms(parameters)
        if terms.size is not None and terms.size > self._bounds.size:
            raise Complaint(TooBig.code, TooBig.status, TooBig().sentence)
        self._ask(AskSender(sender, terms), lambda reply: self._sender_answered(sender, terms, reply))

    def _sender_answered(self, sender: Address | None, terms: Terms, reply: Reply) -> None:
        if reply.permanent:
            return self._complain(reply)
        self._replies.append(reply.wire())
        if reply.positive:
            self._transaction = _Transaction(sender, terms)

    def _recipient(self, argument: str) -> None:
        transaction = self._transaction
        if not transaction:
            raise Complaint(503, "5.5.1", "Name the sender first")
        path, parameters = split_path("TO:", argument)
        recipient = read_recipient(path, self._bounds.host)
        if parameters:
            raise Complaint(555, "5.5.4", "RCPT has a parameter that we do not know")
        transaction.tried += 1
        if transaction.tried > 2 * self._bounds.recipients:
            return self._complain(_reply(TooManyRecipients()))
        if len(transaction.recipients) >= self._bounds.recipients:
            self._replies.append(_reply(TooManyRecipients()).wire())
            return None
        return self._ask(
            AskRecipient(transaction.sender, recipient),
            lambda reply: self._recipient_answered(transaction, recipient, reply),
        )

    def _recipient_answered(self, transaction: _Transaction, recipient: Address, reply: Reply) -> None:
        self._replies.append(reply.wire())
        if reply.positive:
            transaction.recipients.append(recipient)
        elif reply.permanent:
            self._count_junk()  # somebody tries names

    def _data(self, argument: str) -> None:
        if not self._transaction or not self._transaction.recipients or argument:
            self._refuse_data(argument)
        else:
            self._say(354, "", "Go on, and end with CRLF.CRLF")
            self._body = BodyReader(self._bounds.size)

    def _refuse_data(self, argument: str) -> None:
        """A text sent without waiting for 354 must not be run as commands."""
        self._wary = True
        code, status, sentence = 503, "5.5.1", "Name the sender first"
        if self._transaction:
            code, sentence = 554, "No valid recipients"
        if argument:
            code, status, sentence = 501, "5.5.4", "DATA has no parameters"
        if self._buffer:
            return self._hang_up(Reply(code, status, sentence), "text sent ahead of a refused DATA")
        if code == 554:  # the normal end of a pipelined envelope without a good recipient (RFC 2920 3.1)
            return self._say(code, status, sentence)
        raise Complaint(code, status, sentence)

    def _finish_body(self, body: BodyReader) -> None:
        transaction = self._transaction
        assert transaction is not None
        self._transaction = None
        self.steps += 1
        raw = body.text()
        if body.overflowed or len(raw) > self._bounds.size:
            return self._hang_up(_reply(TooBig()), "text over the limit")
        try:
            check_wire(raw)
        except BareLine as error:  # the client and we may see different messages: trust nothing that follows
            return self._hang_up(_reply(error), "lone CR, LF or NUL")
        self._ask(
            AskMessage(transaction.sender, tuple(transaction.recipients), transaction.terms, raw),
            self._message_answered,
        )

    def _message_answered(self, reply: Reply) -> None:
        self._replies.append(reply.wire())
        if reply.positive:
            self._errors = self._junk = 0

    def _reset(self, argument: str) -> None:
        self._forget()
        self._say(250, "2.0.0", "Forgotten")
        self._count_junk()

    def _no_operation(self, argument: str) -> None:
        self._say(250, "2.0.0", "Yes")
        self._count_junk()

    def _verify(self, argument: str) -> None:
        self._say(252, "2.0.0", "Send a message and see")  # RFC 5321 3.5.3
        self._count_junk()

    def _help(self, argument: str) -> None:
        self._say(214, "2.0.0", "See RFC 5321")
        self._count_junk()

    def _quit(self, argument: str) -> None:
        self._hang_up(Reply(221, "2.0.0", "Good bye"), "quit")


def _reply(error: TooBig | TooManyRecipients | BareLine) -> Reply:
    return Reply(error.code, error.status, error.sentence)


# A new verb is a row here.
COMMANDS: Mapping[str, Callable[[SmtpDialogue, str], None]] = {
    "HELO": SmtpDialogue._hello,
    "EHLO": SmtpDialogue._extended_hello,
    "STARTTLS": SmtpDialogue._start_tls,
    "MAIL": SmtpDialogue._mail,
    "RCPT": SmtpDialogue._recipient,
    "DATA": SmtpDialogue._data,
    "RSET": SmtpDialogue._reset,
    "NOOP": SmtpDialogue._no_operation,
    "VRFY": SmtpDialogue._verify,
    "HELP": SmtpDialogue._help,
    "QUIT": SmtpDialogue._quit,
}
