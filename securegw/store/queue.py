"""The queue: accepted -> treated -> delivered are rows, and each step is one transaction.

A crash at any point repeats a step; it never loses or half-does one. Who works on an item holds it by a session that
is alive; every step checks that in its own transaction, so a node that slept too long finds its claim lost and
changes nothing. The steps in plural take what waits together in a few statements. Not the operator's view: ``desk``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from typing import Any, TypeVar

from sqlalchemy import Connection, bindparam, select, update
from sqlalchemy.engine import Row

from securegw.mail.errors import LostClaim
from securegw.store import bodies as kept
from securegw.store import events, opened, passages, schema
from securegw.store.batch import Batch, to_json
from securegw.store.clock import moment
from securegw.store.items import (
    Also,
    Claim,
    Entry,
    Failed,
    Item,
    Progress,
    Recipient,
    Treated,
)
from securegw.store.sessions import alive

__all__ = [
    "Claim",
    "Entry",
    "Failed",
    "Item",
    "Progress",
    "Recipient",
    "Treated",
    "bodies",
    "body",
    "claim",
    "delivered",
    "delivered_many",
    "failed_treatment",
    "held",
    "open_body",
    "put",
    "read_item",
    "release",
    "treated",
    "treated_many",
]

_item = schema.item
_body = schema.body
_Held = TypeVar("_Held", Treated, Progress)

_PUT_ITEMS = Batch(tuple(_item.c), "INSERT INTO item ({names}) VALUES {rows}")
_PUT_PARTS = Batch(tuple(_body.c), "INSERT INTO body ({names}) VALUES {rows}")
_DUE = (
    select(_item.c.id)
    .where(_item.c.state == "waiting", _item.c.next_try <= moment(), ~alive(_item.c.session))
    .order_by(_item.c.next_try, _item.c.received)
    .limit(bindparam("limit"))
    .with_for_update(skip_locked=True)
)
_DUE_OF_KIND = _DUE.where(_item.c.kind == bindparam("kind"))
# PostgreSQL looks again at a row that changed while it was being locked, but only at that row: it would not see that
# the new holder's session is alive. So the condition is asked once more, by a second statement, of locked rows.
_TAKE = (
    update(_item)
    .where(_item.c.id.in_(bindparam("ids", expanding=True)), _item.c.state == "waiting", ~alive(_item.c.session))
    .values(session=bindparam("by"))
    .returning(_item)
)
# The claim is checked by the step itself: it changes the row only for its holder, while that one is alive.
_MINE = (_item.c.id == bindparam("of"), _item.c.session == bindparam("me"), alive(_item.c.session))
_IS_MINE = (
    "AND item.session = :bigint AND EXISTS (SELECT 1 FROM session"
    " WHERE session.id = item.session AND session.alive_until > coalesce(:double precision, {clock}))"
)
_READY = Batch(
    (_item.c.id, _item.c.recipients, _item.c.direction, _item.c.session),
    "UPDATE item SET kind = 'ready', recipients = step.column2, direction = step.column3, session = step.column4,",
    "tries = 0, next_try = 0, note = '' FROM (VALUES {rows}) AS step WHERE item.id = step.column1",
    _IS_MINE,
)
_DEFER = Batch(
    (_item.c.id, _item.c.recipients, _item.c.next_try, _item.c.note),
    "UPDATE item SET recipients = step.column2, next_try = step.column3, note = step.column4, tries = tries + 1,",
    "session = NULL FROM (VALUES {rows}) AS step WHERE item.id = step.column1",
    _IS_MINE,
)
_END_ITEMS = Batch((_item.c.id,), "DELETE FROM item WHERE id IN ({row})", _IS_MINE)
_END_PARTS = Batch((_body.c.item,), "DELETE FROM body WHERE item IN ({row})")
_RETRY = (
    update(_item)
    .where(*_MINE)
    .values(next_try=bindparam("then"), note=bindparam("why"), tries=_item.c.tries + 1, session=None)
)
_PARK = update(_item).where(*_MINE).values(state="parked", note=bindparam("why"), tries=_item.c.tries + 1, session=None)
_RELEASE = update(_item).where(_item.c.id == bindparam("of"), _item.c.session == bindparam("by")).values(session=None)
_HELD_BY = select(_item.c.id).where(_item.c.session == bindparam("by"))
# Steps that only note something: nothing that leaves depends on them.
NOTES = (events.record_many, opened.note, passages.note)
# A driver and a server hold several copies of what goes through one statement, so large bodies go through many.
FEW = 16
LARGE = 4 << 20
_PARTS = (
    select(_body.c.bytes)
    .where(_body.c.item == bindparam("of"), _body.c.part >= bindparam("first"), _body.c.part < bindparam("end"))
    .order_by(_body.c.part)
)
_ALL_PARTS = (
    select(_body.c.item, _body.c.bytes)
    .where(_body.c.item.in_(bindparam("ids", expanding=True)))
    .order_by(_body.c.item, _body.c.part)
)


def put(conn: Connection, entries: list[Entry]) -> list[None]:
    """Store mails with their bodies (for ``write_many``)."""
    if not all(entry.body for entry in entries):
        raise ValueError("an item needs a body")
    if entries:
        _PUT_ITEMS.run(conn, [_columns(entry) for entry in entries])
        _put_parts(conn, kept.of(conn).keep((entry.id, entry.body) for entry in entries))
    return [None] * len(entries)


def _put_parts(conn: Connection, rows: list[tuple[str, int, bytes]]) -> None:
    together = len(rows) if sum(len(part) for _, _, part in rows) <= LARGE else FEW
    for at in range(0, len(rows), together):
        _PUT_PARTS.run(conn, rows[at : at + together])


def claim(conn: Connection, wish: Claim) -> list[Item]:
    """Take the oldest items that are due and that nobody alive holds; nobody else gets them now.

    Returns nothing to a session that is itself dead.
    """
    values: dict[str, Any] = {"limit": wish.limit, "now": wish.now}
    if not conn.scalar(_AM_ALIVE, {"me": wish.session, "now": wish.now}):
        return []
    if wish.kind is not None:
        values["kind"] = wish.kind
    ids = conn.scalars(_DUE if wish.kind is None else _DUE_OF_KIND, values).all()
    if not ids:
        return []
    rows = conn.execute(_TAKE, {"ids": ids, "by": wish.session, "now": wish.now})
    return sorted((read_item(row) for row in rows), key=_age)


_AM_ALIVE = select(alive(bindparam("me", type_=schema.session.c.id.type)))


def body(conn: Connection, id: str) -> list[bytes]:
    """The sealed parts of an item's body, in order; raises LostClaim if the item has ended."""
    return kept.of(conn).read(id, _parts(conn, id))


def open_body(conn: Connection, id: str) -> Sequence[bytes] | kept.FiledParts:
    """The same, but parts that lie in a file are read when they are wanted: also after the question."""
    return kept.of(conn).open(id, _parts(conn, id))


def _parts(conn: Connection, id: str) -> list[bytes]:
    parts: list[bytes] = []
    while len(parts) % FEW == 0:
        some = conn.scalars(_PARTS, {"of": id, "first": len(parts), "end": len(parts) + FEW}).all()
        if not some:
            break
        parts += some
    if not parts:
        raise LostClaim(detail=f"there is no body for {id}")
    return parts


def bodies(conn: Connection, ids: Sequence[str]) -> dict[str, list[bytes]]:
    """The bodies of several items; those that have ended are left out."""
    found: dict[str, list[bytes]] = {}
    for id, part in conn.execute(_ALL_PARTS, {"ids": list(ids)}):
        found.setdefault(id, []).append(part)
    return {id: kept.of(conn).read(id, parts) for id, parts in found.items()}


def treated(conn: Connection, done: Treated) -> None:
    """An accepted mail becomes what its treatment made of it; raises LostClaim."""
    treated_many(conn, [done])


def treated_many(conn: Connection, done: list[Treated]) -> list[None]:
    """The same for several mails (for ``write_many``)."""
    return _each_once(conn, done, _treat)


def delivered(conn: Connection, progress: Progress) -> None:
    """Note how far a delivery has come; the item ends when nobody waits any more. Raises LostClaim."""
    delivered_many(conn, [progress])


def delivered_many(conn: Connection, progress: list[Progress]) -> list[None]:
    """The same for several items (for ``write_many``)."""
    return _each_once(conn, progress, _deliver)


def failed_treatment(conn: Connection, failed: Failed) -> None:
    """Try again later, or park the item; raises LostClaim."""
    values: dict[str, Any] = {"of": failed.id, "why": failed.note, "me": failed.session, "now": failed.now}
    if failed.next_try is None:
        changed = conn.execute(_PARK, values).rowcount
    else:
        changed = conn.execute(_RETRY, values | {"then": failed.next_try}).rowcount
    _check_claims(changed, [failed])
    _do(conn, failed.also)


def release(conn: Connection, session: int, ids: Iterable[str]) -> None:
    """Give items back untouched; what the session does not hold is left alone."""
    given_back = [{"of": id, "by": session} for id in ids]
    if given_back:
        conn.execute(_RELEASE, given_back)


def held(conn: Connection, session: int) -> set[str]:
    """The items that a session holds."""
    return set(conn.scalars(_HELD_BY, {"by": session}))


def read_item(row: Row[Any]) -> Item:
    """The item of a row with all columns of the table."""
    values = row._asdict()
    values["recipients"] = tuple(Recipient(**recipient) for recipient in values["recipients"])
    return Item(**values)


def _age(item: Item) -> tuple[float, float]:
    return item.next_try, item.received


def _each_once(conn: Connection, steps: list[_Held], work: Callable[[Connection, list[_Held]], None]) -> list[None]:
    """All in one go; but two steps for one item are two goes, for the second must see what the first did.

    The order of their ids is the same in every process: two that lock the same rows do not wait for each other.
    """
    if len({step.row for step in steps}) == len(steps):
        for _, together in groupby(sorted(steps, key=_by_holder), key=_holder):
            work(conn, list(together))
    else:
        for step in steps:
            work(conn, [step])
    return [None] * len(steps)


def _holder(step: _Held) -> int:
    return step.session


def _by_holder(step: _Held) -> tuple[int, str]:
    return step.session, step.row


def _treat(conn: Connection, done: list[Treated]) -> None:
    staying = [step for step in done if step.stays]
    _change(conn, _READY, staying, [_ready(step) for step in staying])
    _end(conn, [step for step in done if not step.stays])
    put(conn, [entry for step in done for entry in step.entries])
    _do(conn, (also for step in done for also in step.also))


def _ready(step: Treated) -> tuple[Any, ...]:
    return step.id, _recipients(step.stays), step.direction, step.session if step.keep else None


def _deliver(conn: Connection, progress: list[Progress]) -> None:
    now = [(step, step.recipients) for step in progress]
    waiting = [(step, left) for step, left in now if any(recipient.state == "waiting" for recipient in left)]
    ended = progress if not waiting else [step for step in progress if all(step is not each for each, _ in waiting)]
    if untold := [step.treated for step, _ in waiting if step.treated is not None]:
        _treat(conn, untold)
    _change(conn, _DEFER, [step for step, _ in waiting], [_deferred(step, left) for step, left in waiting])
    _end(conn, ended)
    put(conn, [entry for step in progress for entry in step.entries])
    told = [also for step in ended if step.treated is not None for also in step.treated.also]
    _do(conn, [*told, *(also for step in progress for also in step.also)])


def _deferred(step: Progress, left: Iterable[Recipient]) -> tuple[Any, ...]:
    if step.next_try is None:
        raise ValueError(f"{step.id} has recipients that wait, but no time for the next try")
    return step.id, _recipients(left), step.next_try, step.note


def _end(conn: Connection, steps: Sequence[_Held]) -> None:
    rows = [(step.row,) for step in steps]
    _change(conn, _END_ITEMS, steps, rows)
    _END_PARTS.run(conn, rows)
    kept.drop_later(conn, [step.row for step in steps])


def _change(conn: Connection, batch: Batch, steps: Sequence[_Held], rows: Sequence[tuple[Any, ...]]) -> None:
    """Every step of one holder changes its item, or one is not held as its step says; then nobody's change stays."""
    if not steps:
        return
    now = max((step.now for step in steps if step.now is not None), default=None)
    _check_claims(batch.run(conn, rows, steps[0].session, now), steps)


def _check_claims(changed: int, steps: Sequence[Treated | Progress | Failed]) -> None:
    if changed != len(steps):
        whose = ", ".join(step.id for step in steps[:5])
        raise LostClaim(detail=f"not held by session {steps[0].session} any more: {whose}")


def _do(conn: Connection, also: Iterable[Also]) -> None:
    """Other steps of the same transaction; those that most mails have are done in one go."""
    together: dict[Callable[..., Any], list[Any]] = {step: [] for step in NOTES}
    for step, argument in also:
        if step in together:
            together[step] += argument
        else:
            step(conn, argument)
    for step, arguments in together.items():
        if arguments:
            step(conn, arguments)


def _columns(entry: Entry) -> tuple[Any, ...]:
    """In the order of the table's columns."""
    return (
        entry.id,
        entry.tenant,
        entry.kind,
        entry.state,
        entry.direction,
        entry.trace,
        entry.message_id,
        entry.sender,
        _recipients(entry.recipients),
        to_json(dict(entry.source)),
        entry.size,
        entry.received,
        entry.next_try,
        0,
        entry.note,
        entry.session,
    )


def _recipients(recipients: Iterable[Recipient]) -> str:
    return to_json([_without_defaults(recipient) for recipient in recipients])


def _without_defaults(recipient: Recipient) -> dict[str, Any]:
    values: dict[str, Any] = {"address": recipient.address}
    if recipient.state != "waiting":
        values["state"] = recipient.state
    if recipient.reply:
        values["reply"] = recipient.reply
    if recipient.decision is not None:
        values["decision"] = recipient.decision
    if recipient.notify:
        values["notify"] = recipient.notify
    if recipient.original:
        values["original"] = recipient.original
    return values
