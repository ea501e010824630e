"""Builds the house as one MultiService; twistd starts here.

In floor order, without a registry: each part gets what it needs as arguments. ``doors.SERVERS`` is the table of doors.
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
from twisted.logger import ILogObserver  # noqa: E402
from twisted.python import usage  # noqa: E402
from twisted.python.components import Componentized  # noqa: E402

from securegw import config  # noqa: E402
from securegw.gateway.doors import Doors  # noqa: E402
from securegw.gateway.rooms import House, close_rooms, folders_of, furnish, open_rooms  # noqa: E402
from securegw.gateway.settings import Settings  # noqa: E402
from securegw.logs import LogSettings, local_observer  # noqa: E402

__all__ = [
    "Gateway",
    "House",
    "Options",
    "Settings",
    "build",
    "close_rooms",
    "folders_of",
    "furnish",
    "makeService",
    "open_rooms",
]


@attrs.frozen
class Gateway:
    """A gateway: its service, and once that has started, where its doors are (name -> (host, port))."""

    service: MultiService
    doors: Doors

    @property
    def opened(self) -> Deferred[None]:
        return self.doors.opened

    @property
    def house(self) -> House:
        """The rooms; there are none before the service has started."""
        if self.doors.house is None:
            raise RuntimeError("the gateway has not been started")
        return self.doors.house

    @property
    def ports(self) -> dict[str, tuple[str, int]]:
        hosts: dict[str, Any] = {name: port.getHost() for name, port in self.doors.ports.items()}
        return {name: (host.host, host.port) for name, host in hosts.items() if hasattr(host, "port")}


class LoggedService(MultiService):
    """The service of a gateway that writes its own log: twistd asks the application for an observer."""

    def __init__(self, settings: LogSettings, reactor: Any = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.settings = settings
        self.reactor = reactor

    def setServiceParent(self, parent: Any) -> None:
        if isinstance(parent, Componentized):
            parent.setComponent(ILogObserver, local_observer(self.settings, clock=self.reactor))
        super().setServiceParent(parent)  # type: ignore[no-untyped-call]


def logged_by_twistd(options: Options, settings: LogSettings) -> bool:
    """Whether twistd was told where the log goes, or is a daemon, which has no standard output."""
    twistd: Any = options.parent or {}
    return bool(twistd.get("logfile") or twistd.get("syslog")) or not (settings.file or twistd.get("nodaemon"))


def build(settings: Settings, reactor: Any, logged_elsewhere: bool = True) -> Gateway:
    """A gateway by its settings. Rooms are built when the service starts: threads do not survive a daemon's fork."""
    service = MultiService() if logged_elsewhere else LoggedService(settings.log, reactor)
    doors = Doors(settings, reactor)
    doors.setServiceParent(service)  # type: ignore[no-untyped-call]
    return Gateway(service, doors)


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
    gateway = build(settings, reactor, logged_by_twistd(options, settings.log))
    reactor.addSystemEventTrigger("after", "shutdown", _leave, gateway)
    return gateway.service


def _leave(gateway: Gateway) -> None:
    """twistd ends with 0 whatever happened; a supervisor must see that the doors could not be opened."""
    if gateway.doors.failed:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(1)
