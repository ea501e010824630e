"""The peer of an SMTP connection: who it is, and what ``Intake`` says to its questions, as replies.

Not the connection, and not a judge. Obeys RFC 5321 4.2 and RFC 3463 in what errors become.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import attrs
import txaio

from securegw.ids import new_id
from securegw.mail.address import Address
from securegw.mail.envelope import Envelope, Source
from securegw.mail.errors import MailError
from securegw.servers.client_certificates import Shown
from securegw.servers.smtp_commands import Reply
from securegw.servers.smtp_counters import BYTES, MESSAGES, SIGN_INS
from securegw.servers.smtp_events import AskMessage, AskRecipient, AskSender, AskSignIn, Question
from securegw.servers.smtp_spool import Spool

log = txaio.make_logger()

SENDER_OK = Reply(250, "2.1.0", "Sender ok")
RECIPIENT_OK = Reply(250, "2.1.5", "Recipient ok")
SIGNED_IN = Reply(235, "2.7.0", "Signed in")
NOT_NOW = Reply(451, "4.3.0", "That cannot be done now; please try again", "internal")


class Intake(Protocol):
    """Who decides and keeps (flow/intake). A coroutine may raise MailError; ``accept`` ends when all is durable."""

    @property
    def size_limit(self) -> int: ...

    @property
    def recipients_limit(self) -> int: ...

    def is_inside(self, address: str) -> bool: ...

    async def sign_in(self, source: Source, name: str, password: str) -> Source: ...

    async def vouch(self, source: Source, names: tuple[str, ...], fingerprint: str) -> Source: ...

    async def sender(self, source: Source, sender: Address | None, size: int | None) -> None: ...

    async def recipient(self, source: Source, sender: Address | None, recipient: Address) -> None: ...

    @property
    def spool(self) -> Callable[[Sequence[Address]], Spool] | None: ...

    async def accept(self, envelope: Envelope, raw: Any) -> str: ...  # bytes, or a spool of its own making


class Peer:
    """Who is there is found out step by step: by address, by a certificate, by signing in."""

    def __init__(self, intake: Intake, address: str = "", port: int = 0, *, known: bool = False) -> None:
        self.address = address
        self.known = known
        self._port = port
        self._tls = ""
        self._intake = intake
        self._source: Source | None = None
        self._certificate: Shown | None = None

    def secured(self, tls: str, certificate: Shown | None) -> None:
        """TLS begins, and who the peer is begins anew with it (RFC 3207 4.2)."""
        self._source = None
        self._tls, self._certificate = tls, certificate

    async def ask(self, question: Question, helo: str, now: Callable[[], float]) -> Reply:
        """The reply to a question of the dialogue; never raises."""
        try:
            source = await self._introduce(helo)
            return await self._put(question, source, now)
        except MailError as error:
            if error.detail:
                why = f"{error.reason}: {error.detail}"
                log.info("smtp {address}: {why}", address=self.address, why=why)
            return Reply(error.code, error.status, error.sentence, error.reason)
        except Exception:
            log.failure("smtp {address}: a question could not be answered", address=self.address)
            return NOT_NOW

    async def _introduce(self, helo: str) -> Source:
        source = self._source or Source("smtp", self.address, self._port, helo, self._tls, inside=self.known)
        if source.helo != helo:
            source = attrs.evolve(source, helo=helo)
        if self._certificate is not None:
            source = await self._intake.vouch(source, self._certificate.names, self._certificate.fingerprint)
            self._certificate = None
        self._source = source
        return source

    async def _put(self, question: Question, source: Source, now: Callable[[], float]) -> Reply:
        intake = self._intake
        if isinstance(question, AskRecipient):
            await intake.recipient(source, question.sender, question.recipient)
            return RECIPIENT_OK
        if isinstance(question, AskSender):
            await intake.sender(source, question.sender, question.terms.size)
            return SENDER_OK
        if isinstance(question, AskSignIn):
            return await self._sign_in(question, source)
        trace = await intake.accept(_envelope(question, source, now()), question.raw)
        MESSAGES.inc()
        BYTES.inc(len(question.raw))
        return Reply(250, "2.0.0", f"Taken as {trace}")

    async def _sign_in(self, question: AskSignIn, source: Source) -> Reply:
        found = question.credentials
        self._source = await self._intake.sign_in(source, found.name, found.password)
        SIGN_INS.inc()
        return SIGNED_IN


def _envelope(question: AskMessage, source: Source, now: float) -> Envelope:
    return Envelope(
        trace=new_id(),
        sender=question.sender,
        recipients=question.recipients,
        source=source,
        received=now,
        eight_bit=not question.raw.isascii(),  # what the text is counts, not what BODY= said
        utf8=question.terms.utf8,
        wishes=question.wishes,
        ret=question.terms.ret,
        envid=question.terms.envid,
    )
