"""Makes and gives out the revocation lists of our own authorities: on revocation, and long before the last one ends.

Not the decision to revoke, an administrator's command does that. RFC 5280 5; served over HTTP (RFC 5280 4.2.1.13).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import txaio

from securegw.crypto.revocation import Revoked, make_list
from securegw.fresh import Fresh
from securegw.keys.issue import PRIVATE_KEY
from securegw.keys.settings import NAME, KeysSettings
from securegw.store import keystore, revocations

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection

    from securegw.crypto.seal import MasterKey
    from securegw.store.database import Database
    from securegw.store.keystore import Held
    from securegw.store.revocations import Published
    from securegw.workers.work import Work

log = txaio.make_logger()

DAY = 86400.0


@attrs.define(eq=False)
class Revocations:
    """The lists of all authorities of ours."""

    settings: KeysSettings
    database: Database
    workers: Work
    master: MasterKey
    now: Callable[[], float]
    kept: Fresh[Published | None] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.kept = Fresh(self.now, 30.0)

    async def look(self, name: str) -> bytes | None:
        """The list of this name, None if there is none; most who ask have read the name in a certificate."""
        stem = name.removesuffix(".crl")
        if name == stem or len(stem) != NAME:
            return None
        if not self.kept.knows(stem):
            self.kept.keep(stem, await self.workers.settle(self.database.read(_published, stem)))
        found = self.kept[stem]
        return None if found is None else found.der

    async def tick(self) -> None:
        """Make what is missing, out of date, or soon to end."""
        for authority in await self.workers.settle(self.database.read(keystore.own_authorities)):
            await self.renew(authority)

    async def renew(self, authority: Held) -> bool:
        """A new list for one authority if it needs one; whether it did."""
        now = self.now()  # before the lines are read: one that comes meanwhile is younger than the list
        lines, last = await self.workers.settle(self.database.read(_state, authority.fingerprint))
        if authority.not_after < now or authority.private is None or self._is_good(lines, last):
            return False
        new = await self.workers.thread(self._make, authority, lines, last, now)
        await self.workers.settle(self.database.write(revocations.publish, new))
        self.kept.forget(authority.fingerprint[:NAME])
        log.info("a revocation list of {count} lines was made", count=len(lines), authority=authority.fingerprint)
        return True

    def _is_good(self, lines: list[revocations.Revocation], last: Published | None) -> bool:
        """It has all lines, and half of its life is still to come: nobody may find an old one because we were down."""
        if last is None or any(line.time >= last.made for line in lines):
            return False
        return last.made <= self.now() < last.next_update - self.settings.crl_days * DAY / 2

    def _make(
        self, authority: Held, lines: list[revocations.Revocation], last: Published | None, now: float
    ) -> Published:
        assert authority.private is not None
        key = self.master.open(PRIVATE_KEY, authority.fingerprint, authority.private)
        number = (last.number if last else 0) + 1
        revoked = [Revoked(int(line.serial, 16), line.time, line.reason) for line in lines]
        der = make_list(key, authority.der, revoked, number=number, now=now, days=self.settings.crl_days)
        until = now + self.settings.crl_days * DAY
        return revocations.Published(
            authority=authority.fingerprint, number=number, der=der, made=now, next_update=until
        )


def _state(conn: Connection, authority: str) -> tuple[list[revocations.Revocation], Published | None]:
    return revocations.of_authority(conn, authority), revocations.published(conn, authority)


def _published(conn: Connection, stem: str) -> Published | None:
    found = next((one for one in keystore.own_authorities(conn) if one.fingerprint.startswith(stem)), None)
    return None if found is None else revocations.published(conn, found.fingerprint)
