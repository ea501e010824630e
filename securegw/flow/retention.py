"""Retention: what has been kept long enough is forgotten - history, web sessions, counted tries.

Not the queue, where nothing is forgotten: a mail ends by delivery, notice or an operator. Nothing is forgotten either
while the clock cannot be believed: ten years forward would leave no history at all (drill D8).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import attrs
import txaio

from securegw import config
from securegw.accounts import FORGOTTEN, IDLE, LONGEST
from securegw.config import setting
from securegw.flow.hours import Hours
from securegw.keys.tidy import tidy
from securegw.store import desk, events, limits, opened, passages, websessions
from securegw.store.items import Chosen

if TYPE_CHECKING:
    from securegw.store.database import Database
    from securegw.store.items import Item
    from securegw.workers.work import Work

log = txaio.make_logger()

DAY = 86400.0
PIECES = 24  # of the oldest day, each a short transaction, so that mail in between does not wait
STRANDED = 1800.0  # a clock put back by more than this leaves mails waiting that should not
FURTHEST = 6 * 3600.0  # a retry further ahead was planned under another clock
PAGE = 500


@attrs.frozen
class RetentionSettings:
    """How long things are kept that nobody needs for the mail itself."""

    history_days: int = setting(
        config.number(1, 36_500), default=90, help="Days for which is known what happened to a mail."
    )
    opened_days: int = setting(
        config.number(1, 36_500),
        default=800,
        help="Days for which is known that a mail came encrypted, so that answers to it do not leave in clear.",
    )
    passages_days: int = setting(
        config.number(0, 36_500),
        default=0,
        help="Days for which text and files of such a mail are known again in what its readers write, by up to 80 "
        "marks of 8 bytes under a key; 0: they are not looked for. It doubles the work for a mail that is opened.",
    )


@attrs.define(eq=False, kw_only=True)
class Retention:
    """Does the regular cleaning; ``tick`` is called every now and then, at least every hour."""

    settings: RetentionSettings
    tidy_days: float = 90.0
    database: Database
    workers: Work
    now: Callable[[], float]
    hours: Hours = attrs.field()

    @hours.default
    def _hours(self) -> Hours:
        return Hours(self.now)

    async def tick(self) -> None:
        """Forget what is old, and free what a clock put back would keep waiting."""
        await self._wake_stranded()
        if self.hours.agree():
            await self._forget()

    async def _forget(self) -> None:
        now = self.now()
        horizon = now - self.settings.history_days * DAY
        forgotten = 0
        for piece in range(PIECES + 1):
            before = horizon - DAY + piece * DAY / PIECES
            forgotten += await self.workers.settle(self.database.write(events.prune, before))
        await self.workers.settle(self.database.write(limits.prune, now - FORGOTTEN))
        await self.workers.settle(self.database.write(opened.prune, now - self.settings.opened_days * DAY))
        await self.workers.settle(self.database.write(passages.prune, now - self.settings.passages_days * DAY))
        await self.workers.settle(self.database.write(tidy, now, self.tidy_days))
        ended = self.database.write(websessions.prune, created_before=now - LONGEST, seen_before=now - IDLE)
        await self.workers.settle(ended)
        if forgotten:
            log.info("{count} events of the history were old and are forgotten", count=forgotten)

    async def _wake_stranded(self) -> None:
        """Retries planned under a clock that has been put back since would come days late: now, then."""
        if self.hours.moved > -STRANDED:
            return
        latest, woken = self.now() + FURTHEST, 0
        after: tuple[float, str] | None = None
        while page := await self._page(after):
            late = tuple(item.id for item in page if item.next_try > latest)
            if late:
                woken += await self.workers.settle(self.database.write(desk.retry, Chosen(late)))
            after = page[-1].received, page[-1].id
        if woken:
            log.error("the clock was put back: {count} mails are tried at once", count=woken)

    async def _page(self, after: tuple[float, str] | None) -> list[Item]:
        found = self.database.read(desk.list_items, state="waiting", after=after, limit=PAGE)
        return await self.workers.settle(found)
