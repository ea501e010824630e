"""The addresses behind a host: in which order they are called, and which of them are ourselves.

Not a resolver. Obeys the rules of RFC 6724 6 that count for a mail server: what cannot be reached comes last,
otherwise IPv6 comes before IPv4; and RFC 5321 5.1: mail is never sent in a circle.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Collection, Iterable

from securegw.clients.hop import Place

ADDRESSES_LIMIT = 10  # called for one mail; each may cost the whole time of a connection
_DISCARD = 9  # nothing is sent there: to connect a datagram socket only looks up the route


def source_address(address: str) -> str | None:
    """The address from which this machine would call another; None if there is no way."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((address, _DISCARD))
            return str(probe.getsockname()[0])
    except OSError:
        return None


def in_order(addresses: Iterable[str], source: Callable[[str], str | None] = source_address) -> tuple[str, ...]:
    """Reachable ones first, IPv6 before IPv4; otherwise as the name server gave them."""
    found = list(dict.fromkeys(addresses))[:ADDRESSES_LIMIT]
    if len(found) < 2:
        return tuple(found)
    return tuple(sorted(found, key=lambda address: (source(address) is None, ":" not in address)))


def is_ourselves(place: Place, doors: Collection[Place], *, any_port: bool = False) -> bool:
    """Whether somebody who calls this place would reach one of our own ``doors``.

    A door on "0.0.0.0" or "::" is open on all addresses of this machine. ``any_port``: on this machine is enough.
    """
    address, port = _plain(place[0]), place[1]
    if any(port == door and _plain(own) == address for own, door in doors):
        return True
    wide = any_port or any(port == door and _plain(own).is_unspecified for own, door in doors)
    return wide and _is_here(address)


def _is_here(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    return address.is_loopback or address.is_unspecified or source_address(str(address)) == str(address)


def _plain(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """IPv4 in the clothes of IPv6 is IPv4; a zone is not part of an address."""
    found = ipaddress.ip_address(address.partition("%")[0])
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return mapped or found
