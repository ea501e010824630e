"""The journey of a mail: from accepted to finished, in one transaction.

Outgoing and incoming work out what each recipient gets; here their parts are put together and the accepted mail is
replaced by the finished ones. A crash before the commit repeats the step, a crash after it does not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import attrs
import txaio

from securegw.mail import message as messages
from securegw.mail.address import Address, parse_path
from securegw.store import queue

if TYPE_CHECKING:
    from securegw.flow.claims import Claims
    from securegw.flow.incoming import Incoming
    from securegw.flow.outgoing import Outgoing
    from securegw.flow.places import Places
    from securegw.mail.message import Message
    from securegw.store.database import Database
    from securegw.store.queue import Entry, Item, Recipient
    from securegw.workers import Work

log = txaio.make_logger()

Step = tuple[Callable[..., Any], Any]


@attrs.frozen
class Finished:
    """A finished mail: the row that keeps it and, to send it on at once, its bytes."""

    entry: Entry
    raw: bytes


@attrs.frozen
class Treatment:
    """What came of an accepted mail: recipients who get it as it is, finished mails, and steps of the same commit."""

    stays: tuple[Recipient, ...] = ()
    finished: tuple[Finished, ...] = ()
    also: tuple[Step, ...] = ()

    def __add__(self, other: Treatment) -> Treatment:
        return Treatment(self.stays + other.stays, self.finished + other.finished, self.also + other.also)


@attrs.frozen
class Accepted:
    """An accepted mail on its way through treatment."""

    item: Item
    raw: bytes
    message: Message
    sender: Address | None

    @property
    def is_from_inside(self) -> bool:
        """Handed over by one of our networks or an authenticated user."""
        return bool(self.item.source.get("inside"))

    @property
    def door(self) -> str:
        return str(self.item.source.get("door", "smtp"))


def successor(item: Item, **changed: Any) -> Entry:
    """A new mail that goes on for an item: the same trace, sender and source, with what is changed."""
    values = attrs.asdict(item, recurse=False)
    del values["tries"]
    return queue.Entry(**values | changed)


def take_up(item: Item, raw: bytes) -> Accepted:
    """Read an accepted item once for everything that follows."""
    sender = parse_path(item.sender, utf8=True) if item.sender else None
    return Accepted(item, raw, messages.read(raw), sender)


@attrs.define(eq=False, kw_only=True)
class Journey:
    """Treats each accepted mail once."""

    places: Places
    outgoing: Outgoing
    incoming: Incoming
    claims: Claims
    database: Database
    workers: Work
    now: Callable[[], float]

    async def treat(self, item: Item, raw: bytes) -> None:
        """Work out who gets what, commit it, and send it on."""
        accepted = take_up(item, raw)
        ours, theirs = self._split(item)
        treatment = Treatment()
        if theirs:
            treatment += await self.outgoing.treat(accepted, theirs)
        if ours:
            treatment += await self.incoming.treat(accepted, ours)
        await self._commit(accepted, treatment)

    def _split(self, item: Item) -> tuple[list[Address], list[Address]]:
        addresses = [parse_path(recipient.address, utf8=True) for recipient in item.recipients]
        ours = [address for address in addresses if self.places.manages(address)]
        return ours, [address for address in addresses if not self.places.manages(address)]

    async def _commit(self, accepted: Accepted, treatment: Treatment) -> None:
        item = accepted.item
        treated = queue.Treated(
            id=item.id,
            session=item.session or 0,
            stays=treatment.stays,
            entries=tuple(finished.entry for finished in treatment.finished),
            also=treatment.also,
            direction=item.direction,
            keep=True,
            now=self.now(),
        )
        await self.workers.settle(self.database.write_many(queue.treated_many, treated))
        if treatment.stays:
            self.claims.take(attrs.evolve(item, kind="ready", recipients=treatment.stays, tries=0), accepted.raw)
        for finished in treatment.finished:
            if finished.entry.session is not None:
                self.claims.take(finished.entry.item(), finished.raw)
