"""Sends the log to other machines: any number of receivers, by UDP, TCP or TLS (RFC 5424, RFC 5425, RFC 6587).

Mail never waits for a log: an event becomes a line, and the line waits in ``syslog_queue`` - in memory, then on the
disk, then it is lost and counted. Nothing in here logs while it handles an event, so nothing goes in a circle; that a
receiver is away is told once.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import txaio
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import ILogObserver, LogLevel
from twisted.python.threadable import isInIOThread
from zope.interface import implementer

from securegw import config, counters
from securegw.clients.syslog_buffer import DiskBuffer
from securegw.clients.syslog_link import DatagramLink, StreamLink
from securegw.clients.syslog_message import EXAMPLE, FACILITIES, SEVERITIES, Writer
from securegw.clients.syslog_queue import SyslogQueue
from securegw.config import Kind, setting
from securegw.config.kinds import Unfit
from securegw.logs.lines import level_of
from securegw.tls import ClientTLS, Wanted
from securegw.workers.work import Work

log = txaio.make_logger()

TOGETHER = 0.05  # seconds in which lines are gathered for one write
PAUSES = (1.0, 2.0, 5.0, 10.0, 30.0)
STEADY = 10.0  # a link that lives so long is a good one
LINGER = 5.0
PORTS = {"udp": 514, "tcp": 514, "tls": 6514}
SENT = counters.declare("securegw_syslog_sent", "Lines handed to a log receiver.", ["receiver"])
LOST = counters.declare_gauge("securegw_syslog_lost", "Lines that a log receiver will never get.", ["receiver"])

_PLACE = re.compile(r"(udp|tcp|tls)://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)(?::(\d{1,5}))?")


@attrs.frozen
class Place:
    """Where a receiver is, and how it is spoken to."""

    way: str
    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.way}://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"


def _read_place(value: object, folder: Path) -> Place:
    found = _PLACE.fullmatch(value) if isinstance(value, str) else None
    if found is None or int(found[3] or 1) not in range(1, 65536):
        raise Unfit
    return Place(found[1], found[2].strip("[]").lower(), int(found[3] or PORTS[found[1]]))


place = Kind[Place](
    'a receiver like "udp://192.0.2.1", "tcp://logs.example.org:601" or "tls://logs.example.org"',
    "tls://logs.example.org",
    _read_place,
)


@attrs.frozen
class SyslogSettings:
    """Machines that get our log too. The log of this machine is in [log]."""

    receivers: tuple[Place, ...] = setting(
        config.list_of(place), default=[], help="Where the log goes; the ports are 514, 514 and 6514 unless named."
    )
    facility: str = setting(config.choice(*FACILITIES), default="mail", help="The facility under which it is filed.")
    level: str = setting(
        config.choice("critical", "error", "warn", "info", "debug"), default="info", help="The least that is sent."
    )
    authorities: Path | None = setting(
        config.path, default=None, help="Roots for the certificates of TLS receivers, PEM; else those of the system."
    )
    certificate: Path | None = setting(
        config.path, default=None, help="Our certificate for receivers that want one, with its chain, in PEM."
    )
    key: Path | None = setting(config.path, default=None, help="Private key of that certificate, in PEM.")
    buffer: int = setting(
        config.size, default="100 MB", help="Room on the disk for the lines of each receiver that is away."
    )
    enterprise: int = setting(
        config.number(1, 2**31 - 1),
        default=EXAMPLE,
        help="Private enterprise number of your organisation (IANA), which names the structured data.",
    )


class Receiver:
    """One receiver: keeps a link to it as well as it can, and sends what waits."""

    def __init__(
        self,
        place: Place,
        queue: Callable[[Callable[[], None]], SyslogQueue],
        tls: ClientTLS,
        workers: Work,
        reactor: Any,
    ) -> None:
        self.place = place
        self.queue = queue(self._soon)
        self._tls = tls
        self._workers = workers
        self._reactor = reactor
        self._link: StreamLink | DatagramLink | None = None
        self._stopping = self._told = False
        self._failures = 0
        self._since = 0.0
        self._pump_call: IDelayedCall | None = None
        self._turn_call: IDelayedCall | None = None
        self._retry_call: IDelayedCall | None = None
        self._gone: Deferred[None] | None = None
        self._sent = SENT.labels(str(place))
        LOST.labels(str(place)).set_function(lambda: self.queue.lost)

    @property
    def connected(self) -> bool:
        return self._link is not None

    def start(self) -> None:
        self.queue.open()
        self._turn()
        self._connect()

    def accept(self, line: bytes) -> None:
        """The newest line."""
        self.queue.put(line)
        self._soon()

    async def stop(self) -> None:
        """Send what can be sent, end the link properly, write the rest down."""
        self._stopping = True
        self.queue.end()
        for call in (self._pump_call, self._turn_call, self._retry_call):
            if call is not None and call.active():
                call.cancel()
        if self._link is not None:
            self._pump()
            if isinstance(self._link, StreamLink):
                await self._part(self._link)
            else:
                self._link.close()
        await self.queue.close()

    async def _part(self, link: StreamLink) -> None:
        """Wait until the other side has everything, but not for long; what it may not have comes again next time."""
        gone: Deferred[None] = Deferred()
        self._gone = gone
        late = self._reactor.callLater(LINGER, link.abort)
        link.close()
        await gone
        if late.active():
            late.cancel()
        else:
            self.queue.connection_lost()

    def _connect(self) -> None:
        self._retry_call = None
        Deferred.fromCoroutine(self._open()).addErrback(lambda failure: self._down(failure.getErrorMessage()))

    async def _open(self) -> None:
        if self.place.way == "udp":
            kind = socket.SOCK_DGRAM
            found = await self._workers.thread(socket.getaddrinfo, self.place.host, self.place.port, type=kind)
            address = str(found[0][4][0])
            link = DatagramLink(address, self.place.port, lambda: self._up(link), self._down)
            self._reactor.listenUDP(0, link, interface="::" if ":" in address else "")
            return
        host = self.place.host
        handshake = self._tls.handshake(host, Wanted(names=(host,))) if self.place.way == "tls" else None
        stream = StreamLink(handshake, lambda: self._up(stream), self._down)
        factory: Any = _Once(stream)
        await HostnameEndpoint(self._reactor, host.encode(), self.place.port, timeout=10).connect(factory)

    def _up(self, link: StreamLink | DatagramLink) -> None:
        """There is a link, or it can take more."""
        if self._stopping and self._link is None:
            link.abort()
            return
        if self._link is None:
            self._since = self._reactor.seconds()
        self._link = link
        self._soon()

    def _down(self, problem: str) -> None:
        was, self._link = self._link, None
        if self._gone is not None:
            self._gone.callback(None)
        if self._stopping:
            return
        if was is not None:
            self.queue.connection_lost()
        pause = PAUSES[min(self._failures, len(PAUSES) - 1)]
        self._failures += 1
        self._retry_call = self._reactor.callLater(pause, self._connect)
        if not self._told:
            self._told = True
            log.warn("syslog: {receiver} is away: {problem}", receiver=str(self.place), problem=problem)

    def _soon(self) -> None:
        if self._link is not None and self._pump_call is None and not self._stopping:
            self._pump_call = self._reactor.callLater(TOGETHER, self._pump)

    def _pump(self) -> None:
        self._pump_call = None
        link = self._link
        while link is not None and not link.paused and (lines := self.queue.take(link.burst)):
            link.send(lines)
            self._sent.inc(len(lines))
            if isinstance(link, DatagramLink):
                self._soon()
                return

    def _turn(self) -> None:
        """Once a second."""
        self._turn_call = self._reactor.callLater(1.0, self._turn)
        self.queue.settle()
        if self._link is None:
            self.queue.spill()
        elif self._reactor.seconds() - self._since > STEADY:
            self._failures = 0
            if self._told:
                self._told = False
                log.info("syslog: {receiver} takes our log again", receiver=str(self.place))


class _Once:
    """The factory of one connection."""

    noisy = False

    def __init__(self, link: StreamLink) -> None:
        self.link = link

    def doStart(self) -> None: ...

    def doStop(self) -> None: ...

    def buildProtocol(self, address: object) -> StreamLink:
        return self.link


@implementer(ILogObserver)
class Forwarder:
    """Observes the log and hands each line to all receivers."""

    def __init__(self, settings: SyslogSettings, host: str, folder: Path, workers: Work, reactor: Any) -> None:
        own = (settings.certificate, settings.key)
        tls = ClientTLS(settings.authorities, own=own if own[0] and own[1] else None)  # type: ignore[arg-type]
        self.broken = 0
        self._writer = Writer(host, FACILITIES[settings.facility], settings.enterprise)
        self._least = SEVERITIES[LogLevel.lookupByName(settings.level)]
        self._reactor = reactor
        self._inside = False

        def queue(at: Place) -> Callable[[Callable[[], None]], SyslogQueue]:
            disk = DiskBuffer(folder / re.sub(r"[^a-z0-9.]+", "-", str(at)), settings.buffer)
            return lambda ready: SyslogQueue(disk, workers, reactor.seconds, ready)

        self.receivers = [Receiver(at, queue(at), tls, workers, reactor) for at in settings.receivers]

    def start(self) -> None:
        for receiver in self.receivers:
            receiver.start()

    async def stop(self) -> None:
        await gatherResults([Deferred.fromCoroutine(receiver.stop()) for receiver in self.receivers])

    def __call__(self, event: dict[str, Any]) -> None:
        """From any thread; never raises, and an event that is told while another one is handled is left out."""
        if not self.receivers or SEVERITIES[level_of(event)] > self._least:
            return
        try:
            line = self._writer.write(event)
        except Exception:  # an event that cannot be formatted is a mistake of ours, told by the local log
            self.broken += 1
            return
        if isInIOThread():
            self._hand_over(line)
        else:
            self._reactor.callFromThread(self._hand_over, line)

    def _hand_over(self, line: bytes) -> None:
        if self._inside:
            return
        self._inside = True
        try:
            for receiver in self.receivers:
                receiver.accept(line)
        finally:
            self._inside = False
