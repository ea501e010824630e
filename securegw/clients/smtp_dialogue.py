"""The client's side of an SMTP dialogue as a state machine: it eats replies and returns what is to be done.

Not a connection and not a queue: it opens nothing and tries nothing again. Obeys RFC 5321, RFC 1870 (SIZE),
RFC 2920 (PIPELINING), RFC 3207 (STARTTLS), RFC 6152 (8BITMIME) and RFC 6531 (SMTPUTF8). A message leaves as it is
or not at all: nothing is converted for a host that cannot take it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Literal, TypeAlias

import attrs

from securegw.clients.smtp_replies import BadReply, Lines, Reply, ReplyReader
from securegw.mail.address import parse_path
from securegw.mail.errors import BadAddress, BareLine
from securegw.mail.message import check_wire

Tls = Literal["none", "may", "encrypt", "verify"]
Stage = Literal["greeting", "hello", "handshake", "idle", "envelope", "end", "over"]


@attrs.frozen
class Mail:
    """One transaction; ``sender`` "" is the null sender."""

    sender: str
    recipients: tuple[str, ...]
    raw: bytes
    eight_bit: bool = False
    utf8: bool = False


@attrs.frozen
class Send:
    data: bytes


@attrs.frozen
class StartTLS:
    """Begin the handshake now, then call ``secured``."""


@attrs.frozen
class Ready:
    """The server takes mail now."""


@attrs.frozen
class Broken:
    """This connection will never take mail; ``handshake`` if TLS could not be agreed on."""

    reply: Reply
    handshake: bool = False


@attrs.frozen
class Done:
    """A reply for each recipient. Close the connection unless it is ``reusable``.

    ``untouched``: the connection ended before the server said a word about this mail.
    """

    replies: Mapping[str, Reply]
    reusable: bool
    untouched: bool = False


Event: TypeAlias = Send | StartTLS | Ready | Broken | Done
Then: TypeAlias = Callable[[Lines], None]


def stuff(raw: bytes) -> bytes:
    """The text with its dots doubled, over the whole of it at once (RFC 5321 4.5.2), ending with CRLF."""
    if raw.startswith(b"."):
        raw = b"." + raw
    if b"\r\n." in raw:
        raw = raw.replace(b"\r\n.", b"\r\n..")
    return raw if not raw or raw.endswith(b"\r\n") else raw + b"\r\n"


class SmtpClientDialogue:
    """``receive`` until Ready, then ``send`` mails one after the other; each call returns what is to be done."""

    def __init__(self, host_name: str, *, tls: Tls, remote: str = "") -> None:
        self.stage: Stage = "greeting"
        self.steps = 0  # grows with every reply, so that a clock can tell progress from dripping
        self._name = host_name
        self._tls = tls
        self._remote = remote
        self._secure = False
        self._offers: dict[str, str] = {}
        self._reader = ReplyReader()
        self._expected: deque[Then] = deque([self._greeted])
        self._steps: deque[tuple[bytes, Then]] = deque()
        self._events: list[Event] = []
        self._needs_reset = False
        self._begin(None)

    def _begin(self, mail: Mail | None) -> None:
        self._mail = mail
        self._replies: dict[str, Reply] = {}
        self._accepted: list[str] = []
        self._sender_refused: Reply | None = None
        self._heard = False

    # What the owner of the connection calls

    @property
    def over(self) -> bool:
        """Nothing is to be said any more."""
        return self.stage == "over"

    def receive(self, data: bytes) -> list[Event]:
        if self.over:
            return []
        self._reader.feed(data)
        try:
            while not self.over and (lines := self._reader.next()):
                self._take(lines)
        except BadReply as error:
            self._break(Reply(451, "4.5.0", f"Not understood: {error}", self._remote))
        return self._flush()

    def secured(self) -> list[Event]:
        """TLS covers the connection; what was said before is forgotten (RFC 3207 4.2)."""
        self._secure = True
        self._offers = {}
        self._hello()
        return self._flush()

    def send(self, mail: Mail) -> list[Event]:
        """Begin a transaction; only when Ready, or Done with a reusable connection."""
        self._begin(mail)
        self.stage = "envelope"
        if refusal := self._refusal(mail):
            self._finish(refusal)
        else:
            self._send_envelope(mail)
        return self._flush()

    def quit(self) -> list[Event]:
        self.stage = "over"
        return [Send(b"QUIT\r\n")]

    def lost(self, why: str) -> list[Event]:
        """The connection ended or took too long; whatever was not answered is a temporary failure."""
        status = "4.7.5" if self.stage == "handshake" else "4.4.2"
        self._break(Reply(451, status, why, self._remote))
        return self._flush()

    # Replies

    def _take(self, lines: Lines) -> None:
        self.steps += 1
        if not self._expected:
            raise BadReply("a reply to nothing")
        then = self._expected.popleft()
        if lines.code == 421:  # the server closes, whatever was asked (RFC 5321 3.8)
            return self._break(lines.reply(self._remote))
        then(lines)
        return self._next_step()

    def _flush(self) -> list[Event]:
        events, self._events = self._events, []
        return events

    def _command(self, line: str, then: Then) -> None:
        self._expected.append(then)
        self._events.append(Send(f"{line}\r\n".encode()))

    def _break(self, reply: Reply) -> None:
        if self.over:
            return
        handshake, untouched = self.stage == "handshake", not self._heard
        self.stage = "over"
        if self._mail:
            self._close_account(reply)
            self._events.append(Done(self._replies, reusable=False, untouched=untouched))
        else:
            self._events.append(Broken(reply, handshake))

    # Greeting, EHLO, STARTTLS

    def _greeted(self, lines: Lines) -> None:
        if lines.code != 220:
            return self._break(lines.reply(self._remote))
        return self._hello()

    def _hello(self) -> None:
        self.stage = "hello"
        self._command(f"EHLO {self._name}", self._hello_answered)

    def _hello_answered(self, lines: Lines) -> None:
        if lines.code >= 500:
            return self._command(f"HELO {self._name}", self._old_hello_answered)
        if lines.code != 250:
            return self._break(lines.reply(self._remote))
        for text in lines.texts[1:]:
            keyword, _, parameters = text.strip().partition(" ")
            self._offers[keyword.upper()] = parameters
        return self._greeting_over()

    def _old_hello_answered(self, lines: Lines) -> None:
        if lines.code != 250:
            return self._break(lines.reply(self._remote))
        return self._greeting_over()

    def _greeting_over(self) -> None:
        if self._tls == "none" or self._secure:
            self._ready()
        elif "STARTTLS" in self._offers:
            self._command("STARTTLS", self._tls_answered)
        elif self._tls == "may":
            self._ready()
        else:
            self._break(Reply(451, "4.7.4", "TLS is required and was not offered", self._remote))

    def _tls_answered(self, lines: Lines) -> None:
        if lines.code == 220:
            if not self._reader.empty:  # replies that would cross from clear text into TLS
                raise BadReply("text between STARTTLS and TLS")
            self.stage = "handshake"
            self._events.append(StartTLS())
        elif self._tls == "may":
            self._ready()
        else:
            reply = lines.reply(self._remote)
            self._break(Reply(451, "4.7.4", f"TLS is required and was refused: {reply}", self._remote))

    def _ready(self) -> None:
        self.stage = "idle"
        self._events.append(Ready())

    # The envelope

    def _refusal(self, mail: Mail) -> Reply | None:
        """Why this server cannot take this mail at all."""
        try:
            check_wire(mail.raw)
            if mail.sender:
                parse_path(mail.sender, utf8=mail.utf8)
        except (BareLine, BadAddress) as error:
            return Reply(error.code, error.status, error.sentence)
        limit = self._offers.get("SIZE", "")
        if limit.isdecimal() and 0 < int(limit[:30]) < len(mail.raw):
            return Reply(552, "5.3.4", f"{self._remote} takes {limit} bytes at most", self._remote)
        if _has_eight_bits(mail) and "8BITMIME" not in self._offers:
            return Reply(554, "5.6.3", f"{self._remote} takes no 8-bit text", self._remote)
        if mail.utf8 and "SMTPUTF8" not in self._offers:
            return Reply(550, "5.6.7", f"{self._remote} takes no such addresses", self._remote)
        return None

    def _send_envelope(self, mail: Mail) -> None:
        if self._needs_reset:
            self._steps.append((b"RSET\r\n", lambda lines: None))
        self._needs_reset = True
        line = f"MAIL FROM:<{mail.sender}>{self._parameters(mail)}\r\n".encode()
        self._steps.append((line, self._sender_answered))
        for recipient in dict.fromkeys(mail.recipients):
            self._add_recipient(recipient, utf8=mail.utf8)
        self._steps.append((b"DATA\r\n", self._data_answered))
        if "PIPELINING" in self._offers:
            self._events.append(Send(b"".join(line for line, _ in self._steps)))
            self._expected.extend(then for _, then in self._steps)
            self._steps.clear()
        else:
            self._next_step()

    def _parameters(self, mail: Mail) -> str:
        found = ""
        if "SIZE" in self._offers:
            found += f" SIZE={len(mail.raw)}"
        if _has_eight_bits(mail):
            found += " BODY=8BITMIME"
        return found + (" SMTPUTF8" if mail.utf8 else "")

    def _add_recipient(self, recipient: str, *, utf8: bool) -> None:
        try:
            parse_path(recipient, utf8=utf8)
        except BadAddress as error:  # nothing but an address ever reaches a command line
            self._replies[recipient] = Reply(error.code, error.status, error.sentence)
        else:
            line = f"RCPT TO:<{recipient}>\r\n".encode()
            self._steps.append((line, lambda lines: self._recipient_answered(recipient, lines)))

    def _next_step(self) -> None:
        """Without PIPELINING: the next command, when the last is answered."""
        if not self._steps or self._expected or self.stage != "envelope":
            return
        line, then = self._steps.popleft()
        if not self._steps and not self._accepted:  # it is DATA, and for nobody
            self._finish(None)
        else:
            self._expected.append(then)
            self._events.append(Send(line))

    def _sender_answered(self, lines: Lines) -> None:
        reply = self._reply(lines)
        if not reply.positive:
            self._sender_refused = reply
            while len(self._steps) > 1:  # without PIPELINING nobody need be named any more
                self._steps.popleft()

    def _recipient_answered(self, recipient: str, lines: Lines) -> None:
        reply = self._reply(lines)
        if reply.positive:
            self._accepted.append(recipient)
        else:
            self._replies[recipient] = self._sender_refused or reply

    def _reply(self, lines: Lines) -> Reply:
        """The reply to MAIL, RCPT or the text: never an intermediate one."""
        if 300 <= lines.code < 400:
            raise BadReply(f"{lines.code} is no answer to that")
        self._heard = True
        return lines.reply(self._remote)

    # The text

    def _data_answered(self, lines: Lines) -> None:
        reply = lines.reply(self._remote)
        wanted = bool(self._accepted) and not self._sender_refused
        if lines.code == 354 and wanted:
            assert self._mail is not None
            self.stage = "end"
            self._needs_reset = False
            self._expected.append(self._text_answered)
            self._events += [Send(stuff(self._mail.raw)), Send(b".\r\n")]
        elif lines.code < 400:  # it waits for a text that nobody is to get, or is out of step: end the connection
            self._break(Reply(451, "4.5.0", f"Not understood: {reply}", self._remote))
        else:
            self._finish(reply)

    def _text_answered(self, lines: Lines) -> None:
        self._finish(self._reply(lines))

    def _finish(self, rest: Reply | None) -> None:
        """End of the transaction: ``rest`` is for those who have no reply of their own yet."""
        self._close_account(rest)
        replies = self._replies
        self._begin(None)
        self._steps.clear()
        self.stage = "idle"
        self._events.append(Done(replies, reusable=True))

    def _close_account(self, rest: Reply | None) -> None:
        assert self._mail is not None
        last = self._sender_refused or rest
        for recipient in self._mail.recipients:
            if last is not None:
                self._replies.setdefault(recipient, last)


def _has_eight_bits(mail: Mail) -> bool:
    return mail.eight_bit or not mail.raw.isascii()
