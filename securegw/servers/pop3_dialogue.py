"""The server's side of a POP3 dialogue as a state machine: it eats bytes and returns what is to be done.

Not a protocol of Twisted: it opens no socket and knows no clock. How commands follow each other is in
pop3_conversation. Obeys RFC 1939 (without APOP), RFC 2449 (CAPA), RFC 2595 4 (STLS), RFC 3206 (AUTH-RESP-CODE),
RFC 5034 (SASL), RFC 6856 (UTF8) and RFC 8314 4.1: no name and no password before TLS.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from securegw.servers.pop3_conversation import Complaint, Conversation
from securegw.servers.pop3_events import Event, Fetch, Finish, Mail, Send, SignIn, StartTLS, Trouble
from securegw.servers.pop3_sign_in import LONGEST, MECHANISMS, read_credentials, read_plain
from securegw.servers.pop3_text import Stuffer, Top

__all__ = ["COMMANDS", "Pop3Dialogue"]

MOST_FAILURES = 5  # sign-ins on one connection
ALWAYS = ("TOP", "UIDL", "RESP-CODES", "AUTH-RESP-CODE", "PIPELINING", "EXPIRE NEVER", "UTF8 USER")
_NUMBER = re.compile(r"[0-9]{1,10}")


class Pop3Dialogue(Conversation):
    """``greet``, then ``receive`` bytes and answer questions; each call returns what is to be done."""

    def __init__(self, *, tls: bool = True, errors: int = 10) -> None:
        super().__init__(errors)
        self._tls, self._secure = tls, False
        self._name: bytes | None = None
        self._exchange = False
        self._failures = 0
        self._mails: Sequence[Mail] | None = None
        self._total = 0
        self._deleted: set[int] = set()
        self._stuffer: Stuffer | None = None
        self._top: Top | None = None
        self._spoke = False

    # What the owner of the connection calls

    @property
    def is_open(self) -> bool:
        """Whether a mailbox is open (the TRANSACTION state)."""
        return self._mails is not None

    def secured(self) -> list[Event]:
        """TLS covers the connection from here; nothing said before counts (RFC 2595 4)."""
        self._secure, self._name, self._exchange = True, None, False
        return []

    def opened(self, mails: Sequence[Mail]) -> list[Event]:
        """The answer to SignIn."""
        self._mails, self._total = mails, sum(mail.size for mail in mails)
        self._say(f"{len(mails)} messages ({self._total} octets)")
        return self._go_on()

    def text(self, piece: bytes, *, last: bool) -> list[Event]:
        """A part of the mail that is fetched, in its order."""
        stuffer, top = self._stuffer, self._top
        if stuffer is None or not isinstance(self._question, Fetch):
            return []
        wanted = piece if top is None else top.feed(piece)
        reply = b"" if self._spoke else self._heading(self._question.index)
        self._spoke = True
        if last or (top is not None and top.done):
            self._events.append(Send(b"".join((reply, stuffer.feed(wanted), stuffer.end()))))
            self._stuffer = self._top = None
            return self._go_on()
        self._events.append(Send(reply + stuffer.feed(wanted)))
        return self._flush()

    def finished(self) -> list[Event]:
        """The answer to Finish: all that was marked is deleted."""
        self._say("Good bye")
        self._hang_up(None, "quit")
        return self._flush()

    def refused(self, trouble: Trouble) -> list[Event]:
        """The answer to a question that cannot be answered."""
        question = self._question
        if isinstance(question, SignIn):
            self._failures += 1
            self._decline(trouble)
            if self._failures >= MOST_FAILURES:
                self._hang_up(None, "too many sign-ins")
        elif isinstance(question, Finish):
            self._hang_up(trouble, "not deleted")
        elif self._spoke:  # in the middle of a mail nothing can be said: it must not look like its end
            self._hang_up(None, "a mail broke off")
        else:
            self._decline(trouble)
        self._stuffer = self._top = None
        return self._go_on()

    def _go_on(self) -> list[Event]:
        self._question = None
        self._work()
        return self._flush()

    def _heading(self, index: int) -> bytes:
        if self._top is not None:
            return b"+OK\r\n"
        return b"+OK %d octets\r\n" % self._size(index)

    def _take(self, line: bytes) -> None:
        if self._exchange:
            self._exchange = False
            return self._ask(read_plain(line))
        verb, _, argument = line.partition(b" ")
        command = COMMANDS.get(verb.upper().decode("ascii", "replace"))
        if command is None:
            raise Complaint("Command not known")
        return command(self, argument)

    # Before a mailbox is open (AUTHORIZATION)

    def _check_entry(self) -> None:
        if self.is_open:
            raise Complaint("Not now")
        if not self._secure:
            raise Complaint("Begin TLS first")

    def _user(self, argument: bytes) -> None:
        self._check_entry()
        if not 0 < len(argument) <= LONGEST:
            raise Complaint("A name is needed, of up to 255 bytes")
        self._name = argument
        self._say("And the password?")

    def _password(self, argument: bytes) -> None:
        self._check_entry()
        name, self._name = self._name, None
        if name is None:
            raise Complaint("Say USER first")
        self._ask(read_credentials(name, argument))

    def _sign_in(self, argument: bytes) -> None:
        self._check_entry()
        mechanism, _, initial = argument.partition(b" ")
        if not argument:  # how it was asked for before RFC 5034
            return self._list("", list(MECHANISMS))
        if mechanism.upper() not in {name.encode() for name in MECHANISMS}:
            raise Complaint("That way of signing in is not known")
        if initial:
            return self._ask(read_plain(initial))
        self._exchange = True
        return self._events.append(Send(b"+ \r\n"))

    def _start_tls(self, argument: bytes) -> None:
        if self._secure or self.is_open or not self._tls or argument:
            raise Complaint("Not now")
        if self._buffer:  # commands that would cross from clear text into TLS (CVE-2011-0411)
            return self._hang_up(None, "bytes behind STLS")
        self._say("Begin TLS now")
        return self._events.append(StartTLS())

    def _utf8(self, argument: bytes) -> None:
        if self.is_open or argument:
            raise Complaint("Not now")
        self._say("UTF-8")  # mails are sent as they are to everybody

    # While a mailbox is open (TRANSACTION)

    def _there(self) -> Sequence[Mail]:
        if self._mails is None:
            raise Complaint("Open a mailbox first")
        return self._mails

    def _mail(self, word: bytes) -> int:
        """The index of a mail that is there and not marked."""
        mails = self._there()
        number = _number(word)
        if not 1 <= number <= len(mails) or number - 1 in self._deleted:
            raise Complaint("There is no such message")
        return number - 1

    def _size(self, index: int) -> int:
        return self._there()[index].size

    def _left(self) -> list[tuple[int, Mail]]:
        deleted = self._deleted
        left = enumerate(self._there(), 1)
        return [pair for pair in left if pair[0] - 1 not in deleted] if deleted else list(left)

    def _status(self, argument: bytes) -> None:
        mails = self._there()
        gone = sum(mails[index].size for index in self._deleted)
        self._say(f"{len(mails) - len(self._deleted)} {self._total - gone}")

    def _scan(self, argument: bytes) -> None:
        self._tell(argument, lambda mails: [f"{number} {mail.size}" for number, mail in mails])

    def _unique_ids(self, argument: bytes) -> None:
        self._tell(argument, lambda mails: [f"{number} {mail.id}" for number, mail in mails])

    def _tell(self, argument: bytes, lines: Callable[[list[tuple[int, Mail]]], list[str]]) -> None:
        """LIST and UIDL: of one message, or of all."""
        if argument:
            index = self._mail(argument)
            return self._say(lines([(index + 1, self._there()[index])])[0])
        left = self._left()
        return self._list(f"{len(left)} messages", lines(left))

    def _retrieve(self, argument: bytes) -> None:
        self._fetch(self._mail(argument), None)

    def _retrieve_top(self, argument: bytes) -> None:
        words = argument.split(b" ")
        if len(words) != 2:
            raise Complaint("TOP is: message, lines")
        self._fetch(self._mail(words[0]), Top(_number(words[1])))

    def _fetch(self, index: int, top: Top | None) -> None:
        self._stuffer, self._top, self._spoke = Stuffer(), top, False
        self._ask(Fetch(index))

    def _delete(self, argument: bytes) -> None:
        self._deleted.add(self._mail(argument))
        self._say("Marked; QUIT deletes it")

    def _reset(self, argument: bytes) -> None:
        self._there()
        self._deleted.clear()
        self._say("Nothing is marked")

    def _no_operation(self, argument: bytes) -> None:
        self._there()
        self._say("Yes")

    # Always

    def _capabilities(self, argument: bytes) -> None:
        found = [*ALWAYS]
        if self._secure:
            found += ["USER", "SASL " + " ".join(MECHANISMS)]
        elif self._tls and not self.is_open:
            found.append("STLS")
        self._list("What I can do", [*found, "IMPLEMENTATION securegw"])

    def _quit(self, argument: bytes) -> None:
        if self.is_open:
            return self._ask(Finish(sorted(self._deleted)))
        self._say("Good bye")
        return self._hang_up(None, "quit")


def _number(word: bytes) -> int:
    text = word.decode("ascii", "replace")
    if not _NUMBER.fullmatch(text):
        raise Complaint("A number is needed")
    return int(text)


# A new command is a row here.
COMMANDS: Mapping[str, Callable[[Pop3Dialogue, bytes], None]] = {
    "AUTH": Pop3Dialogue._sign_in,
    "CAPA": Pop3Dialogue._capabilities,
    "DELE": Pop3Dialogue._delete,
    "LIST": Pop3Dialogue._scan,
    "NOOP": Pop3Dialogue._no_operation,
    "PASS": Pop3Dialogue._password,
    "QUIT": Pop3Dialogue._quit,
    "RETR": Pop3Dialogue._retrieve,
    "RSET": Pop3Dialogue._reset,
    "STAT": Pop3Dialogue._status,
    "STLS": Pop3Dialogue._start_tls,
    "TOP": Pop3Dialogue._retrieve_top,
    "UIDL": Pop3Dialogue._unique_ids,
    "USER": Pop3Dialogue._user,
    "UTF8": Pop3Dialogue._utf8,
}
