"""Who may connect: how many connections there are, how many from one address, and how many of them a minute.

Not a firewall, and it knows nobody by name. One table for one listener. An IPv6 peer counts as its /64, since
everybody has a whole one (RFC 6177 2).
"""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Callable

import attrs


@attrs.frozen
class Room:
    """How many connections fit: in all, from one address, and new ones from one address within a minute."""

    total: int = 500
    per_address: int = 30
    per_minute: int = 300


class Doorkeeper:
    """Counts connections in and out; ``enter`` says why somebody must stay outside, or ""."""

    def __init__(self, room: Room, now: Callable[[], float]) -> None:
        self._room = room
        self._now = now
        self._inside: Counter[str] = Counter()
        self._lately: Counter[str] = Counter()
        self._minute = 0

    @property
    def count(self) -> int:
        return self._inside.total()

    @property
    def crowded(self) -> bool:
        """More than four fifths of the room is taken: time to be less patient."""
        return self.count * 5 > self._room.total * 4

    def enter(self, address: str) -> str:
        """Let the peer in and return "", or return the reason why not."""
        key = _network(address)
        if reason := self._objection(key):
            return reason
        self._inside[key] += 1
        return ""

    def leave(self, address: str) -> None:
        """Only for a peer that was let in."""
        key = _network(address)
        self._inside[key] -= 1
        if not self._inside[key]:
            del self._inside[key]

    def _objection(self, key: str) -> str:
        minute = int(self._now() // 60)
        if minute != self._minute:
            self._lately.clear()
            self._minute = minute
        self._lately[key] += 1
        if self.count >= self._room.total:
            return "too many connections"
        if self._inside[key] >= self._room.per_address:
            return "too many connections from this address"
        if self._lately[key] > self._room.per_minute:
            return "too many connections from this address within a minute"
        return ""


def _network(address: str) -> str:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:  # a UNIX socket has no address
        return address
    if parsed.version == 4:
        return address
    if parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((int(parsed), 64), strict=False))
