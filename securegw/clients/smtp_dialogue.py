"""The client's side of an SMTP dialogue as a state machine: it eats replies and returns what is to be done.

Not a connection and not a queue: it opens nothing and tries nothing again. Obeys RFC 5321, RFC 2920 (PIPELINING),
RFC 3030 (CHUNKING: a small text in the same write as its envelope), RFC 3207 (STARTTLS) and RFC 4954 (AUTH, only under
TLS).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TypeAlias

import attrs

from securegw.clients.hop import Tls
from securegw.clients.smtp_envelope import Mail, Offers, read_offers, recipient_command, refusal, sender_command
from securegw.clients.smtp_events import Broken, Done, Event, Ready, Send, SendText, Stage, StartTLS
from securegw.clients.smtp_replies import BadReply, Lines, Reply, ReplyReader
from securegw.clients.smtp_sign_in import CONTINUE, WELCOME, Login
from securegw.clients.smtp_text import PIECE, stuffed

__all__ = ["Mail", "SmtpClientDialogue", "Tls"]

Then: TypeAlias = Callable[[Lines], None]

SMALL = 64 * 1024  # bytes of a text that may be sent before we know whether anybody takes it
NOT_DONE = {500, 501, 502, 503, 504}  # BDAT is not understood, whatever was offered: something stands between us


class SmtpClientDialogue:
    """``receive`` until Ready, then ``send`` mails one after the other; each call returns what is to be done."""

    def __init__(
        self, host_name: str, *, tls: Tls, remote: str = "", login: Login | None = None, chunking: bool = True
    ) -> None:
        self.stage: Stage = "greeting"
        self.steps = 0  # grows with every reply, so that a clock can tell progress from dripping
        self._name = host_name
        self._tls = tls
        self._remote = remote
        self._login = login
        self._chunking = chunking
        self._secure = False
        self._offers = Offers()
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
        self._heard = self._has_chunk = False
        self._text_open = False

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
        self._offers = Offers()
        self._hello()
        return self._flush()

    def mistrusted(self, why: str) -> list[Event]:
        """TLS covers the connection, but not with whom it should."""
        self._break(Reply(451, "4.7.5", why, self._remote))
        return self._flush()

    def send(self, mail: Mail, *, in_one: bool = False) -> list[Event]:
        """Begin a transaction; only when Ready, or Done with a reusable connection.

        ``in_one``: the server is known to be there, so that the text of a small mail may go with the envelope. If the
        connection ends then, the mail may have been taken without a word.
        """
        self._begin(mail)
        self.stage = "envelope"
        if refused := refusal(mail, self._offers, self._remote):
            self._finish(refused)
        else:
            self._send_envelope(mail, in_one and self._goes_in_one(mail.raw))
        return self._flush()

    def text_sent(self) -> None:
        """All pieces of a SendText are on their way."""
        self._text_open = False

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
            return self._break(self._said(lines))
        then(lines)
        return self._next_step()

    def _said(self, lines: Lines) -> Reply:
        """A reply as it may be written down: whoever knows our password might repeat it anywhere."""
        reply = lines.reply(self._remote)
        return attrs.evolve(reply, text=self._login.hide(reply.text)) if self._login else reply

    def _flush(self) -> list[Event]:
        events, self._events = self._events, []
        return events

    def _command(self, line: bytes, then: Then) -> None:
        self._expected.append(then)
        self._events.append(Send(line))

    def _break(self, reply: Reply) -> None:
        if self.over:
            return
        handshake, unheard = self.stage == "handshake", not self._heard
        self.stage = "over"
        if self._mail:
            self._close_account(reply)
            untouched, silent = unheard and not self._has_chunk, unheard and self._has_chunk
            self._events.append(Done(self._replies, False, untouched, silent, dsn="DSN" in self._offers))
        else:
            self._take_back(reply, handshake=handshake)

    def _take_back(self, reply: Reply, *, handshake: bool) -> None:
        """What came in the same piece as the good news before it: nobody may use this connection any more."""
        last = self._events.pop() if self._events else None
        if isinstance(last, Done):
            self._events.append(attrs.evolve(last, reusable=False))
        else:
            self._events += [last] if last and not isinstance(last, Ready) else []
            self._events.append(Broken(reply, handshake))

    def _fail(self, status: str, why: str) -> None:
        self._break(Reply(451, status, why, self._remote))

    # Greeting, EHLO, STARTTLS

    def _greeted(self, lines: Lines) -> None:
        if lines.code != 220:
            return self._break(self._said(lines))
        return self._hello()

    def _hello(self) -> None:
        self.stage = "hello"
        self._command(f"EHLO {self._name}\r\n".encode(), self._hello_answered)

    def _hello_answered(self, lines: Lines) -> None:
        if lines.code >= 500:
            return self._command(f"HELO {self._name}\r\n".encode(), self._old_hello_answered)
        if lines.code != 250:
            return self._break(self._said(lines))
        self._offers = read_offers(lines.texts[1:])
        return self._greeting_over()

    def _old_hello_answered(self, lines: Lines) -> None:
        if lines.code != 250:
            return self._break(self._said(lines))
        return self._greeting_over()

    def _greeting_over(self) -> None:
        if self._tls == "none" or self._secure:
            self._sign_in()
        elif "STARTTLS" in self._offers:
            self._command(b"STARTTLS\r\n", self._tls_answered)
        elif self._tls == "may":
            self._sign_in()
        else:
            self._fail("4.7.4", f"TLS is required and {self._remote} does not offer it")

    def _tls_answered(self, lines: Lines) -> None:
        if lines.code == 220:
            if not self._reader.empty:  # replies that would cross from clear text into TLS
                raise BadReply("text between STARTTLS and TLS")
            self.stage = "handshake"
            self._events.append(StartTLS())
        elif lines.code < 400:
            raise BadReply(f"{lines.code} is no answer to STARTTLS")
        elif self._tls == "may":
            self._sign_in()
        else:
            self._fail("4.7.4", f"TLS is required and was refused: {self._said(lines)}")

    # AUTH

    def _sign_in(self) -> None:
        if self._login is None:
            return self._ready()
        if not self._secure:
            return self._fail("4.7.11", f"A password is only sent under TLS, and there is none with {self._remote}")
        lines = self._login.lines(self._offers.mechanisms) if self._login.possible else []
        if not lines:
            return self._fail("4.7.9", f"{self._remote} offers no way to sign in that we know (PLAIN, LOGIN)")
        return self._say(deque(lines))

    def _say(self, lines: deque[bytes]) -> None:
        """The next line of the sign-in; what is left of it goes with the answer."""
        self._command(lines.popleft(), lambda answer: self._sign_in_answered(lines, answer))

    def _sign_in_answered(self, rest: deque[bytes], answer: Lines) -> None:
        if answer.code == WELCOME and not rest:
            self._ready()
        elif answer.code == CONTINUE and rest:
            self._say(rest)
        elif answer.code < 400:
            raise BadReply(f"{answer.code} is no answer to AUTH")
        else:
            self._fail("4.7.8", f"{self._remote} does not let us sign in: {self._said(answer)}")

    def _ready(self) -> None:
        self.stage = "idle"
        self._events.append(Ready())

    # The envelope

    def _goes_in_one(self, raw: object) -> bool:
        """Whether a chunk is the same as what DATA would bring: lines that all end."""
        if not isinstance(raw, bytes) or len(raw) > SMALL or not raw.endswith(b"\r\n"):
            return False
        return self._chunking and "CHUNKING" in self._offers and "PIPELINING" in self._offers

    def _send_envelope(self, mail: Mail, in_one: bool) -> None:
        if self._needs_reset:
            self._steps.append((b"RSET\r\n", self._reset_answered))
        self._steps.append((sender_command(mail, self._offers), self._sender_answered))
        before = len(self._steps)
        for recipient in dict.fromkeys(mail.recipients):
            self._add_recipient(recipient, mail)
        if len(self._steps) == before:  # nobody can be named to this server
            return self._finish(None)
        self._needs_reset = True
        if in_one:
            assert isinstance(mail.raw, bytes)
            self._steps.append((b"BDAT %d LAST\r\n" % len(mail.raw), self._chunk_answered))
            self.stage, self._has_chunk = "end", True
            return self._say_envelope(mail.raw)
        self._steps.append((b"DATA\r\n", self._data_answered))
        return self._say_envelope()

    def _say_envelope(self, chunk: bytes = b"") -> None:
        """All of it in one write, if the server can take that; a chunk only goes to one that can."""
        if "PIPELINING" in self._offers:
            self._events.append(Send(b"".join([*[line for line, _ in self._steps], chunk])))
            self._expected.extend([then for _, then in self._steps])
            self._steps.clear()
        else:
            self._next_step()

    def _add_recipient(self, recipient: str, mail: Mail) -> None:
        command = recipient_command(recipient, mail, self._offers, self._remote)
        if isinstance(command, Reply):
            self._replies[recipient] = command
        else:
            self._steps.append((command, lambda lines: self._recipient_answered(recipient, lines)))

    def _next_step(self) -> None:
        """Without PIPELINING: the next command, when the last is answered."""
        if not self._steps or self._expected or self.stage != "envelope":
            return
        line, then = self._steps.popleft()
        if not self._steps and not self._accepted:  # it is DATA, and for nobody
            self._finish(None)
        else:
            self._command(line, then)

    def _reset_answered(self, lines: Lines) -> None:
        if lines.code != 250:  # it is not where we think it is
            raise BadReply(f"{lines.code} is no answer to RSET")

    def _sender_answered(self, lines: Lines) -> None:
        if not self._is_good(lines):
            self._sender_refused = self._said(lines)
            while len(self._steps) > 1:  # without PIPELINING nobody need be named any more
                self._steps.popleft()

    def _recipient_answered(self, recipient: str, lines: Lines) -> None:
        if self._is_good(lines):
            self._accepted.append(recipient)
        else:
            self._replies[recipient] = self._sender_refused or self._said(lines)

    def _is_good(self, lines: Lines) -> bool:
        """Whether MAIL, RCPT or the text was taken; the answer is never an intermediate one."""
        if 300 <= lines.code < 400:
            raise BadReply(f"{lines.code} is no answer to that")
        self._heard = True
        return lines.code < 300

    # The text

    def _data_answered(self, lines: Lines) -> None:
        wanted = bool(self._accepted) and not self._sender_refused
        if lines.code == 354 and wanted:
            self._needs_reset = False
            self._send_text()
        elif lines.code < 400:  # it waits for a text that nobody is to get, or is out of step: end the connection
            self._fail("4.5.0", f"Not understood: {self._said(lines)}")
        else:
            self._finish(self._said(lines))

    def _chunk_answered(self, lines: Lines) -> None:
        wanted, good = bool(self._accepted) and not self._sender_refused, self._is_good(lines)
        if good and not wanted:
            self._fail("4.5.0", f"Not understood: {self._said(lines)}")
        elif wanted and lines.code in NOT_DONE:
            self._send_again()
        else:
            self._needs_reset = not good
            self._finish(self._said(lines))

    def _send_again(self) -> None:
        """The other way: with DATA, and so from here on."""
        mail = self._mail
        assert mail is not None
        self._chunking = False
        self._begin(mail)
        self.stage = "envelope"
        self._send_envelope(mail, in_one=False)

    def _send_text(self) -> None:
        assert self._mail is not None
        self.stage = "end"
        self._expected.append(self._text_answered)
        raw = self._mail.raw
        if not isinstance(raw, bytes):
            self._text_open = True
            self._events.append(SendText(raw.reader()))
        elif len(raw) <= PIECE:
            self._events.append(Send(next(stuffed(raw))))
        else:
            self._text_open = True
            self._events.append(SendText(stuffed(raw)))

    def _text_answered(self, lines: Lines) -> None:
        good = self._is_good(lines)
        if not self._text_open:
            self._finish(self._said(lines))
        elif good:
            raise BadReply("the mail is taken before its end")
        else:  # what we still say of the text would be commands: end the connection
            self._break(self._said(lines))

    def _finish(self, rest: Reply | None) -> None:
        """End of the transaction: ``rest`` is for those who have no reply of their own yet."""
        self._close_account(rest)
        replies = self._replies
        self._begin(None)
        self._steps.clear()
        self.stage = "idle"
        self._events.append(Done(replies, reusable=True, dsn="DSN" in self._offers))

    def _close_account(self, rest: Reply | None) -> None:
        assert self._mail is not None
        last = self._sender_refused or rest
        if last is not None:
            for recipient in self._mail.recipients:
                self._replies.setdefault(recipient, last)
