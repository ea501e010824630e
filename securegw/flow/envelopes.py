"""What the queue and the history keep of an envelope. Values only."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import attrs

from securegw.ids import new_id
from securegw.store import queue

if TYPE_CHECKING:
    from securegw.mail.address import Address
    from securegw.mail.envelope import Envelope, Source, Wishes


def source_record(envelope: Envelope) -> dict[str, object]:
    """What the queue row keeps of an envelope's source."""
    record: dict[str, object] = {**_plain(envelope.source), "eight_bit": envelope.eight_bit, "utf8": envelope.utf8}
    if not (envelope.wishes or envelope.ret or envelope.envid):
        return record
    told = {str(address): [wish.notify, wish.original] for address, wish in envelope.wishes.items()}
    wished = {"ret": envelope.ret, "envid": envelope.envid, "wishes": told}
    record.update({name: value for name, value in wished.items() if value})
    return record


@lru_cache(maxsize=1024)
def _plain(source: Source) -> dict[str, object]:
    """A peer that hands in many mails is written down in the same words each time."""
    return attrs.asdict(source)


def item_of(envelope: Envelope, size: int, message_id: str) -> queue.Item:
    """What the history tells of a mail that never is in the queue."""
    return queue.Item(
        id=new_id(),
        kind="accepted",
        trace=envelope.trace,
        sender=str(envelope.sender) if envelope.sender else "",
        recipients=tuple(row_of(address, None) for address in envelope.recipients),
        source=source_record(envelope),
        size=size,
        received=envelope.received,
        message_id=message_id[:998],
    )


def row_of(address: Address, wish: Wishes | None) -> queue.Recipient:
    """A recipient with what its sender wants to be told of it."""
    if wish is None:
        return queue.Recipient(str(address))
    return queue.Recipient(str(address), notify=wish.notify, original=wish.original)
