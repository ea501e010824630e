"""The journey of a mail: from accepted to finished, in one transaction.

Outgoing and incoming work out what each recipient gets; here their parts are put together and the accepted mail is
replaced by the finished ones. A crash before the commit repeats the step, a crash after it does not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import attrs
import txaio

from securegw.flow import history, quarantine
from securegw.flow.filing import unfile, with_bodies
from securegw.flow.line import LARGE
from securegw.flow.treatment import NOTHING, Accepted, Arrived, Treatment, take_up
from securegw.mail.address import Address, parse_path
from securegw.store import queue

if TYPE_CHECKING:
    from securegw.crypto.seal import MasterKey
    from securegw.flow.archive import Archive
    from securegw.flow.claims import Claims
    from securegw.flow.first_tries import FirstTries
    from securegw.flow.incoming import Incoming
    from securegw.flow.outgoing import Outgoing
    from securegw.flow.places import Places
    from securegw.store.database import Database
    from securegw.store.mailboxes import Mailbox
    from securegw.store.queue import Item
    from securegw.workers.work import Work

log = txaio.make_logger()


@attrs.define(eq=False, kw_only=True)
class Journey:
    """Treats each accepted mail once."""

    places: Places
    outgoing: Outgoing
    incoming: Incoming
    archive: Archive
    claims: Claims
    first_tries: FirstTries
    database: Database
    workers: Work
    master: MasterKey
    now: Callable[[], float]

    async def treat(self, item: Item, raw: bytes | Arrived) -> None:
        """Work out who gets what, commit it, and send it on."""
        accepted = take_up(item, raw)
        if quarantine.is_returned(item):
            await self._commit(accepted, quarantine.returned(accepted, self.outgoing.notices, self.now()))
            return
        boxes, ours, theirs = self._split(item)
        treatment = NOTHING
        if theirs:
            treatment += await self.outgoing.treat(accepted, theirs)
        if ours:
            treatment += await self.incoming.treat(accepted, ours)
        if boxes or treatment.copies:
            treatment += await self.archive.treat(accepted, boxes, treatment.copies)
        treatment += quarantine.noted((finished.entry for finished in treatment.finished), self.now())
        await self._commit(accepted, treatment)

    def _split(self, item: Item) -> tuple[list[Mailbox], list[Address], list[Address]]:
        """Mailboxes of the archive, people of ours, and the world."""
        every = [parse_path(recipient.address, utf8=True) for recipient in item.recipients]
        boxes = [box for box in map(self.places.mailbox, every) if box is not None]
        addresses = [address for address in every if self.places.mailbox(address) is None] if boxes else every
        ours = [address for address in addresses if self.places.manages(address)]
        return boxes, ours, [address for address in addresses if not self.places.manages(address)]

    async def _commit(self, accepted: Accepted, treatment: Treatment) -> None:
        item = accepted.item
        came = () if item.note else (history.accepted(item),)  # one that has waited was told of before
        treated = queue.Treated(
            id=item.id,
            session=item.session or 0,
            stays=treatment.stays,
            entries=tuple([finished.entry for finished in treatment.finished]),
            also=(*came, *treatment.also),
            direction=item.direction,
            keep=True,
            now=self.now(),
        )
        if self.claims.is_sure_of(item) and (sole := _sole(item, treatment)) is not None:
            if treatment.stays:
                await self.first_tries.begin(sole, accepted.raw, treated, checked=accepted.is_checked)
            else:
                await self.first_tries.begin(sole, treatment.finished[0].raw, treated)
            return
        raws = [finished.raw for finished in treatment.finished]
        treated = await with_bodies(treated, raws, self.master, self.database, self.workers)
        try:
            await self.workers.settle(self.database.write_many(queue.treated_many, treated))
        except Exception:
            await unfile(treated.entries, self.database, self.workers)
            raise
        if treatment.stays:
            self.claims.take(_ready(item, treatment), accepted.raw)
        for finished in treatment.finished:
            if finished.entry.session is not None:
                self.claims.take(finished.entry.item(), finished.raw)


def _ready(item: Item, treatment: Treatment) -> Item:
    """The item for the recipients who get it as it is."""
    return attrs.evolve(item, kind="ready", recipients=treatment.stays, tries=0)


def _sole(item: Item, treatment: Treatment) -> Item | None:
    """The one mail that came of it and may go at once, if nothing that leaves depends on what else is written down."""
    if item.size > LARGE or any(step not in queue.NOTES for step, _ in treatment.also):
        return None
    if treatment.stays and not treatment.finished:
        return _ready(item, treatment)
    if len(treatment.finished) == 1 and not treatment.stays:
        entry = treatment.finished[0].entry
        if entry.kind == "ready" and entry.session is not None and entry.sender == item.sender:
            return entry.item()
    return None
