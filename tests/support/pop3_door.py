"""The POP3 door with a pretended pick-up, a pretended transport and a clock that is turned by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from securegw.mail.errors import (
    LostClaim,
    MailboxInUse,
    SealBroken,
    StoreBusy,
    TooManyTries,
    WrongPassword,
)
from securegw.servers.pop3 import Pop3Connection, Pop3Factory, Pop3Settings
from tests.support.smtp_door import PretendedTransport

SHORT = b"Subject: one\r\n\r\nfirst line\r\n.dot line\r\nlast line\r\n"
DOTS = b"Subject: two\r\n\r\n.\r\n..\r\n"
MAILS = (SHORT, DOTS, b"Subject: three\r\n\r\n")


@attrs.frozen
class PretendedMail:
    id: str
    size: int
    parts: int
    texts: tuple[bytes, ...] = attrs.field(repr=False)


def mail(number: int, text: bytes, part: int = 262_144) -> PretendedMail:
    """A mail cut into parts."""
    texts = tuple(text[at : at + part] for at in range(0, len(text), part))
    return PretendedMail(f"{number:032x}", len(text), len(texts), texts)


@attrs.define(eq=False)
class PretendedMailbox:
    mails: Sequence[PretendedMail]
    pickup: PretendedPickup
    asked: list[tuple[int, int]] = attrs.Factory(list)

    async def part(self, index: int, number: int) -> bytes:
        self.asked.append((index, number))
        await self.pickup.gate()
        if (index, number) in self.pickup.broken:
            raise SealBroken
        return self.mails[index].texts[number]

    async def finish(self, deleted: Sequence[int]) -> None:
        await self.pickup.gate()
        if self.pickup.lost:
            raise LostClaim("Another session has opened this mailbox in the meantime; nothing was deleted.")
        if self.pickup.down:
            raise StoreBusy(detail="the database is away")
        self.pickup.deleted += deleted
        self.pickup.closed += 1

    async def close(self) -> None:
        self.pickup.closed += 1


class PretendedPickup:
    """The password is "secret"; "guessed" has been tried too often, "busy" is open elsewhere, "down" has no database,
    "oops" is a bug."""

    def __init__(self, mails: Sequence[PretendedMail] | None = None) -> None:
        self.mails = mails if mails is not None else [mail(n, text) for n, text in enumerate(MAILS, 1)]
        self.asked: list[tuple[str, str, str]] = []
        self.gates: list[Deferred[None]] | None = None  # a list makes every answer wait
        self.broken: set[tuple[int, int]] = set()
        self.lost = self.down = False
        self.deleted: list[int] = []
        self.opened: list[PretendedMailbox] = []
        self.closed = 0

    async def open(self, name: str, password: str, peer: str, waits: Callable[[], bool]) -> PretendedMailbox:
        self.asked.append((name, password, peer))
        await self.gate()
        troubles: dict[str, Exception] = {
            "guessed": TooManyTries(),
            "busy": MailboxInUse(),
            "down": StoreBusy(detail="away"),
            "oops": RuntimeError("oops"),
        }
        if name in troubles:
            raise troubles[name]
        if password != "secret":
            raise WrongPassword
        self.opened.append(PretendedMailbox(self.mails, self))
        return self.opened[-1]

    async def gate(self) -> None:
        if self.gates is not None:
            gate: Deferred[None] = Deferred()
            self.gates.append(gate)
            await gate


class Pop3Transport(PretendedTransport):
    """Says that it is full when told to, as a transport with a slow reader does."""

    full_after = 1 << 30
    held = 0
    keep_alive = False
    aborted = False

    def setTcpKeepAlive(self, enabled: bool) -> None:
        self.keep_alive = enabled

    def write(self, data: bytes) -> None:
        super().write(data)
        self.held += len(data)
        if self.held >= self.full_after and self.producer is not None:
            self.producer.pauseProducing()

    def drain(self) -> None:
        """The reader has taken everything."""
        self.held = 0
        if self.producer is not None:
            self.producer.resumeProducing()

    def abortConnection(self) -> None:
        self.aborted = True
        if self.connected:
            self.loseConnection()


class Door:
    """One connection to the door; a ``Wire`` for talks. ``implicit``: TLS from the first byte."""

    def __init__(
        self,
        pickup: PretendedPickup | None = None,
        *,
        implicit: bool = False,
        settings: Pop3Settings | None = None,
        factory: Pop3Factory | None = None,
        peer: str = "192.0.2.7",
    ) -> None:
        if factory is None:
            tls: Any = "pretended"
            factory = Pop3Factory(
                pickup or PretendedPickup(), settings or Pop3Settings(), tls, Clock(), implicit_tls=implicit
            )
        self.factory = factory
        self.pickup: PretendedPickup = factory.pickup  # type: ignore[assignment]
        self.clock: Clock = factory.clock  # type: ignore[assignment]
        self.transport = Pop3Transport(peer)
        self.connection: Pop3Connection = factory.buildProtocol(self.transport.peer)
        self.transport.protocol = self.connection
        self.connection.makeConnection(self.transport)
        if implicit and self.transport.connected:
            self.connection.handshakeCompleted()

    def send(self, data: bytes) -> None:
        if self.transport.connected:
            self.connection.dataReceived(data)

    def say(self, *lines: str) -> bytes:
        """Say these lines in one segment; what the server says to them."""
        self.send("".join(f"{line}\r\n" for line in lines).encode())
        return self.received()

    def sign_in(self, name: str = "box@inside.test", password: str = "secret") -> bytes:
        return self.say(f"USER {name}", f"PASS {password}")

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
        """How many mails were deleted."""
        return len(self.pickup.deleted)


def opened(pickup: PretendedPickup | None = None, **more: Any) -> Door:
    """A door with a mailbox open."""
    door = Door(pickup, implicit=True, **more)
    door.received()
    assert door.sign_in().startswith(b"+OK"), "not signed in"
    return door
