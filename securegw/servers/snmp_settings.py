"""The settings of the SNMP agent, and of those whom it tells about changes.

UDP has no endpoint strings in Twisted, so the kinds that read addresses are here.
"""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path

import attrs

from securegw import config
from securegw.config import Kind, Network, setting
from securegw.config.kinds import Unfit
from securegw.servers.networks import LOOPBACK

EXAMPLE = 32473  # the enterprise number for examples (RFC 5612)

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
        config.list_of(udp_target), default=[], help="Who is told when a check changes its state, once."
    )
    informs: tuple[UdpPlace, ...] = setting(
        config.list_of(udp_target), default=[], help="Who is told until it acknowledges (informs instead of traps)."
    )
    inform_time: float = setting(config.duration, default="10m", help="When such a receiver is given up.")
    trap_user: str | None = setting(
        config.text, default=None, help="The user of version 3 as whom all are told; without one, by a community."
    )
    enterprise: int = setting(
        config.number(1, 2**31 - 1),
        default=EXAMPLE,
        help="Private enterprise number of your organisation (IANA); the default is the one for examples.",
    )
    contact: str = setting(config.text, default="postmaster", help="Who looks after this gateway (sysContact).")
    location: str = setting(config.text, default="", help="Where it stands (sysLocation).")
