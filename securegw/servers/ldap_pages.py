"""Results that are taken page by page: what is left of them waits in the connection, few at a time. RFC 2696."""

from __future__ import annotations

from itertools import count

import attrs

from securegw.servers.ldap_directory import Outcome
from securegw.servers.ldap_replies import SUCCESS

MOST = 4  # results that wait; a new one replaces the oldest


class Pages:
    """The rests, each by the cookie that its client was given."""

    def __init__(self) -> None:
        self._rests: dict[bytes, Outcome] = {}
        self._numbers = count(1)

    def take(self, cookie: bytes) -> Outcome | None:
        """The rest, which thereby waits no longer."""
        return self._rests.pop(cookie, None)

    def split(self, outcome: Outcome, size: int) -> tuple[Outcome, bytes]:
        """The first page and the cookie for the rest, which is empty on the last page."""
        if not size:
            return Outcome(), b""
        first, rest = outcome.entries[:size], outcome.entries[size:]
        if not rest:
            return outcome, b""
        cookie = b"%d" % next(self._numbers)
        if len(self._rests) >= MOST:
            del self._rests[next(iter(self._rests))]
        self._rests[cookie] = attrs.evolve(outcome, entries=rest)
        return Outcome(first, SUCCESS), cookie
