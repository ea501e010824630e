"""The doors: the table of what listens, and the service that opens the rooms first and then them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import txaio
from twisted.application.internet import TimerService
from twisted.application.service import Service
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import Factory
from twisted.protocols.tls import TLSMemoryBIOFactory

from securegw.flow.claims import POLL, RENEW
from securegw.gateway.rooms import House, close_rooms, open_rooms
from securegw.gateway.settings import Settings
from securegw.portal import portal_site
from securegw.servers.smtp import smtp_factory
from securegw.tls import ServerTLS

log = txaio.make_logger()

Factory.noisy = False  # one line for each event of ours, none for each connection


@attrs.frozen
class Server:
    """A door: its name, where it listens (Twisted endpoint strings), and the factory of its dialogue."""

    name: str
    listen: Callable[[Settings], tuple[str, ...]]
    factory: Callable[[House, Any], Any]


def _smtp(house: House, reactor: Any) -> Any:
    own = house.settings.smtp
    tls = None if own.certificate is None or own.key is None else ServerTLS(own.certificate, own.key)
    return smtp_factory(house.intake, own, tls, house.settings.gateway.host, reactor)


def _portal(house: House, reactor: Any) -> Any:
    own = house.settings.portal
    site = portal_site(house.webmail, house.accounts, house.texts, own, reactor)
    return TLSMemoryBIOFactory(ServerTLS(own.certificate, own.key), False, site)


SERVERS = (
    Server("smtp", lambda settings: settings.smtp.listen, _smtp),
    Server("portal", lambda settings: settings.portal.listen, _portal),
)


class Doors(Service):
    """Opens the rooms, then the doors, and closes them the other way round."""

    def __init__(self, house: House, reactor: Any) -> None:
        self.house = house
        self.reactor = reactor
        self.ports: dict[str, IListeningPort] = {}
        self.opened: Deferred[None] = Deferred()
        self.clocks: list[TimerService] = []
        self.failed = False

    def startService(self) -> None:
        super().startService()  # type: ignore[no-untyped-call]
        Deferred.fromCoroutine(self._open()).addCallbacks(self.opened.callback, self._fail)

    async def _open(self) -> None:
        await open_rooms(self.house)
        for server in SERVERS:
            factory = server.factory(self.house, self.reactor)
            for number, listen in enumerate(server.listen(self.house.settings)):
                port = await serverFromString(self.reactor, listen).listen(factory)
                self.ports[server.name if number == 0 else f"{server.name}-{number + 1}"] = port
        for seconds, work in ((POLL, self._look), (RENEW, self.house.claims.renew)):
            clock = TimerService(seconds, _in_turn(work))
            clock.clock = self.reactor
            clock.startService()
            self.clocks.append(clock)
        log.info("securegw is open: {doors}", doors=", ".join(f"{n} {_place(p)}" for n, p in self.ports.items()))

    async def _look(self) -> None:
        await self.house.places.refresh()
        await self.house.claims.poll()

    def _fail(self, failure: Any) -> None:
        """A gateway that cannot open all its doors opens none: it stops, and says so to whoever watches it."""
        log.failure("securegw cannot open: {log_failure.value}", failure=failure)
        self.failed = True
        self.opened.addErrback(lambda _: None)
        self.opened.errback(failure)
        self.reactor.callWhenRunning(self.reactor.stop)

    async def _close(self) -> None:
        for clock in self.clocks:
            await clock.stopService()
        await gatherResults([Deferred.fromCoroutine(_stop(port)) for port in self.ports.values()])
        await close_rooms(self.house)

    def stopService(self) -> Deferred[None]:
        super().stopService()  # type: ignore[no-untyped-call]
        return Deferred.fromCoroutine(self._close())


async def _stop(port: IListeningPort) -> None:
    stopped = port.stopListening()
    if stopped is not None:
        await stopped


def _place(port: IListeningPort) -> str:
    host: Any = port.getHost()
    return f"{host.host}:{host.port}" if hasattr(host, "port") else str(host)


def _in_turn(work: Callable[[], Any]) -> Callable[[], Deferred[None]]:
    """Work that is not begun again before it has ended; its trouble is told and does not stop the clock."""

    def go() -> Deferred[None]:
        done = Deferred.fromCoroutine(work())
        done.addErrback(lambda failure: log.failure("regular work failed: {log_failure.value}", failure=failure))
        return done

    return go
