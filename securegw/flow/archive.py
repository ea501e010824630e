"""The archive: mail for a mailbox is sealed for it and kept. Nobody reads it without the mailbox's password.

Neither an administrator nor a thief: what is for mailboxes alone is sealed before its 250 and never is in the queue,
under the master key. What is for others too, and copies that a rule wants, are kept in the transaction that ends the
mail's treatment. Nothing is changed and nothing decided here; a mailbox may want journal reports unpacked. Here a mail
has arrived: a sender who wanted to know is told so (RFC 3461 5.2.3). RFC 1939 3 (lines end with CRLF: that a text ends
with one is seen to here).
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, ParamSpec, TypeVar

import attrs
import txaio

from securegw import counters
from securegw.crypto.ladder import Ladder, Rung
from securegw.crypto.mailbox import SealedMail, seal_mail
from securegw.flow import history
from securegw.flow.treatment import Accepted, Finished, Step, Treatment
from securegw.mail import journal
from securegw.mail import message as messages
from securegw.mail.address import parse_path
from securegw.mail.errors import Later, WorkerLost
from securegw.mail.notice import Failure
from securegw.store import mailboxes, queue

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from securegw.flow.claims import Claims
    from securegw.flow.notices import Notices
    from securegw.flow.places import Places
    from securegw.mail.message import Message
    from securegw.store.database import Database
    from securegw.store.mailboxes import Mailbox
    from securegw.store.queue import Item
    from securegw.workers.work import Work

log = txaio.make_logger()

P = ParamSpec("P")
T = TypeVar("T")

INLINE = 64 << 10
LYING = "The mail lies in the mailbox."
LADDER_SECONDS = 600.0  # for which a ladder is climbed: a thief of the memory reads no mail that comes later

KEPT = counters.declare("securegw_mailbox_kept", "Mails sealed into mailboxes.")


@attrs.define(eq=False, kw_only=True)
class Archive:
    """Seals mails for mailboxes."""

    places: Places
    notices: Notices
    claims: Claims
    database: Database
    workers: Work
    now: Callable[[], float]
    ladders: dict[str, tuple[float, Ladder]] = attrs.field(init=False, factory=dict, repr=False)

    async def accept(self, item: Item, raw: bytes, boxes: Sequence[Mailbox]) -> None:
        """Keep a mail that is for mailboxes alone; when this ends it is durable (REL2)."""
        steps: list[Step] = [history.accepted(item)]
        for box in boxes:
            steps += await self._keep(item, raw, box)
        told = self._tell(item, messages.read(raw), boxes)
        if told:
            steps.append((queue.put, [finished.entry for finished in told]))
        await self.workers.settle(self.database.write(_do, steps))
        for finished in told:
            if finished.entry.session is not None:
                self.claims.take(finished.entry.item(), finished.raw)

    async def treat(self, accepted: Accepted, boxes: Sequence[Mailbox], copies: Iterable[str] = ()) -> Treatment:
        """Everything that comes of a mail for mailboxes; ``copies`` are those that a rule names."""
        targets = {box.id: box for box in (*boxes, *map(self._named, copies))}
        steps: list[Step] = []
        for box in targets.values():
            steps += await self._keep(accepted.item, accepted.raw, box)
        return Treatment(finished=self._tell(accepted.item, accepted.message, boxes), also=tuple(steps))

    def _tell(self, item: Item, message: Message, boxes: Sequence[Mailbox]) -> tuple[Finished, ...]:
        """The notice that the mail lies in these mailboxes, for a sender who wants it; of copies he knows nothing."""
        keys = {box.key for box in boxes}
        lying = [
            Failure(recipient.address, "2.0.0", sentence=LYING)
            for recipient in item.recipients
            if parse_path(recipient.address, utf8=True).key in keys
        ]
        return self.notices.about(item, message, lying, self.now(), "delivered")

    def _named(self, address: str) -> Mailbox:
        """The mailbox that a rule wants a copy in. Without one the mail waits: no gap in an archive is silent."""
        box = self.places.picture.mailboxes.get(address.lower())
        if box is None or not box.active:
            state = "suspended" if box else "not there"
            raise Later(f"A rule wants a copy in the mailbox {address}, which is {state}.")
        return box

    async def _keep(self, item: Item, raw: bytes, box: Mailbox) -> list[Step]:
        content = await self._content(item, raw, box)
        sealed = await self._seal(box, content)
        KEPT.inc()
        log.info("{trace} is kept in mailbox {box}, {size} bytes", trace=item.trace, box=box.id, size=len(content))
        return [(mailboxes.deposit, [_deposit(box, sealed, item.received)]), history.kept(item, box, self.now())]

    async def _seal(self, box: Mailbox, raw: bytes) -> SealedMail:
        identity = secrets.token_hex(16)
        rung = self._rung(box)
        if len(raw) <= INLINE:  # sealing 20 KB takes less than handing it to a thread
            return seal_mail(rung, box.id, identity, raw)
        return await self.workers.thread(seal_mail, rung, box.id, identity, raw)

    def _rung(self, box: Mailbox) -> Rung:
        """A key for one mail, and a new ladder now and then."""
        now = self.now()
        began, ladder = self.ladders.get(box.id, (now, None))
        if ladder is None or ladder.is_climbed or not began <= now < began + LADDER_SECONDS:
            self.ladders = {id: held for id, held in self.ladders.items() if held[0] <= now < held[0] + LADDER_SECONDS}
            ladder = Ladder(box.public, box.id)
            self.ladders[box.id] = (now, ladder)
        return ladder.step()

    async def _content(self, item: Item, raw: bytes, box: Mailbox) -> bytes:
        """The mail as it is, or the original out of a journal report; what cannot be unpacked is kept as it came."""
        original = None
        if box.unpack and await self._worked(raw, _may_be_a_report, raw):
            original = await self._original(raw)
        content = await self._worked(raw, with_return_path, item.sender, raw) if original is None else original
        return content if content.endswith(b"\r\n") else content + b"\r\n"

    async def _worked(self, raw: bytes, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Done in a thread where the mail is not small."""
        if len(raw) <= INLINE:
            return function(*args, **kwargs)
        return await self.workers.thread(function, *args, **kwargs)

    async def _original(self, raw: bytes) -> bytes | None:
        """In a process: a stranger may have made this."""
        try:
            return await self.workers.process(journal.unpack, raw)
        except WorkerLost:
            log.warn("a journal report could not be unpacked in time and is kept as it came")
            return None


def _may_be_a_report(raw: bytes) -> bool:
    return journal.MARK.encode() in raw


def with_return_path(sender: str, raw: bytes) -> bytes:
    """The mail with the envelope's sender on top, and no other that claims to be it (RFC 5321 4.4)."""
    message = messages.read(raw)
    clean = messages.without(message, ("Return-Path",)) if message.count("Return-Path") else raw
    return messages.prepend(clean, f"Return-Path: <{sender}>\r\n".encode())


def _do(conn: Connection, steps: Sequence[Step]) -> None:
    for step, argument in steps:
        step(conn, argument)


def _deposit(box: Mailbox, sealed: SealedMail, received: float) -> mailboxes.Deposit:
    return mailboxes.Deposit(
        id=sealed.label.mail,
        mailbox=box.id,
        size=sealed.label.size,
        key=sealed.key,
        parts=sealed.parts,
        received=received,
    )
