"""The server's side of an SMTP dialogue as a state machine: it eats bytes and returns what is to be done.

Not a protocol of Twisted: it opens no socket and knows no clock. How commands follow each other is in
smtp_conversation, how a message comes in smtp_transfer; here are the greetings, the session and the table of verbs.
Obeys RFC 5321, RFC 3207 (STARTTLS) and RFC 4954 (AUTH, only under TLS).
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping

from securegw.servers.smtp_commands import Complaint, Reply, read_name, split_line
from securegw.servers.smtp_conversation import LINE_LIMIT, WAITING_LIMIT
from securegw.servers.smtp_events import AskSignIn, Bounds, Event, StartTLS
from securegw.servers.smtp_sign_in import MECHANISMS, Exchange, read_initial, read_response
from securegw.servers.smtp_transfer import Transfer

__all__ = ["COMMANDS", "LINE_LIMIT", "WAITING_LIMIT", "SmtpDialogue"]

# Verbs of other protocols: somebody makes a browser or a balancer talk to us (RFC 5321 never had them).
FOREIGN = frozenset({"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PRI", "PROXY", "PUT"})
ALWAYS = ("PIPELINING", "8BITMIME", "SMTPUTF8", "CHUNKING", "DSN")


class SmtpDialogue(Transfer):
    """``greet``, then ``receive`` bytes and ``answer`` questions; each call returns what is to be done."""

    def __init__(self, bounds: Bounds) -> None:
        super().__init__(bounds)
        self._secure = self._signed_in = False
        self._exchange: Exchange | None = None

    def secured(self) -> list[Event]:
        """TLS covers the connection from here; nothing said before counts (RFC 3207 4.2)."""
        self._forget()
        self._secure, self._signed_in, self._exchange = True, False, None
        self.helo, self._extended = "", False
        return []

    def _take(self, line: bytes) -> None:
        if self.reading_text is None:  # chunks of one text are one step, however many there are
            self.steps += 1
        if self._exchange is not None:
            self._respond(self._exchange, read_response(line))
        else:
            self._run(*split_line(line))

    def _complain(self, reply: Reply) -> None:
        self._exchange = None
        super()._complain(reply)

    def _run(self, verb: str, argument: str) -> None:
        wary, self._wary = self._wary, False
        if verb in COMMANDS:
            COMMANDS[verb](self, argument)
        elif wary or verb in FOREIGN:
            self._hang_up(Reply(554, "5.5.1", "This is an SMTP server"), "not SMTP")
        else:
            raise Complaint(500, "5.5.1", "Command not known")

    # Greetings

    def _hello(self, argument: str) -> None:
        self._introduce(argument, extended=False)
        self._replies.append(f"250 {self._bounds.host}\r\n".encode("ascii"))

    def _extended_hello(self, argument: str) -> None:
        self._introduce(argument, extended=True)
        *lines, last = [self._bounds.host, *self._extensions()]
        self._replies.append(("".join(f"250-{line}\r\n" for line in lines) + f"250 {last}\r\n").encode("ascii"))

    def _introduce(self, argument: str, *, extended: bool) -> None:
        name = read_name(argument)
        if self.helo:
            self._count_junk()
        self._forget()  # RFC 5321 4.1.4: a later EHLO acts as RSET
        self.helo, self._extended = name, extended

    def _extensions(self) -> list[str]:
        found = [f"SIZE {self._bounds.size}", *ALWAYS]
        if self._bounds.sign_in and self._secure:
            found.append("AUTH " + " ".join(MECHANISMS))
        found.append("ENHANCEDSTATUSCODES")
        if self._bounds.tls and not self._secure:
            found.append("STARTTLS")
        return found

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

    # AUTH

    def _sign_in(self, argument: str) -> None:
        mechanism, _, initial = argument.partition(" ")
        self._check_sign_in(mechanism)
        exchange = self._exchange = MECHANISMS[mechanism.upper()]()
        challenge = next(exchange)
        if initial:
            self._respond(exchange, read_initial(initial))
        else:
            self._challenge(challenge)

    def _check_sign_in(self, mechanism: str) -> None:
        if not self._bounds.sign_in:
            raise Complaint(502, "5.5.1", "Nobody signs in here")
        if not self._secure:
            raise Complaint(538, "5.7.11", "Not without TLS", "sign-in-without-tls")
        if self._signed_in or self._transaction or not self._extended:
            raise Complaint(503, "5.5.1", "Not now")
        if mechanism.upper() not in MECHANISMS:
            raise Complaint(504, "5.5.4", "That way of signing in is not known")

    def _challenge(self, challenge: bytes) -> None:
        self._replies.append(b"334 " + base64.b64encode(challenge) + b"\r\n")

    def _respond(self, exchange: Exchange, response: bytes) -> None:
        try:
            self._challenge(exchange.send(response))
        except StopIteration as end:
            self._exchange = None
            self._ask(AskSignIn(end.value), self._sign_in_answered)

    def _sign_in_answered(self, reply: Reply) -> None:
        if not reply.positive:
            return self._complain(reply)
        self._replies.append(reply.wire())
        self._signed_in = True
        return None

    # The small ones

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


# A new verb is a row here.
COMMANDS: Mapping[str, Callable[[SmtpDialogue, str], None]] = {
    "HELO": SmtpDialogue._hello,
    "EHLO": SmtpDialogue._extended_hello,
    "STARTTLS": SmtpDialogue._start_tls,
    "AUTH": SmtpDialogue._sign_in,
    "MAIL": SmtpDialogue._mail,
    "RCPT": SmtpDialogue._recipient,
    "DATA": SmtpDialogue._data,
    "BDAT": SmtpDialogue._chunk,
    "RSET": SmtpDialogue._reset,
    "NOOP": SmtpDialogue._no_operation,
    "VRFY": SmtpDialogue._verify,
    "HELP": SmtpDialogue._help,
    "QUIT": SmtpDialogue._quit,
}
