"""The way to one next hop: how many mails are under way on it, which wait, and what is remembered of a dead one.

Not a connection and not a retry plan. A hop that cannot be reached answers at once for a while, so that its mails do
not each wait for it; one call in between finds out whether it lives again.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Hashable

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from securegw.clients.hop import Hop
from securegw.clients.relay_connection import RelayConnection
from securegw.clients.smtp_replies import Reply

GROWTH = 50  # mails that went well, until a hop that took few connections is offered one more
REMEMBERED = 10_000  # dead hops
FIRST_PEACE, LONGEST_PEACE = 1.0, 60.0  # seconds
FORGOTTEN = 600.0  # seconds after which a trouble does not count as one of a series


class Lane:
    """The mails to one hop: ``limit`` of them at the same time, fewer if the hop takes fewer connections."""

    hop: Hop  # the latest; the order of its hosts may change from mail to mail

    def __init__(self, key: Hashable, limit: int) -> None:
        self.key = key
        self.resting: list[RelayConnection] = []
        self.open = 0  # connections on which the server takes mail
        self.calling = 0  # connections that may become such
        self.asks_first = False  # the hop has gone without a word once, and nobody knows whether it has taken a text
        self._limit = self._ceiling = limit
        self._busy = 0
        self._well = 0
        self._waiting: deque[Deferred[None]] = deque()
        self._waking = False

    @property
    def unused(self) -> bool:
        return not (self._busy or self._waiting or self.resting)

    async def enter(self, *, first: bool = False) -> None:
        """Wait for a turn; ``first``: before all others, they came later."""
        if self._busy < self._ceiling and (first or not self._waiting):
            self._busy += 1
            return
        turn: Deferred[None] = Deferred()
        if first:
            self._waiting.appendleft(turn)
        else:
            self._waiting.append(turn)
        await turn

    def leave(self) -> None:
        self._busy -= 1
        self._wake()

    @property
    def alive(self) -> bool:
        """Somebody talks with the hop, or may do so in a moment."""
        return self.open + self.calling > 0

    async def enter_again(self) -> None:
        """The hop takes no more connections than those it has, or will have: wait until one of them is free."""
        self._ceiling = max(1, self.open + self.calling)
        self._busy -= 1
        await self.enter(first=True)

    def died(self) -> None:
        """The hop takes nothing; when it lives again it is a new one."""
        self._ceiling = self._limit

    def went_well(self) -> None:
        self._well += 1
        if self._well % GROWTH == 0 and self._ceiling < self._limit:
            self._ceiling += 1
            self._wake()

    def _wake(self) -> None:
        """A loop and no recursion: a thousand mails may be answered at once, each by the end of the one before."""
        if self._waking:
            return
        self._waking = True
        try:
            while self._waiting and self._busy < self._ceiling:
                self._busy += 1
                self._waiting.popleft().callback(None)
        finally:
            self._waking = False


@attrs.define
class _Trouble:
    reply: Reply
    peace: float
    until: float
    trying: bool = False


class Memory:
    """The hops that could not be reached lately: 1 s in peace after the first failure, twice as long each time."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._troubles: OrderedDict[Hashable, _Trouble] = OrderedDict()

    def reply(self, lane: Hashable) -> Reply | None:
        """What to answer at once; nothing if the hop may be called."""
        trouble = self._troubles.get(lane)
        if trouble is None or not (trouble.trying or self._clock.seconds() < trouble.until):
            return None
        return attrs.evolve(trouble.reply, text=f"{trouble.reply.text} (tried a moment ago)")

    def begin(self, lane: Hashable) -> None:
        """Somebody calls the hop; until that ends, others need not."""
        if trouble := self._troubles.get(lane):
            trouble.trying = True

    def end(self, lane: Hashable) -> None:
        if trouble := self._troubles.get(lane):
            trouble.trying = False

    def failed(self, lane: Hashable, reply: Reply) -> None:
        """The call has failed. Calls that were made at the same time count once."""
        now = self._clock.seconds()
        known = self._troubles.pop(lane, None)
        if known and now < known.until:
            self._troubles[lane] = known
            return
        in_series = known is not None and now - known.until < FORGOTTEN
        peace = min(2 * known.peace, LONGEST_PEACE) if known and in_series else FIRST_PEACE
        self._troubles[lane] = _Trouble(reply, peace, now + peace)
        while len(self._troubles) > REMEMBERED:
            self._troubles.popitem(last=False)

    def went_well(self, lane: Hashable) -> None:
        self._troubles.pop(lane, None)
