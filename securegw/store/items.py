"""What lies in the queue: items, their recipients, and the steps of a mail as values.

Not the statements: those are in ``queue``. The body is sealed parts, or their file, bound to the item's id by who
sealed them; therefore the caller makes the id.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import attrs
from sqlalchemy import Connection

from securegw.store.bodies import Body
from securegw.store.crossing import crossing
from securegw.store.schema import TENANT

Kind = Literal["accepted", "ready"]
State = Literal["waiting", "held", "parked"]
Outcome = Literal["waiting", "done", "failed"]
Also = tuple[Callable[[Connection, Any], Any], Any]  # another step for the same transaction, and its argument


@crossing
@attrs.frozen
class Recipient:
    """One recipient of an item: how far it is, the last reply of the next hop, and the decision for it.

    ``notify`` and ``original`` are what its sender wants to be told of it (RFC 3461 4.1, 4.2).
    """

    address: str
    state: Outcome = "waiting"
    reply: str = ""
    decision: dict[str, Any] | None = None
    notify: str = ""
    original: str = ""


@attrs.frozen(kw_only=True)
class Item:
    """A mail in the queue, without its body. ``session`` holds it, ``note`` says why it is still here."""

    id: str
    kind: Kind
    trace: str
    sender: str  # empty is the null sender
    recipients: tuple[Recipient, ...]
    source: Mapping[str, Any]
    size: int
    received: float
    direction: str = ""
    tenant: int = TENANT
    session: int | None = None
    message_id: str = ""
    next_try: float = 0.0
    state: State = "waiting"
    tries: int = 0
    note: str = ""


@crossing
@attrs.frozen(kw_only=True)
class Entry:
    """A mail to be put into the queue. With a ``session`` it is born claimed, so that its maker can go on with it."""

    id: str
    kind: Kind
    trace: str
    sender: str
    recipients: tuple[Recipient, ...]
    source: Mapping[str, Any]
    size: int
    received: float
    body: Body
    direction: str = ""
    tenant: int = TENANT
    session: int | None = None
    message_id: str = ""
    next_try: float = 0.0
    state: State = "waiting"
    note: str = ""

    def item(self) -> Item:
        """What ``claim`` would return for it."""
        return Item(**{name: getattr(self, name) for name in _SHARED})


_SHARED = tuple(field.name for field in attrs.fields(Entry) if field.name != "body")


@attrs.frozen
class Claim:
    """A wish for work: so many items that are due and that nobody alive holds; ``kind`` None means any."""

    session: int
    limit: int
    now: float | None = None
    kind: Kind | None = None


@crossing
@attrs.frozen(kw_only=True)
class Treated:
    """An accepted mail has been treated.

    ``entries`` replace it for the recipients whose mail was changed or refused; ``stays`` are the recipients who get
    the body as it is: the item becomes ready with them alone, still held by the session if ``keep``. With no
    ``stays`` the item ends here. All of it and the steps of ``also`` are one transaction.
    """

    id: str
    session: int
    stays: tuple[Recipient, ...] = ()
    entries: tuple[Entry, ...] = ()
    also: tuple[Also, ...] = ()
    direction: str = ""
    keep: bool = False
    now: float | None = None

    @property
    def row(self) -> str:
        return self.id


@crossing
@attrs.frozen(kw_only=True)
class Progress:
    """A delivery has been tried: of the recipients that the item had ``before``, those in ``news`` have changed.

    The item ends when nobody waits any more. Otherwise ``next_try`` is needed. ``entries`` are notices. ``treated`` is
    the treatment that the item has come of, where it is not written down yet: then it is part of this step.
    """

    id: str
    session: int
    before: tuple[Recipient, ...]
    news: tuple[Recipient, ...]
    next_try: float | None = None
    note: str = ""
    entries: tuple[Entry, ...] = ()
    also: tuple[Also, ...] = ()
    treated: Treated | None = None
    now: float | None = None

    @property
    def row(self) -> str:
        """The item of which the store knows: the accepted one, as long as its treatment is not written down."""
        return self.id if self.treated is None else self.treated.id

    @property
    def recipients(self) -> tuple[Recipient, ...]:
        """All of them as they are now."""
        latest = {recipient.address: recipient for recipient in self.news}
        return tuple([latest.get(recipient.address, recipient) for recipient in self.before])


@attrs.frozen(kw_only=True)
class Failed:
    """A treatment did not succeed: try again at ``next_try``, or park the item for the operator if that is None."""

    id: str
    session: int
    note: str
    next_try: float | None
    also: tuple[Also, ...] = ()
    now: float | None = None

    @property
    def row(self) -> str:
        return self.id


@attrs.frozen
class Chosen:
    """Items that an operator has chosen, of one tenant."""

    ids: tuple[str, ...]
    tenant: int = TENANT


@attrs.frozen
class Counts:
    """The queue in numbers. ``deferred`` are the ready ones that have been tried; ``oldest`` is Unix time."""

    accepted: int = 0
    ready: int = 0
    deferred: int = 0
    held: int = 0
    parked: int = 0
    size: int = 0
    oldest: float | None = None
