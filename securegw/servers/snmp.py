"""SNMP for monitoring systems: the door on UDP, and the notifications when a check changes its state.

Not what an answer is, see ``snmp_agent``. Named networks only, so many datagrams a second and no more (a source can be
forged); nothing can be set by it. The names are explained by ``etc/snmp/SECUREGW-MIB.txt``.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import txaio
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import DatagramProtocol

from securegw import config, counters
from securegw.config import Kind, Network, setting
from securegw.config.kinds import Unfit
from securegw.health import Check, Table
from securegw.servers.networks import LOOPBACK, is_named
from securegw.servers.snmp_agent import SnmpAgent
from securegw.servers.snmp_ber import oid
from securegw.servers.snmp_engine import start_engine
from securegw.servers.snmp_security import Secrets, read_secrets
from securegw.servers.snmp_tree import (
    CHECK_CHANGED,
    STATE,
    TRAP_OID,
    UPTIME,
    WORDS,
    About,
    Tree,
    cell,
    check_name,
    make_tree,
    ticks,
)

log = txaio.make_logger()

PER_SECOND = 200
ENGINE = "snmp-engine"
DATAGRAMS = counters.declare("securegw_snmp_datagrams", "Datagrams to the SNMP agent, by outcome.", ["outcome"])
TRAPS = counters.declare("securegw_snmp_traps", "Notifications sent when a check changed.")

_LISTEN = re.compile(r"udp:(?:port=)?(\d{1,5})(?::interface=((?:[^:\\]|\\:)+))?")


@attrs.frozen
class UdpPlace:
    """An address and a port; without an address, all of them."""

    address: str
    port: int


def _read_listen(value: object, folder: Path) -> UdpPlace:
    found = _LISTEN.fullmatch(value) if isinstance(value, str) else None
    if found is None or not int(found[1]) < 65536:
        raise Unfit
    return UdpPlace(_address((found[2] or "").replace("\\:", ":")), int(found[1]))


def _read_target(value: object, folder: Path) -> UdpPlace:
    host, _, port = value.rpartition(":") if isinstance(value, str) else ("", "", "")
    if not (host and port.isascii() and port.isdecimal() and 0 < int(port) < 65536):
        raise Unfit
    return UdpPlace(_address(host.strip("[]")), int(port))


def _address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text)) if text else ""
    except ValueError as error:
        raise Unfit(str(error)) from None


udp_listen = Kind[UdpPlace]('an endpoint like "udp:161" or "udp:161:interface=192.0.2.1"', "udp:161", _read_listen)
udp_target = Kind[UdpPlace]('an address and a port like "192.0.2.5:162"', "192.0.2.5:162", _read_target)


@attrs.frozen
class SnmpSettings:
    """The SNMP agent, read-only. Nothing listens unless it is set."""

    listen: tuple[UdpPlace, ...] = setting(
        config.list_of(udp_listen), default=[], help='Where managers are answered, usually "udp:161".'
    )
    networks: tuple[Network, ...] = setting(
        config.list_of(config.network), default=list(LOOPBACK), help="Who may ask; others hear nothing."
    )
    secrets: Path | None = setting(
        config.path,
        default=None,
        help='File, mode 0600, with lines "community NAME" (version 2c) and "user NAME SHA-256 PASSWORD AES PASSWORD" '
        "(version 3; also SHA and SHA-512).",
    )
    traps: tuple[UdpPlace, ...] = setting(
        config.list_of(udp_target), default=[], help="Who is told when a check changes its state."
    )
    trap_user: str | None = setting(
        config.text, default=None, help="The user of version 3 as whom that is told; without one, by a community."
    )
    contact: str = setting(config.text, default="postmaster", help="Who looks after this gateway (sysContact).")
    location: str = setting(config.text, default="", help="Where it stands (sysLocation).")


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
    ) -> None:
        self.settings = settings
        self.engine = start_engine(folder / ENGINE, steady)
        self.secrets = Secrets() if settings.secrets is None else read_secrets(settings.secrets, self.engine.id)
        self.agent = SnmpAgent(self.secrets, self.engine, self.tree)
        self._about = About(host, settings.contact, settings.location)
        self._table = table
        self._now = now
        self._steady = steady
        self._send = send
        self._made: tuple[Table, Tree] | None = None

    def door(self) -> SnmpDoor:
        return SnmpDoor(self.agent, self.settings.networks, self._now)

    def tree(self) -> Tree:
        """Made anew when the table is a new one."""
        table = self._table()
        if self._made is None or self._made[0] is not table:
            self._made = table, make_tree(table, self._about, self._uptime, self._now)
        return self._made[1]

    def changed(self, was: Check, check: Check) -> None:
        """Tell everybody who wants to know (SNMPv2-MIB: uptime, which notification, then its objects)."""
        bindings = [
            (UPTIME, ticks(self._uptime())),
            (TRAP_OID, oid(CHECK_CHANGED)),
            (check_name(STATE, check), cell(STATE, check)),
            (check_name(WORDS, check), cell(WORDS, check)),
        ]
        user = self.settings.trap_user
        community = next(iter(self.secrets.communities), None)
        message = self.agent.trap(bindings, user.encode() if user else None, None if user else community)
        if message is None:
            return
        for target in self.settings.traps:
            self._send(message, target)

    def _uptime(self) -> float:
        return self._steady() - self.engine.began


class TrapSender:
    """The ports from which notifications go, one for each family of addresses, opened when first needed."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._ports: dict[str, Any] = {}

    def send(self, message: bytes, target: UdpPlace) -> None:
        interface = "::" if ":" in target.address else ""
        try:
            if interface not in self._ports:
                self._ports[interface] = self._reactor.listenUDP(0, _Silent(), interface=interface)
            self._ports[interface].write(message, (target.address, target.port))
        except (CannotListenError, OSError) as error:
            log.warn("snmp: {target} cannot be told: {problem}", target=target.address, problem=str(error))
            return
        TRAPS.inc()

    def close(self) -> None:
        for port in self._ports.values():
            port.stopListening()
        self._ports.clear()


class _Silent(DatagramProtocol):
    """Nobody answers a notification."""

    noisy = False
