"""The first try of a mail: one transaction with its treatment, if the next hop is quick.

What came of a treatment is sent at once, while the accepted mail is still the row that the store knows. If all replies
are there soon, treatment and delivery are written down together, and a finished mail that nobody waits for is never
stored at all. Otherwise the treatment is written down while the try goes on, as for every other mail. A crash in
between repeats both: who got the mail in that moment gets it twice, as after any crash in a delivery (REL3).

Only for one finished mail of which nothing has to be known before it leaves; not for carriers, whose letters must be
there when somebody opens them.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

import attrs
import txaio
from twisted.internet.defer import Deferred

from securegw.flow.filing import with_bodies
from securegw.going import set_going
from securegw.store import queue

if TYPE_CHECKING:
    from securegw.crypto.seal import MasterKey
    from securegw.flow.claims import Claims
    from securegw.flow.delivery import Delivery, Tried
    from securegw.store.database import Database
    from securegw.store.queue import Item, Treated
    from securegw.workers.work import Work

log = txaio.make_logger()

SOON = 0.1  # seconds in which a mail has gone before anybody looks where it is


@attrs.define(eq=False)
class FirstTries:
    """Sends what was treated a moment ago."""

    delivery: Delivery
    claims: Claims
    database: Database
    workers: Work
    master: MasterKey
    reactor: Any
    watched: deque[tuple[float, Deferred[bool]]] = attrs.field(factory=deque)

    async def begin(self, item: Item, raw: bytes, treated: Treated, *, checked: bool = False) -> None:
        """Send ``item``, which came of this treatment; returns when the treatment is written down. ``checked`` if it is
        known that the text may go on the wire."""
        trying = set_going(self.delivery.attempt(item, raw, checked=checked))
        if trying.called or await self._ends_soon(trying):
            tried = await trying
            if not tried.is_taken(item.recipients):
                treated = await self._stored(treated, raw)
            await self.delivery.conclude(item, raw, tried, treated)
            return
        try:
            treated = await self._stored(treated, raw)
            await self.workers.settle(self.database.write_many(queue.treated_many, treated))
        except Exception as error:
            log.warn("the treatment of {trace} waits for its first try: {why}", trace=item.trace, why=repr(error))
            await self.delivery.conclude(item, raw, await trying, treated)
        else:
            self.claims.adopt(item, raw, self._conclude(item, raw, trying))

    async def _stored(self, treated: Treated, raw: bytes) -> Treated:
        """It has to wait: what was made is sealed for the store."""
        raws = [raw for _ in treated.entries]
        return await with_bodies(treated, raws, self.master, self.database, self.workers)

    async def _conclude(self, item: Item, raw: bytes, trying: Deferred[Tried]) -> None:
        await self.delivery.conclude(item, raw, await trying)

    def _ends_soon(self, trying: Deferred[Tried]) -> Deferred[bool]:
        """False when ``SOON`` is over and the try goes on."""
        ended: Deferred[bool] = Deferred()

        def over(result: Any) -> Any:
            if not ended.called:
                ended.callback(True)
            return result

        trying.addBoth(over)
        if not self.watched:
            self.reactor.callLater(SOON, self._look)
        self.watched.append((self.reactor.seconds() + SOON, ended))
        return ended

    def _look(self) -> None:
        """One look for all that began together: most of them have ended long since."""
        while self.watched and (self.watched[0][1].called or self.watched[0][0] <= self.reactor.seconds()):
            _, ended = self.watched.popleft()
            if not ended.called:
                ended.callback(False)
        if self.watched:
            self.reactor.callLater(max(0.0, self.watched[0][0] - self.reactor.seconds()), self._look)
