"""Builds the house as one MultiService; twistd starts here.

In floor order, without a registry: each part gets what it needs as arguments. The tables say which doors there are.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import txaio
from twisted.application.internet import TimerService
from twisted.application.service import MultiService, Service
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import Factory
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python import usage

txaio.use_twisted()  # before any room asks for a logger

from securegw import config  # noqa: E402
from securegw.accounts import Accounts  # noqa: E402
from securegw.clients.mx import Resolver  # noqa: E402
from securegw.clients.relay import Relay, RelaySettings  # noqa: E402
from securegw.config import section, setting  # noqa: E402
from securegw.crypto.passwords import Cost  # noqa: E402
from securegw.crypto.seal import MasterKey, load_master_key  # noqa: E402
from securegw.flow.claims import POLL, RENEW, Claims  # noqa: E402
from securegw.flow.delivery import Delivery, DeliverySettings  # noqa: E402
from securegw.flow.incoming import Incoming  # noqa: E402
from securegw.flow.intake import Intake, IntakeSettings  # noqa: E402
from securegw.flow.journey import Journey  # noqa: E402
from securegw.flow.notices import Notices  # noqa: E402
from securegw.flow.outgoing import Outgoing  # noqa: E402
from securegw.flow.park import Park  # noqa: E402
from securegw.flow.places import Places  # noqa: E402
from securegw.flow.webmail import Webmail  # noqa: E402
from securegw.keys.issue import Issuer  # noqa: E402
from securegw.keys.keyring import Keyring  # noqa: E402
from securegw.mail.errors import MailError  # noqa: E402
from securegw.mail.texts import Texts  # noqa: E402
from securegw.pages import PortalSettings  # noqa: E402
from securegw.portal import portal_site  # noqa: E402
from securegw.servers.smtp import SmtpSettings, smtp_factory  # noqa: E402
from securegw.store.database import Database, DatabaseSettings, place  # noqa: E402
from securegw.store.troubles import DatabaseTaken, NewerSchema  # noqa: E402
from securegw.tls import BadCertificate, ServerTLS  # noqa: E402
from securegw.workers import Work, Workers, WorkersSettings  # noqa: E402

log = txaio.make_logger()

Factory.noisy = False  # one line for each event of ours, none for each connection


@attrs.frozen
class GatewaySettings:
    """The gateway itself."""

    host: str = setting(config.host, help="The name under which this gateway is known, for example gw.example.org.")
    directory: Path = setting(config.path, default=".", help="Where it keeps what it keeps, beside the database.")
    master_key: Path | None = setting(
        config.path,
        default=None,
        help="File with the master key, mode 0600. Without it: the systemd credential securegw-master-key, "
        "then the environment variable SECUREGW_MASTER_KEY.",
    )
    language: str = setting(config.choice("en", "de"), default="en", help="Language of notices to inside users.")


@attrs.frozen
class LogSettings:
    """What is told of the work. One line an event; never a body, a password or a key."""

    level: str = setting(
        config.choice("critical", "error", "warn", "info", "debug"), default="info", help="The least that is told."
    )


@attrs.frozen
class Settings:
    """All settings of one machine; what the organisation decides stands in the database."""

    gateway: GatewaySettings = section(GatewaySettings)
    database: DatabaseSettings = section(DatabaseSettings)
    smtp: SmtpSettings = section(SmtpSettings)
    intake: IntakeSettings = section(IntakeSettings)
    delivery: DeliverySettings = section(DeliverySettings)
    relay: RelaySettings = section(RelaySettings)
    portal: PortalSettings = section(PortalSettings)
    workers: WorkersSettings = section(WorkersSettings)
    log: LogSettings = section(LogSettings)


@attrs.frozen
class House:
    """All rooms of one gateway, built and not yet open."""

    settings: Settings
    database: Database
    workers: Work
    texts: Texts
    places: Places
    claims: Claims
    keyring: Keyring
    issuer: Issuer
    accounts: Accounts
    park: Park
    intake: Intake
    webmail: Webmail
    notices: Notices
    outgoing: Outgoing
    incoming: Incoming
    journey: Journey
    delivery: Delivery


def furnish(
    settings: Settings,
    reactor: Any,
    *,
    database: Database,
    workers: Any,
    master: MasterKey,
    relay: Any,
    resolver: Any,
    cost: Cost,
) -> House:
    """Build all rooms in floor order."""
    now: Callable[[], float] = reactor.seconds
    own = settings.gateway
    texts = Texts()
    keyring = Keyring(database, workers, master, now)
    issuer = Issuer(database, workers, master, now)
    accounts = Accounts(database, master, workers, now, cost)
    places = Places(database, workers)
    claims = Claims(database, workers, master, reactor, f"{socket.gethostname()}/{os.getpid()}")
    notices = Notices(own.host, own.language, texts, master, claims)
    intake = Intake(
        settings=settings.intake,
        host=own.host,
        places=places,
        claims=claims,
        database=database,
        master=master,
        workers=workers,
    )
    park = Park(own.directory / "parked", now)
    webmail = Webmail(
        settings=settings.portal,
        accounts=accounts,
        intake=intake,
        notices=notices,
        texts=texts,
        letters_parked=park,
        database=database,
        workers=workers,
        master=master,
        now=now,
    )
    outgoing = Outgoing(
        places=places,
        keyring=keyring,
        issuer=issuer,
        webmail=webmail,
        notices=notices,
        claims=claims,
        database=database,
        workers=workers,
        master=master,
        now=now,
    )
    incoming = Incoming(
        host=own.host,
        places=places,
        keyring=keyring,
        notices=notices,
        claims=claims,
        workers=workers,
        master=master,
        now=now,
    )
    journey = Journey(
        places=places, outgoing=outgoing, incoming=incoming, claims=claims, database=database, workers=workers, now=now
    )
    delivery = Delivery(
        settings=settings.delivery,
        places=places,
        resolver=resolver,
        relay=relay,
        notices=notices,
        claims=claims,
        database=database,
        workers=workers,
        now=now,
    )
    claims.work("accepted", journey.treat)
    claims.work("ready", delivery.deliver)
    return House(
        settings,
        database,
        workers,
        texts,
        places,
        claims,
        keyring,
        issuer,
        accounts,
        park,
        intake,
        webmail,
        notices,
        outgoing,
        incoming,
        journey,
        delivery,
    )


async def open_rooms(house: House) -> None:
    """What must be done before the first door opens."""
    house.workers.start()
    house.park.clear()
    await house.places.refresh()
    await house.claims.open()


async def close_rooms(house: House) -> None:
    """Finish what is under way and hand back the rest."""
    await house.claims.close()
    house.workers.stop()
    house.database.close()


# --- the doors ----------------------------------------------------------------------------------------------------


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


@attrs.frozen
class Gateway:
    """A gateway: its service, and once that has started, where its doors are (name -> (host, port))."""

    service: MultiService
    house: House
    doors: Doors

    @property
    def opened(self) -> Deferred[None]:
        return self.doors.opened

    @property
    def ports(self) -> dict[str, tuple[str, int]]:
        hosts: dict[str, Any] = {name: port.getHost() for name, port in self.doors.ports.items()}
        return {name: (host.host, host.port) for name, host in hosts.items() if hasattr(host, "port")}


def build(settings: Settings, reactor: Any) -> Gateway:
    """A gateway by its settings: the database is opened and migrated, nothing listens yet."""
    own = settings.gateway
    master = load_master_key(own.master_key)
    database = Database(place(settings.database.url, own.directory), readers=settings.database.readers)
    database.lock()
    database.migrate()
    workers = Workers(reactor, settings.workers)
    house = furnish(
        settings,
        reactor,
        database=database,
        workers=workers,
        master=master,
        relay=Relay(reactor, own.host, settings.relay),
        resolver=Resolver(reactor),
        cost=Cost(),
    )
    service = MultiService()
    doors = Doors(house, reactor)
    doors.setServiceParent(service)  # type: ignore[no-untyped-call]
    return Gateway(service, house, doors)


class Options(usage.Options):
    """What ``twistd securegw`` understands."""

    optParameters = [["config", "c", "securegw.toml", "The configuration file."]]  # noqa: RUF012


def makeService(options: Options) -> MultiService:
    """Called by twistd. A configuration with mistakes names all of them and opens no port."""
    from twisted.internet import reactor

    path = Path(options["config"])
    try:
        settings = config.read(Settings, path.read_text("utf-8"), str(path))
    except OSError as error:
        sys.exit(f"{path}: {error.strerror}")
    except config.Mistakes as mistakes:
        sys.exit("\n".join(config.format_mistake(mistake) for mistake in mistakes.mistakes))
    txaio.set_global_log_level(settings.log.level)
    try:
        gateway = build(settings, reactor)
    except (BadCertificate, DatabaseTaken, MailError, NewerSchema) as error:
        sys.exit(f"securegw cannot start: {error}")
    reactor.addSystemEventTrigger("after", "shutdown", _leave, gateway)  # type: ignore[attr-defined]
    return gateway.service


def _leave(gateway: Gateway) -> None:
    """twistd ends with 0 whatever happened; a supervisor must see that the doors could not be opened."""
    if gateway.doors.failed:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(1)
