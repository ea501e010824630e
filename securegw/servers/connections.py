"""Who may connect: how many connections there are, how many from one address, and how many of them a minute.

Not a firewall, and it knows nobody by name: who it is told to know - the named relay networks - only counts in the
whole. An IPv6 peer counts as its /64, since everybody has a whole one (RFC 6177 2).
"""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Callable
from functools import lru_cache

import attrs

from securegw.counters import declare_gauge

OPEN = declare_gauge("securegw_open_connections", "Connections open now.", ["door"])
STRESS = declare_gauge("securegw_stress", "1 while the door is crowded, and less patient if it can be.", ["door"])


@attrs.frozen
class Room:
    """How many connections fit: in all, from one address, and new ones from one address within a minute."""

    total: int = 500
    per_address: int = 30
    per_minute: int = 300


class Doorkeeper:
    """Counts connections in and out; ``enter`` says why somebody must stay outside, or "".

    ``stressed`` begins when more than four fifths of the room are taken and ends below three fifths, so that it does
    not flap. ``door`` is its name among the gauges.
    """

    def __init__(self, room: Room, now: Callable[[], float], door: str = "smtp") -> None:
        self.stressed = False
        self.count = 0
        self._room = room
        self._now = now
        self._inside: Counter[str] = Counter()
        self._lately: Counter[str] = Counter()
        self._minute = 0
        OPEN.labels(door).set_function(lambda: self.count)
        STRESS.labels(door).set_function(lambda: self.stressed)

    def enter(self, address: str, *, known: bool = False) -> str:
        """Let the peer in and return "", or return the reason why not; who is known has no share to exceed."""
        key = _network(address)
        if reason := self._objection(key, known):
            return reason
        self._inside[key] += 1
        self._changed(1)
        return ""

    def leave(self, address: str) -> None:
        """Only for a peer that was let in."""
        key = _network(address)
        self._inside[key] -= 1
        if not self._inside[key]:
            del self._inside[key]
        self._changed(-1)

    def _changed(self, by: int) -> None:
        self.count += by
        taken, room = self.count * 5, self._room.total
        self.stressed = taken > room * 4 or (self.stressed and taken >= room * 3)

    def _objection(self, key: str, known: bool) -> str:
        if self.count >= self._room.total:
            return "too many connections"
        return "" if known else self._own_share(key)

    def _own_share(self, key: str) -> str:
        minute = int(self._now() // 60)
        if minute != self._minute:
            self._lately.clear()
            self._minute = minute
        self._lately[key] += 1
        if self._inside[key] >= self._room.per_address:
            return "too many connections from this address"
        if self._lately[key] > self._room.per_minute:
            return "too many connections from this address within a minute"
        return ""


@lru_cache(maxsize=4096)
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
