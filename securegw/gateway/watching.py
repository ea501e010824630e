"""Who watches the gateway: SNMP managers, and the machines that get its log.

Not the doors of the table, which are TCP: SNMP is datagrams, and the log goes out by itself.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IListeningPort
from twisted.logger import globalLogPublisher

from securegw.clients.syslog import Forwarder, Receiver
from securegw.flow.hours import boot_time
from securegw.gateway.rooms import House
from securegw.health.checks import Buffer
from securegw.servers.snmp import Snmp, TrapSender


class Watching:
    """Begins when the rooms are open, ends when they are closed."""

    def __init__(self, house: House, reactor: Any) -> None:
        self.ports: dict[str, IListeningPort] = {}
        self._house = house
        self._reactor = reactor
        self._traps = TrapSender(reactor)
        self._snmp: Snmp | None = None
        own, settings = house.settings.gateway, house.settings.syslog
        self._forwarder = Forwarder(settings, own.host, own.directory / "syslog", house.workers, reactor)

    def start(self) -> None:
        self._forwarder.start()
        self._house.health.places.buffers = lambda: tuple(map(_buffer, self._forwarder.receivers))
        if self._house.settings.ldap.any_listener:
            self._house.health.places.published = lambda: self._house.published.looked
        globalLogPublisher.addObserver(self._forwarder)
        own = self._house.settings.snmp
        if own.listen or own.traps or own.informs:
            self._open_snmp()

    def _open_snmp(self) -> None:
        settings, own, health = self._house.settings.snmp, self._house.settings.gateway, self._house.health
        snmp = Snmp(
            settings,
            own.host,
            own.directory,
            table=lambda: health.table,
            now=self._reactor.seconds,
            steady=boot_time,
            send=self._traps.send,
            clock=self._reactor,
        )
        self._traps.heard = snmp.hear
        self._snmp = snmp
        for number, place in enumerate(settings.listen):
            port = self._reactor.listenUDP(place.port, snmp.door(), interface=place.address)
            self.ports["snmp" if number == 0 else f"snmp-{number + 1}"] = port
        health.listeners.append(snmp.changed)

    async def stop(self) -> None:
        """The log is the last to go; the ports are closed with the doors."""
        if self._snmp is not None:
            self._snmp.close()
        self._traps.close()
        globalLogPublisher.removeObserver(self._forwarder)
        await self._forwarder.stop()


def _buffer(receiver: Receiver) -> Buffer:
    queue = receiver.queue
    return Buffer(
        name=str(receiver.place),
        full=queue.full,
        waiting=queue.waiting,
        lost=queue.lost,
        connected=receiver.connected,
    )
