"""Counts how often an address did something, and says when it was too often.

Not the counting of wrong passwords: that outlives a restart and belongs to ``accounts``.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict, deque
from collections.abc import Callable

MOST_KEYS = 20_000


class Rate:
    """At most ``count`` times in ``seconds`` for each key. Forgets the longest silent key first."""

    def __init__(self, now: Callable[[], float], count: int, seconds: float) -> None:
        self.now = now
        self.count = count
        self.seconds = seconds
        self.seen: OrderedDict[str, deque[float]] = OrderedDict()

    def allows(self, key: str) -> bool:
        """Note one more time, unless it is too often already."""
        now = self.now()
        times = self.seen.setdefault(key, deque())
        self.seen.move_to_end(key)
        while times and times[0] <= now - self.seconds:
            times.popleft()
        if len(self.seen) > MOST_KEYS:
            self.seen.popitem(last=False)
        if len(times) >= self.count:
            return False
        times.append(now)
        return True


def network_of(address: str) -> str:
    """The key of a peer: its IPv4 address or its IPv6 /64, which is one household (RFC 6177)."""
    try:
        peer = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(peer, ipaddress.IPv6Address):
        if peer.ipv4_mapped:
            return str(peer.ipv4_mapped)
        return str(ipaddress.ip_network((int(peer), 64), strict=False))
    return str(peer)
