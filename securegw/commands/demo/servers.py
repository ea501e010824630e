"""Two mail servers of the demo, an inside and an outside one: they keep what they get in Maildirs.

Not servers for real mail: they take it from anybody who reaches the loopback and queue nothing. The dialogue is the
gateway's own (servers/smtp_dialogue); here stand only the answers, among them those that make trouble on purpose.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
from twisted.application.service import Service
from twisted.internet import interfaces
from twisted.internet.protocol import Protocol, ServerFactory

from securegw.servers.smtp_commands import Reply
from securegw.servers.smtp_dialogue import SmtpDialogue
from securegw.servers.smtp_events import (
    AskMessage,
    AskRecipient,
    AskSender,
    Bounds,
    Close,
    Event,
    Send,
    StartTLS,
)

if TYPE_CHECKING:
    from securegw.mail.address import Address

SIZE = 60 << 20
WELCOME = Reply(250, "2.0.0", "Good")
NOBODY = Reply(550, "5.1.1", "Nobody of that name lives here")
REFUSED = Reply(550, "5.7.1", "This mailbox refuses everything, as it should")
DELAYED = Reply(451, "4.2.1", "This mailbox wants to be asked twice")

_number = count(1)


def deliver(folder: Path, sender: str, recipient: str, raw: bytes) -> Path:
    """Put a mail into a Maildir, byte for byte below the two fields of the delivery itself; lines end with CRLF."""
    for name in ("tmp", "new", "cur"):
        (folder / name).mkdir(mode=0o700, parents=True, exist_ok=True)
    name = f"{time.time():.6f}.{os.getpid()}_{next(_number):06d}.demo"
    fields = f"Return-Path: <{sender}>\r\nDelivered-To: {recipient}\r\n".encode()
    (folder / "tmp" / name).write_bytes(fields + raw)
    return (folder / "tmp" / name).rename(folder / "new" / name)


@attrs.define
class Postbox:
    """Who lives at a server and what it answers; ``silent`` keeps a sender waiting for ever after the text."""

    maildirs: Mapping[str, Path]
    told_once: set[tuple[str, str]] = attrs.field(factory=set)

    def welcome(self, sender: Address | None, recipient: Address) -> Reply:
        """The answer to RCPT."""
        trouble = TROUBLES.get(recipient.local.lower())
        if trouble is not None:
            return trouble(self, str(sender or ""), recipient)
        return WELCOME if recipient.key in self.maildirs else NOBODY

    def keep(self, message: AskMessage) -> Reply | None:
        """Deliver a mail; None when one of its recipients is the silent one."""
        if any(recipient.local.lower() == "silent" for recipient in message.recipients):
            return None
        assert isinstance(message.raw, bytes), "there is no spool here"
        for recipient in message.recipients:
            deliver(self._maildir(recipient), str(message.sender or ""), recipient.key, message.raw)
        return Reply(250, "2.0.0", "Kept")

    def _maildir(self, recipient: Address) -> Path:
        some = next(iter(self.maildirs.values()))
        return self.maildirs.get(recipient.key) or some.parent / recipient.key

    def refuse(self, sender: str, recipient: Address) -> Reply:
        return REFUSED

    def delay(self, sender: str, recipient: Address) -> Reply:
        """No at the first time, yes at the second: as a greylisting server does."""
        pair = (sender, recipient.key)
        if pair in self.told_once:
            self.told_once.discard(pair)
            return WELCOME
        self.told_once.add(pair)
        return DELAYED

    def silent(self, sender: str, recipient: Address) -> Reply:
        return WELCOME


TROUBLES: Mapping[str, Callable[[Postbox, str, Address], Reply]] = {
    "refuse": Postbox.refuse,
    "delay": Postbox.delay,
    "silent": Postbox.silent,
}


class MailSession(Protocol):
    """One connection: carries out what the dialogue says."""

    transport: Any

    def __init__(self, postbox: Postbox, host: str, tls: Any) -> None:
        self.postbox = postbox
        self.tls = tls
        self.dialogue = SmtpDialogue(Bounds(host=host, size=SIZE, tls=tls is not None))

    def connectionMade(self) -> None:
        self.carry_out(self.dialogue.greet())

    def dataReceived(self, data: bytes) -> None:
        self.carry_out(self.dialogue.receive(data))

    def carry_out(self, events: list[Event]) -> None:
        """Do what the dialogue asks for; an answer gives more to do."""
        waiting = list(events)
        while waiting:
            event = waiting.pop(0)
            reply = self.reply(event)
            if reply is not None:
                waiting[:0] = self.dialogue.answer(reply)

    def reply(self, event: Event) -> Reply | None:
        """The answer to a question; for anything else, and for the silent recipient, the deed and no answer."""
        match event:
            case Send(data):
                self.transport.write(data)
            case AskSender():
                return WELCOME
            case AskRecipient(sender, recipient):
                return self.postbox.welcome(sender, recipient)
            case AskMessage():
                return self.postbox.keep(event)
            case StartTLS():
                self.transport.startTLS(self.tls)
                self.dialogue.secured()
            case Close():
                self.transport.loseConnection()
        return None


class MailServer(Service):
    """A listening mail server as a part of the demo's process; ``port`` is there once it has started."""

    def __init__(self, reactor: Any, postbox: Postbox, host: str, *, port: int = 0, tls: Any = None) -> None:
        self.reactor = reactor
        self.postbox = postbox
        self.host = host
        self.tls = tls
        self.wanted = port
        self.listening: interfaces.IListeningPort | None = None

    @property
    def port(self) -> int:
        assert self.listening is not None, "not started"
        port: int = self.listening.getHost().port  # type: ignore[attr-defined]
        return port

    def startService(self) -> None:
        super().startService()  # type: ignore[no-untyped-call]
        factory = ServerFactory()
        factory.noisy = False
        factory.buildProtocol = lambda address: MailSession(  # type: ignore[method-assign, assignment]
            self.postbox, self.host, self.tls
        )
        self.listening = self.reactor.listenTCP(self.wanted, factory, interface="127.0.0.1")

    def stopService(self) -> Any:
        super().stopService()  # type: ignore[no-untyped-call]
        return self.listening.stopListening() if self.listening is not None else None
