"""The doors: the table of what listens, and the service that opens the rooms first and then them."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import txaio
from twisted.application.internet import TimerService
from twisted.application.service import Service
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IOpenSSLServerConnectionCreator
from twisted.internet.protocol import AbstractDatagramProtocol, Factory

from securegw.config import Network
from securegw.flow.claims import POLL, RENEW
from securegw.flow.connector import BadConnector
from securegw.gateway.limits import tell_limits
from securegw.gateway.memory import give_back, return_large_blocks
from securegw.gateway.rooms import House, build_rooms, close_rooms, open_rooms
from securegw.gateway.settings import Settings
from securegw.gateway.watching import Watching
from securegw.keys.published import LOOK
from securegw.mail.errors import MailError
from securegw.portal import lists_site, portal_site
from securegw.servers.behind_balancers import BehindBalancers
from securegw.servers.ldap import Directory, LdapFactory
from securegw.servers.metrics import MonitoringSite
from securegw.servers.nrpe import NrpeFactory, NrpeSettings
from securegw.servers.nrpe_anonymous import AnonymousTLS
from securegw.servers.pop3 import Pop3Factory
from securegw.servers.smtp import SmtpFactory, smtp_factory
from securegw.servers.snmp_engine import BadEngine
from securegw.servers.snmp_security import BadSecrets
from securegw.store.troubles import DatabaseTaken, NewerSchema
from securegw.tls import BadCertificate, ServerTLS
from securegw.tls_session import PageSessions

log = txaio.make_logger()

CLEANING = 600.0
GIVING_BACK = 3600.0  # not more often: while it is done, whoever needs memory waits some milliseconds
QUARANTINE = 60.0
DISMISSIBLE = (BehindBalancers, SmtpFactory, LdapFactory, Pop3Factory)
YOUNG = 10_000  # objects that are made before the young ones are looked through for cycles: a mail makes a thousand
TURN = 0.0002  # seconds for which threads that seal and write, and a busy reactor, keep the interpreter from each other

# What an operator can mend: one line says it, no traceback.
EXPECTED = (
    BadCertificate,
    BadConnector,
    BadEngine,
    BadSecrets,
    CannotListenError,
    DatabaseTaken,
    MailError,
    NewerSchema,
    OSError,
)

# One line for each event of ours, none for each connection or question to a name server.
AbstractDatagramProtocol.noisy = Factory.noisy = False


@attrs.frozen
class Server:
    """A door: its name, where it listens (Twisted endpoint strings), and the factory of its dialogue."""

    name: str
    listen: Callable[[Settings], tuple[str, ...]]
    factory: Callable[[House, Any], Any]


def _smtp(house: House, reactor: Any, *, implicit_tls: bool = False) -> Any:
    own = house.settings.smtp
    tls = None if own.certificate is None or own.key is None else _server_tls(own.certificate, own.key)
    if implicit_tls and tls is None:
        raise BadCertificate("[smtp] listen_tls needs a certificate and a key")
    host, keeper, room = house.settings.gateway.host, house.callers, house.texts_coming
    return smtp_factory(
        house.intake, own, tls, host, reactor, implicit_tls=implicit_tls, doorkeeper=keeper, room=room
    )


def _ldap(house: House, reactor: Any, *, ours: bool, implicit_tls: bool = False) -> Any:
    own = house.settings.ldap
    tls = None if own.certificate is None or own.key is None else _server_tls(own.certificate, own.key)
    if implicit_tls and tls is None:
        raise BadCertificate("[ldap] listeners with TLS from the first byte need a certificate and a key")
    directory = Directory(house.published, own, ours=ours, start_tls=tls is not None and not implicit_tls)
    door = f"ldap{'s' if implicit_tls else ''}-{'outside' if ours else 'inside'}"
    factory = LdapFactory(directory, house.accounts, own, tls, reactor, door=door, implicit_tls=implicit_tls)
    return _behind(own.proxies, factory, reactor, door)


def _portal(house: House, reactor: Any) -> Any:
    own = house.settings.portal
    site = portal_site(house.webmail, house.accounts, house.texts, own, reactor, house.revocations)
    return _behind(own.proxies, PageSessions(_server_tls(own.certificate, own.key), site), reactor, "portal")


def _lists(house: House, reactor: Any) -> Any:
    return lists_site(house.revocations, house.settings.keys, reactor)


def _pop3(house: House, reactor: Any, *, implicit_tls: bool = False) -> Any:
    own = house.settings.pop3
    if own.certificate is None or own.key is None:
        raise BadCertificate("[pop3] listen and listen_tls need a certificate and a key")
    tls = _server_tls(own.certificate, own.key)
    factory = Pop3Factory(house.pickup, own, tls, reactor, implicit_tls=implicit_tls)
    return _behind(own.proxies, factory, reactor, "pop3")


def _monitoring(house: House, reactor: Any) -> Any:
    own = house.settings.monitoring
    site: Any = MonitoringSite(own, lambda: house.health.table, reactor)
    if own.certificate is not None and own.key is not None:
        site = PageSessions(_server_tls(own.certificate, own.key), site)
    return _behind(own.proxies, site, reactor, "metrics")


def _nrpe(house: House, reactor: Any) -> Any:
    own = house.settings.nrpe
    factory = NrpeFactory(own, lambda: house.health.table, reactor, _nrpe_tls(own))
    return _behind(own.proxies, factory, reactor, "nrpe")


def _nrpe_tls(own: NrpeSettings) -> IOpenSSLServerConnectionCreator | None:
    if own.protection == "none":
        return None
    if own.protection == "anonymous":
        return AnonymousTLS()
    if own.certificate is None or own.key is None:
        raise BadCertificate('[nrpe] needs a certificate and a key, or another protection than "certificate"')
    return _server_tls(own.certificate, own.key)


def _behind(proxies: tuple[Network, ...], factory: Any, reactor: Any, name: str) -> Any:
    """The door as it is, or behind named balancers."""
    return BehindBalancers(factory, proxies, reactor, name) if proxies else factory


def _server_tls(certificate: Path, key: Path) -> ServerTLS:
    """A bad new file keeps the old certificate serving, and is told."""
    return ServerTLS(certificate, key, complain=lambda problem: log.error("TLS: {problem}", problem=str(problem)))


SERVERS = (
    Server("smtp", lambda settings: settings.smtp.listen, _smtp),
    Server("smtps", lambda settings: settings.smtp.listen_tls, partial(_smtp, implicit_tls=True)),
    Server("ldap-inside", lambda settings: settings.ldap.inside, partial(_ldap, ours=False)),
    Server("ldaps-inside", lambda settings: settings.ldap.inside_tls, partial(_ldap, ours=False, implicit_tls=True)),
    Server("ldap-outside", lambda settings: settings.ldap.outside, partial(_ldap, ours=True)),
    Server("ldaps-outside", lambda settings: settings.ldap.outside_tls, partial(_ldap, ours=True, implicit_tls=True)),
    Server("pop3s", lambda settings: settings.pop3.listen_tls, partial(_pop3, implicit_tls=True)),
    Server("pop3", lambda settings: settings.pop3.listen, _pop3),
    Server("portal", lambda settings: settings.portal.listen, _portal),
    Server("crl", lambda settings: settings.keys.crl_listen, _lists),
    Server("metrics", lambda settings: settings.monitoring.listen, _monitoring),
    Server("nrpe", lambda settings: settings.nrpe.listen, _nrpe),
)


class Doors(Service):
    """Builds and opens the rooms, then the doors, and closes them the other way round."""

    def __init__(self, settings: Settings, reactor: Any) -> None:
        self.settings = settings
        self.reactor = reactor
        self.house: House | None = None
        self.ports: dict[str, IListeningPort] = {}
        self.opened: Deferred[None] = Deferred()
        self.dismissible: list[BehindBalancers | SmtpFactory | LdapFactory | Pop3Factory] = []
        self.clocks: list[TimerService] = []
        self.watching: Watching | None = None
        self.failed = False

    def startService(self) -> None:
        super().startService()  # type: ignore[no-untyped-call]
        Deferred.fromCoroutine(self._open()).addCallbacks(self.opened.callback, self._fail)

    async def _open(self) -> None:
        self.house = house = build_rooms(self.settings, self.reactor)
        tell_limits(self.settings)
        await open_rooms(house)
        self.watching = watching = Watching(house, self.reactor)
        watching.start()
        self.ports.update(watching.ports)
        for server in SERVERS:
            await self._open_door(house, server)
        self._every(POLL, lambda: _look(house))
        self._every(RENEW, house.claims.renew)
        if self.settings.ldap.any_listener:
            self._every(LOOK, house.published.look)
        self._every(CLEANING, house.retention.tick)
        self._every(CLEANING, house.revocations.tick)
        self._every(GIVING_BACK, lambda: _give_back(house))
        self._every(QUARANTINE, house.quarantine.tick)
        self._every(self.settings.health.every, partial(_check_health, house))
        _tune()
        log.info("securegw is open: {doors}", doors=", ".join(f"{n} {_place(p)}" for n, p in self.ports.items()))

    async def _open_door(self, house: House, server: Server) -> None:
        """Open all listeners of a door and note where: a next hop that leads there would lead in a circle."""
        listens = server.listen(self.settings)
        factory = server.factory(house, self.reactor) if listens else None
        behind = factory.door if isinstance(factory, BehindBalancers) else None
        self.dismissible += [each for each in (factory, behind) if isinstance(each, DISMISSIBLE)]
        for number, listen in enumerate(listens):
            port = await serverFromString(self.reactor, listen).listen(factory)
            self.ports[server.name if number == 0 else f"{server.name}-{number + 1}"] = port
            host: Any = port.getHost()
            if server.factory not in (_portal, _lists) and hasattr(host, "port"):
                house.doors.append((host.host, host.port))

    def _every(self, seconds: float, work: Callable[[], Any]) -> None:
        clock = TimerService(seconds, _in_turn(work))
        clock.clock = self.reactor
        clock.startService()
        self.clocks.append(clock)

    def _fail(self, failure: Any) -> None:
        """A gateway that cannot open all its doors opens none: it stops, and says so to whoever watches it."""
        if failure.check(*EXPECTED):
            reason = getattr(failure.value, "detail", "") or failure.getErrorMessage()
            log.critical("securegw cannot start: {reason}", reason=reason)
        else:
            log.failure("securegw cannot start: {log_failure.value}", failure=failure)
        self.failed = True
        self.opened.addErrback(lambda _: None)
        self.opened.errback(failure)
        self.reactor.callWhenRunning(self.reactor.stop)

    async def _close(self) -> None:
        for clock in self.clocks:
            await clock.stopService()
        await gatherResults([Deferred.fromCoroutine(_stop(port)) for port in self.ports.values()])
        for factory in self.dismissible:
            factory.dismiss()
        if self.house is not None:
            await close_rooms(self.house)
        if self.watching is not None:
            await self.watching.stop()

    def stopService(self) -> Deferred[None]:
        super().stopService()  # type: ignore[no-untyped-call]
        return Deferred.fromCoroutine(self._close())


def _tune() -> None:
    """What the interpreter and the C library are told for the life of this process.

    Everything that has been imported and built stays; to look through it for cycles again and again costs time that
    every session waits for.
    """
    sys.setswitchinterval(TURN)
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, *gc.get_threshold()[1:])
    return_large_blocks()


async def _look(house: House) -> None:
    await house.places.refresh()
    await house.claims.poll()


async def _check_health(house: House) -> None:
    house.health.look()


async def _give_back(house: House) -> None:
    await house.workers.thread(give_back)


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
        done.addErrback(_tell)
        return done

    return go


def _tell(failure: Any) -> None:
    """A database that is away for an hour is twelve hundred lines, and no traceback."""
    if failure.check(MailError):
        log.warn("regular work waits: {detail}", detail=failure.value.detail or failure.value.sentence)
    else:
        log.failure("regular work failed: {log_failure.value}", failure=failure)
