"""Who sends many mails that cannot be opened is not opened for any more, for an hour (threats 5.5.31).

Not a refusal: what is not tried is delivered as it came and marked like what could not be opened, so that nobody
outside sees a difference. A thousand changed copies of one sealed mail ask about its text; this is the answer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import attrs

from securegw.fresh import Fresh
from securegw.store import limits

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from securegw.flow.treatment import Accepted, Step
    from securegw.store.database import Database
    from securegw.workers.work import Work

MOST = {"from": 50, "by": 1000}  # a peer may bring the mail of many
HOUR = 3600.0


@attrs.frozen
class Failure:
    """One that could not be opened, of these senders, at this time."""

    keys: tuple[str, ...]
    time: float


@attrs.define(eq=False)
class Undecryptable:
    """Counts by the envelope's sender and by the peer that brings the mail, for all nodes together."""

    database: Database
    workers: Work
    now: Callable[[], float]
    standing: Fresh[int] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.standing = Fresh(self.now)

    async def too_many(self, accepted: Accepted) -> bool:
        """Whether this sender has had his tries."""
        for kind, key in _keys(accepted).items():
            if await self._count(key) >= MOST[kind]:
                return True
        return False

    async def _count(self, key: str) -> int:
        if not self.standing.knows(key):
            tries = await self.workers.settle(self.database.read(limits.standing, key))
            recent = tries.count if tries.last + HOUR >= self.now() else 0
            self.standing.keep(key, recent)
        return self.standing[key]

    def failed(self, accepted: Accepted) -> Step:
        """The step that counts one more."""
        return count, Failure(tuple(_keys(accepted).values()), self.now())


def count(connection: Connection, failure: Failure) -> None:
    """A step of a commit."""
    for key in failure.keys:
        limits.failed(connection, key, failure.time, HOUR)


def _keys(accepted: Accepted) -> dict[str, str]:
    peer = str(accepted.item.source.get("address", ""))
    return {"from": f"unopened:from:{accepted.item.sender.lower()}", "by": f"unopened:by:{peer}"}
