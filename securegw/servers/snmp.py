"""SNMP for monitoring systems: the door on UDP, and the notifications when a check changes its state.

Not what an answer is, see ``snmp_agent``. Named networks only, so many datagrams a second and no more (a source can be
forged); nothing can be set by it. The names are explained by ``etc/snmp/SECUREGW-MIB.txt``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import txaio
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import DatagramProtocol

from securegw import counters
from securegw.config import Network
from securegw.health import Check, Table
from securegw.servers.networks import is_named
from securegw.servers.snmp_agent import SnmpAgent
from securegw.servers.snmp_ber import oid
from securegw.servers.snmp_engine import start_engine
from securegw.servers.snmp_informs import AsUser, ByCommunity, Receiver, Speech
from securegw.servers.snmp_security import Secrets, read_secrets
from securegw.servers.snmp_settings import SnmpSettings, UdpPlace
from securegw.servers.snmp_tree import (
    STATE,
    TRAP_OID,
    UPTIME,
    WORDS,
    About,
    Names,
    Tree,
    cell,
    make_tree,
    ticks,
)

log = txaio.make_logger()

PER_SECOND = 200
ENGINE = "snmp-engine"
DATAGRAMS = counters.declare("securegw_snmp_datagrams", "Datagrams to the SNMP agent, by outcome.", ["outcome"])
TRAPS = counters.declare("securegw_snmp_traps", "Notifications sent when a check changed.")


class SnmpDoor(DatagramProtocol):
    """One UDP port."""

    noisy = False
    transport: Any

    def __init__(self, agent: SnmpAgent, networks: tuple[Network, ...], now: Callable[[], float]) -> None:
        self._agent = agent
        self._networks = networks
        self._now = now
        self._second = 0
        self._count = 0

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        if not is_named(addr[0], self._networks):
            DATAGRAMS.labels("stranger").inc()
            return
        if self._is_flood():
            DATAGRAMS.labels("flood").inc()
            return
        answer = self._agent.receive(datagram)
        DATAGRAMS.labels("silent" if answer is None else "answered").inc()
        if answer is not None:
            self.transport.write(answer, addr)

    def _is_flood(self) -> bool:
        second = int(self._now())
        if second != self._second:
            self._second, self._count = second, 0
        self._count += 1
        return self._count > PER_SECOND


class Snmp:
    """The agent with its engine and secrets, and the teller of changes."""

    def __init__(
        self,
        settings: SnmpSettings,
        host: str,
        folder: Path,
        table: Callable[[], Table],
        now: Callable[[], float],
        steady: Callable[[], float],
        send: Callable[[bytes, UdpPlace], None],
        clock: IReactorTime,
    ) -> None:
        self.settings = settings
        self.names = Names(settings.enterprise)
        self.engine = start_engine(folder / ENGINE, steady, settings.enterprise)
        self.secrets = Secrets() if settings.secrets is None else read_secrets(settings.secrets, self.engine.id)
        self.agent = SnmpAgent(self.secrets, self.engine, self.tree)
        self._about = About(host, settings.contact, settings.location)
        self._table = table
        self._now = now
        self._steady = steady
        self._send = send
        self._made: tuple[Table, Tree] | None = None
        self._receivers = {place: self._receiver(place, clock) for place in settings.informs}

    def door(self) -> SnmpDoor:
        return SnmpDoor(self.agent, self.settings.networks, self._now)

    def tree(self) -> Tree:
        """Made anew when the table is a new one."""
        table = self._table()
        if self._made is None or self._made[0] is not table:
            self._made = table, make_tree(table, self.names, self._about, self._uptime, self._now)
        return self._made[1]

    def changed(self, was: Check, check: Check) -> None:
        """Tell everybody who wants to know (SNMPv2-MIB: uptime, which notification, then its objects)."""
        names = self.names
        bindings = [
            (UPTIME, ticks(self._uptime())),
            (TRAP_OID, oid(names.check_changed)),
            (names.check(STATE, check), cell(STATE, check)),
            (names.check(WORDS, check), cell(WORDS, check)),
        ]
        if self.settings.traps and (message := self.agent.trap(bindings, self._user, self._community)) is not None:
            for target in self.settings.traps:
                self._send(message, target)
        for receiver in self._receivers.values():
            if receiver is not None:
                receiver.tell(bindings)

    def hear(self, datagram: bytes, address: str, port: int) -> None:
        """What came back to where notifications are sent from."""
        receiver = self._receivers.get(UdpPlace(address, port))
        if receiver is not None:
            receiver.hear(datagram)

    def close(self) -> None:
        for receiver in self._receivers.values():
            if receiver is not None:
                receiver.close()

    @property
    def _user(self) -> bytes | None:
        return self.settings.trap_user.encode() if self.settings.trap_user else None

    @property
    def _community(self) -> bytes | None:
        return None if self._user else next(iter(self.secrets.communities), None)

    def _receiver(self, place: UdpPlace, clock: IReactorTime) -> Receiver | None:
        """One that acknowledges; None where there is no secret to tell it with."""
        master = self.secrets.masters.get(self._user or b"")
        if master is not None:
            speech: Speech = AsUser(master, self._steady)
        elif self._community is not None:
            speech = ByCommunity(self._community)
        else:
            return None
        return Receiver(
            place.address, speech, lambda message: self._send(message, place), clock, self.settings.inform_time
        )

    def _uptime(self) -> float:
        return self._steady() - self.engine.began


class TrapSender:
    """The ports from which notifications go, one for each family of addresses, opened when first needed."""

    def __init__(self, reactor: Any) -> None:
        self.heard: Callable[[bytes, str, int], None] = lambda datagram, address, port: None
        self._reactor = reactor
        self._ports: dict[str, Any] = {}

    def send(self, message: bytes, target: UdpPlace) -> None:
        interface = "::" if ":" in target.address else ""
        try:
            if interface not in self._ports:
                self._ports[interface] = self._reactor.listenUDP(0, _Answers(self), interface=interface)
            self._ports[interface].write(message, (target.address, target.port))
        except (CannotListenError, OSError) as error:
            log.warn("snmp: {target} cannot be told: {problem}", target=target.address, problem=str(error))
            return
        TRAPS.inc()

    def close(self) -> None:
        for port in self._ports.values():
            port.stopListening()
        self._ports.clear()


class _Answers(DatagramProtocol):
    """What receivers of informs answer."""

    noisy = False

    def __init__(self, sender: TrapSender) -> None:
        self._sender = sender

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        self._sender.heard(datagram, addr[0], addr[1])
