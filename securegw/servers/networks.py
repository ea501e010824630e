"""Named networks: a door that answers to these only.

Not a firewall: it looks at the address at the other end of the connection.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from securegw.config import Network

LOOPBACK = ("127.0.0.0/8", "::1/128")


def is_named(address: str, networks: Iterable[Network]) -> bool:
    """Whether the address lies in one of the networks; an IPv4 address may come in the clothes of IPv6."""
    try:
        peer = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:  # a UNIX socket: who reaches it has been let in by its file's mode
        return address == ""
    peer = getattr(peer, "ipv4_mapped", None) or peer
    return any(peer in network for network in networks)
