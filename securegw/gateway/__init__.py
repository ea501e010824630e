"""Builds the house as one MultiService; twistd starts here.

In floor order, without a registry: each part gets what it needs as arguments. ``doors.SERVERS`` says which doors there are.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import attrs
import txaio

txaio.use_twisted()  # before any room asks for a logger

from twisted.application.service import MultiService  # noqa: E402
from twisted.internet.defer import Deferred  # noqa: E402
from twisted.python import usage  # noqa: E402

from securegw import config  # noqa: E402
from securegw.clients.mx import Resolver  # noqa: E402
from securegw.clients.relay import Relay  # noqa: E402
from securegw.crypto.passwords import Cost  # noqa: E402
from securegw.crypto.seal import load_master_key  # noqa: E402
from securegw.gateway.doors import Doors  # noqa: E402
from securegw.gateway.rooms import House, close_rooms, furnish, open_rooms  # noqa: E402
from securegw.gateway.settings import Settings  # noqa: E402
from securegw.mail.errors import MailError  # noqa: E402
from securegw.store.database import Database, place  # noqa: E402
from securegw.store.troubles import DatabaseTaken, NewerSchema  # noqa: E402
from securegw.tls import BadCertificate  # noqa: E402
from securegw.workers import Workers  # noqa: E402

__all__ = ["Gateway", "House", "Options", "Settings", "build", "close_rooms", "furnish", "makeService", "open_rooms"]


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
    reactor.addSystemEventTrigger("after", "shutdown", _leave, gateway)
    return gateway.service


def _leave(gateway: Gateway) -> None:
    """twistd ends with 0 whatever happened; a supervisor must see that the doors could not be opened."""
    if gateway.doors.failed:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(1)
