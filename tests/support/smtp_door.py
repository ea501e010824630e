"""The SMTP door with a pretended intake, a pretended transport and a clock that is turned by hand."""

from __future__ import annotations

import attrs
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import ITCPTransport
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransportWithDisconnection
from zope.interface import implementer

from securegw.mail.address import Address
from securegw.mail.envelope import Envelope, Source
from securegw.mail.errors import (
    Later,
    RelayDenied,
    TooManyTries,
    UnknownRecipient,
    UnknownSender,
    WrongPassword,
)
from securegw.servers.smtp import SmtpConnection, SmtpFactory, SmtpSettings

SIZE = 2_000_000


class PretendedIntake:
    """Takes nearly everything. refused@ may not send, gone@ does not exist, busy@ comes later, broken@ is a bug.

    The password is "secret"; "guessed" has been tried too often. A certificate for relay.test is known.
    """

    size_limit = SIZE
    recipients_limit = 1000
    spool = None

    def __init__(self) -> None:
        self.mails: list[tuple[Envelope, bytes]] = []
        self.asked: list[tuple[Source, object]] = []
        self.gates: list[Deferred[None]] | None = None  # a list makes ``accept`` wait

    def is_inside(self, address: str) -> bool:
        return address == "127.0.0.1"

    async def sign_in(self, source: Source, name: str, password: str) -> Source:
        self.asked.append((source, name))
        if name == "slow":
            await self._gate()
        if password == "guessed":
            raise TooManyTries
        if password != "secret":
            raise WrongPassword
        return attrs.evolve(source, person=name, inside=True)

    async def vouch(self, source: Source, names: tuple[str, ...], fingerprint: str) -> Source:
        self.asked.append((source, (names, fingerprint)))
        return attrs.evolve(source, inside=True) if "relay.test" in names else source

    async def sender(self, source: Source, sender: Address | None, size: int | None) -> None:
        self.asked.append((source, sender))
        if sender and sender.local == "refused":
            raise UnknownSender
        if sender and sender.local == "slow":
            await self._gate()

    async def recipient(self, source: Source, sender: Address | None, recipient: Address) -> None:
        self.asked.append((source, recipient))
        if recipient.local == "slow":
            await self._gate()
        trouble = {"gone": UnknownRecipient(), "busy": Later(), "away": RelayDenied(), "broken": RuntimeError("oops")}
        if recipient.local in trouble:
            raise trouble[recipient.local]

    async def accept(self, envelope: Envelope, raw: bytes) -> str:
        await self._gate()
        if raw.startswith(b"Subject: broken"):
            raise RuntimeError("the disk is on fire")
        if raw.startswith(b"Subject: busy"):
            raise Later(detail="try again")
        self.mails.append((envelope, raw))
        return envelope.trace

    async def _gate(self) -> None:
        if self.gates is not None:
            gate: Deferred[None] = Deferred()
            self.gates.append(gate)
            await gate


@implementer(ITCPTransport)
class PretendedTransport(StringTransportWithDisconnection):
    """Remembers whether TLS began, and how many writes there were."""

    def __init__(self, peer: str = "127.0.0.1") -> None:
        super().__init__()
        self.peer = IPv4Address("TCP", peer, 4711)
        self.context: object = None
        self.writes = 0
        self.no_delay = False

    def write(self, data: bytes) -> None:
        self.writes += 1
        super().write(data)

    def startTLS(self, context: object, normal: bool = True) -> None:
        self.context = context

    def setTcpNoDelay(self, enabled: bool) -> None:
        self.no_delay = enabled

    def abortConnection(self) -> None:
        self.loseConnection()

    def getHandle(self) -> PretendedTransport:
        return self

    def get_protocol_version_name(self) -> str:
        return "TLSv1.3"


class Door:
    """One connection to the door; a ``Wire`` for talks."""

    def __init__(
        self,
        settings: SmtpSettings | None = None,
        *,
        tls: object = "pretended",
        peer: str = "127.0.0.1",
        factory: SmtpFactory | None = None,
        implicit_tls: bool = False,
    ) -> None:
        if factory is None:
            own = settings or SmtpSettings()
            factory = SmtpFactory(
                PretendedIntake(),
                own,
                tls,  # type: ignore[arg-type]
                "gw.test",
                Clock(),
                implicit_tls=implicit_tls,
            )
        self.factory = factory
        self.intake: PretendedIntake = factory.intake  # type: ignore[assignment]
        self.clock: Clock = factory.clock  # type: ignore[assignment]
        self.transport = PretendedTransport(peer)
        self.connection: SmtpConnection = factory.buildProtocol(self.transport.peer)
        self.transport.protocol = self.connection
        self.connection.makeConnection(self.transport)

    def send(self, data: bytes) -> None:
        if self.transport.connected:
            self.connection.dataReceived(data)

    def begin_tls(self) -> None:
        """STARTTLS and a pretended handshake."""
        self.send(b"EHLO client.test\r\nSTARTTLS\r\n")
        self.connection.handshakeCompleted()
        self.received()

    def received(self) -> bytes:
        data: bytes = self.transport.value()
        self.transport.clear()
        return data

    def closed(self) -> bool:
        return not self.transport.connected

    def tls(self) -> bool:
        return self.transport.context is not None

    def wait(self, seconds: float) -> None:
        self.clock.pump([1.0] * int(seconds))

    def taken(self) -> int:
        return len(self.intake.mails)
