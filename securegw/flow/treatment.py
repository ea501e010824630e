"""Values of the journey: an accepted mail, what is finished, and what came of a treatment. No work is done here."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import attrs

from securegw.mail import message as messages
from securegw.mail.address import Address, parse_path
from securegw.store import queue

if TYPE_CHECKING:
    from securegw.mail.message import Message
    from securegw.store.queue import Entry, Item, Recipient

Step = tuple[Callable[..., Any], Any]


@attrs.frozen
class Finished:
    """A finished mail: the row that keeps it and, to send it on at once, its bytes."""

    entry: Entry
    raw: bytes


@attrs.frozen
class Treatment:
    """What came of an accepted mail: recipients who get it as it is, finished mails, and steps of the same commit.

    ``copies`` are the mailboxes in which rules want a copy of it.
    """

    stays: tuple[Recipient, ...] = ()
    finished: tuple[Finished, ...] = ()
    also: tuple[Step, ...] = ()
    copies: tuple[str, ...] = ()

    @property
    def is_nothing(self) -> bool:
        return not (self.stays or self.finished or self.also or self.copies)

    def __add__(self, other: Treatment) -> Treatment:
        if other.is_nothing:
            return self
        if self.is_nothing:
            return other
        return Treatment(
            self.stays + other.stays,
            self.finished + other.finished,
            self.also + other.also,
            self.copies + other.copies,
        )


NOTHING = Treatment()


@attrs.frozen
class Arrived:
    """A mail that is still in memory since it came: it has been read, and ``is_checked`` if all its lines end as they
    must on the wire."""

    message: Message
    is_checked: bool


@attrs.frozen
class Accepted:
    """An accepted mail on its way through treatment; ``is_checked`` as in `Arrived`."""

    item: Item
    raw: bytes
    message: Message
    sender: Address | None
    is_checked: bool = False

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


def take_up(item: Item, raw: bytes | Arrived) -> Accepted:
    """Read an accepted item once for everything that follows."""
    sender = parse_path(item.sender, utf8=True) if item.sender else None
    if isinstance(raw, Arrived):
        return Accepted(item, raw.message.raw, raw.message, sender, raw.is_checked)
    return Accepted(item, raw, messages.read(raw), sender)
