"""The LDAP door with the world's store behind it, a pretended transport and a clock that is turned by hand."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_network
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from securegw.mail.errors import TooManyTries, WrongPassword
from securegw.servers.ldap import Directory, LdapFactory, LdapSettings
from securegw.servers.ldap_directory import Outcome
from tests.support import ldap_client as client
from tests.support.ldap_client import Answer
from tests.support.smtp_door import PretendedTransport
from tests.support.world import World

STRANGER, KNOWN = "192.0.2.9", "10.0.0.7"
NETWORKS = ("10.0.0.0/8",)


class PretendedLogins:
    """The password is "secret"; "guessed" has been tried too often; "slow" waits for ``gate``."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.gate: Deferred[None] = Deferred()

    async def check_login(self, name: str, password: str, source: str) -> str:
        self.asked.append((name, source))
        if name == "slow":
            await self.gate
        if password == "guessed":
            raise TooManyTries(seconds=60.0)
        if password != "secret":
            raise WrongPassword
        return name


@attrs.frozen
class Found:
    """What a search brought."""

    entries: list[Answer]
    code: int
    text: str
    cookie: bytes | None

    @property
    def names(self) -> list[str]:
        return [entry.name for entry in self.entries]

    @property
    def addresses(self) -> list[str]:
        return [entry.attributes["mail"][0].decode() for entry in self.entries]


class LdapDoor:
    """One connection to one side."""

    def __init__(
        self,
        world: World,
        *,
        ours: bool = False,
        peer: str = STRANGER,
        tls: bool = False,
        implicit_tls: bool = False,
        factory: LdapFactory | None = None,
        **settings: Any,
    ) -> None:
        if factory is None:
            own = LdapSettings(**{"networks": tuple(map(ip_network, NETWORKS)), **settings})
            directory = Directory(world.house.published, own, ours=ours, start_tls=tls)
            context: Any = object() if tls or implicit_tls else None
            factory = LdapFactory(
                directory, PretendedLogins(), own, context, world.clock, door="ldap-test", implicit_tls=implicit_tls
            )
        self.factory = factory
        self.logins: PretendedLogins = factory.logins  # type: ignore[assignment]
        self.clock: Clock = world.clock
        self.transport = PretendedTransport(peer)
        self.connection = factory.buildProtocol(self.transport.peer)
        self.transport.protocol = self.connection
        self.connection.makeConnection(self.transport)
        self._number = 0

    def send(self, data: bytes) -> list[Answer]:
        """Bytes in; the answers that come at once."""
        if self.transport.connected:
            self.connection.dataReceived(data)
        return self.received()

    def received(self) -> list[Answer]:
        data = self.transport.value()
        self.transport.clear()
        return client.read(data)

    def search(self, filter: str | bytes, *, wanted: Sequence[str] = (), **more: Any) -> Found:
        """One search, to its end."""
        self._number += 1
        *entries, end = self.send(client.search(filter, number=self._number, wanted=wanted, **more))
        assert end.number == self._number and end.tag == 0x65
        assert all(entry.tag == 0x64 and entry.number == self._number for entry in entries)
        return Found(entries, end.code, end.text, end.cookie)

    def start_tls(self) -> None:
        [said] = self.send(client.extended(client.START_TLS))
        assert (said.code, said.oid) == (0, client.START_TLS)
        assert self.transport.context is not None
        self.connection.handshakeCompleted()

    @property
    def closed(self) -> bool:
        return not self.transport.connected


class Slow:
    """Makes searches wait, each for its own ``answer``."""

    def __init__(self, door: LdapDoor) -> None:
        self.waiting: list[Deferred[Outcome]] = []
        door.factory.directory.search = self.search  # type: ignore[method-assign, assignment]

    async def search(self, *_arguments: Any, **_named: Any) -> Outcome:
        self.waiting.append(Deferred())
        return await self.waiting[-1]
