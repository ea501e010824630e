"""The queue: accepted -> treated -> delivered are rows, and each step is one transaction.

A crash at any point repeats a step; it never loses or half-does one. Who works on an item holds it by a session that
is alive; every step checks that in its own transaction, so a node that slept too long finds its claim lost and
changes nothing. The steps in plural take what waits together in a few statements. Not the operator's view: ``desk``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from sqlalchemy import Connection, bindparam, delete, insert, select, update
from sqlalchemy.engine import Row

from securegw.mail.errors import LostClaim
from securegw.store import schema
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
    new_id,
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
    "new_id",
    "put",
    "read_item",
    "release",
    "treated",
    "treated_many",
]

_item = schema.item
_body = schema.body
_Held = TypeVar("_Held", Treated, Progress, Failed)

_PUT_ITEMS = insert(_item)
_PUT_PARTS = insert(_body)
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
_HELD = (
    select(_item.c.id, _item.c.session, _item.c.recipients, alive(_item.c.session).label("alive"))
    .where(_item.c.id.in_(bindparam("ids", expanding=True)))
    .order_by(_item.c.id)
    .with_for_update()
)
_READY = (
    update(_item)
    .where(_item.c.id == bindparam("of"))
    .values(
        kind="ready", recipients=bindparam("left"), direction=bindparam("way"), session=bindparam("by"), tries=0,
        next_try=0.0, note="",
    )
)  # fmt: skip
_DEFER = (
    update(_item)
    .where(_item.c.id == bindparam("of"))
    .values(
        recipients=bindparam("left"), next_try=bindparam("then"), note=bindparam("why"), tries=_item.c.tries + 1,
        session=None,
    )
)  # fmt: skip
_RETRY = (
    update(_item)
    .where(_item.c.id == bindparam("of"))
    .values(next_try=bindparam("then"), note=bindparam("why"), tries=_item.c.tries + 1, session=None)
)
_PARK = (
    update(_item)
    .where(_item.c.id == bindparam("of"))
    .values(state="parked", note=bindparam("why"), tries=_item.c.tries + 1, session=None)
)
_RELEASE = update(_item).where(_item.c.id == bindparam("of"), _item.c.session == bindparam("by")).values(session=None)
_HELD_BY = select(_item.c.id).where(_item.c.session == bindparam("by"))
_END_ITEMS = delete(_item).where(_item.c.id == bindparam("of"))
_END_PARTS = delete(_body).where(_body.c.item == bindparam("of"))
_PARTS = select(_body.c.bytes).where(_body.c.item == bindparam("of")).order_by(_body.c.part)
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
        conn.execute(_PUT_ITEMS, [_columns(entry) for entry in entries])
        conn.execute(_PUT_PARTS, [part for entry in entries for part in _parts(entry)])
    return [None] * len(entries)


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
    parts = conn.scalars(_PARTS, {"of": id}).all()
    if not parts:
        raise LostClaim(detail=f"there is no body for {id}")
    return list(parts)


def bodies(conn: Connection, ids: Sequence[str]) -> dict[str, list[bytes]]:
    """The bodies of several items; those that have ended are left out."""
    found: dict[str, list[bytes]] = {}
    for id, part in conn.execute(_ALL_PARTS, {"ids": list(ids)}):
        found.setdefault(id, []).append(part)
    return found


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
    _check_claims(conn, [failed])
    values: dict[str, Any] = {"of": failed.id, "why": failed.note}
    if failed.next_try is None:
        conn.execute(_PARK, values)
    else:
        conn.execute(_RETRY, values | {"then": failed.next_try})
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
    """All in one go; but two steps for one item are two goes, for the second must see what the first did."""
    if len({step.id for step in steps}) == len(steps):
        work(conn, steps)
    else:
        for step in steps:
            work(conn, [step])
    return [None] * len(steps)


def _treat(conn: Connection, done: list[Treated]) -> None:
    _check_claims(conn, done)
    going_on = [
        {
            "of": step.id,
            "left": _recipients(step.stays),
            "way": step.direction,
            "by": step.session if step.keep else None,
        }
        for step in done
        if step.stays
    ]
    if going_on:
        conn.execute(_READY, going_on)
    _end(conn, [step.id for step in done if not step.stays])
    put(conn, [entry for step in done for entry in step.entries])
    for step in done:
        _do(conn, step.also)


def _deliver(conn: Connection, progress: list[Progress]) -> None:
    before = _check_claims(conn, progress)
    ended: list[str] = []
    deferred: list[dict[str, Any]] = []
    for step in progress:
        recipients = _merge(before[step.id], step.recipients)
        if not any(recipient.state == "waiting" for recipient in recipients):
            ended.append(step.id)
        elif step.next_try is None:
            raise ValueError(f"{step.id} has recipients that wait, but no time for the next try")
        else:
            left = _recipients(recipients)
            deferred.append({"of": step.id, "left": left, "then": step.next_try, "why": step.note})
    if deferred:
        conn.execute(_DEFER, deferred)
    _end(conn, ended)
    put(conn, [entry for step in progress for entry in step.entries])
    for step in progress:
        _do(conn, step.also)


def _check_claims(conn: Connection, steps: Sequence[_Held]) -> dict[str, list[Recipient]]:
    """The recipients of the items that these steps are about, or LostClaim if one is not held as the step says."""
    now = max((step.now for step in steps if step.now is not None), default=None)
    rows = {row.id: row for row in conn.execute(_HELD, {"ids": [step.id for step in steps], "now": now})}
    for step in steps:
        row = rows.get(step.id)
        if row is None or row.session != step.session or not row.alive:
            raise LostClaim(detail=f"item {step.id} is not held by session {step.session} any more")
    return {id: [Recipient(**recipient) for recipient in row.recipients] for id, row in rows.items()}


def _merge(before: Iterable[Recipient], news: Iterable[Recipient]) -> tuple[Recipient, ...]:
    latest = {recipient.address: recipient for recipient in news}
    return tuple(latest.get(recipient.address, recipient) for recipient in before)


def _end(conn: Connection, ids: Iterable[str]) -> None:
    ending = [{"of": id} for id in ids]
    if ending:
        conn.execute(_END_PARTS, ending)
        conn.execute(_END_ITEMS, ending)


def _do(conn: Connection, also: Iterable[Also]) -> None:
    for step, argument in also:
        step(conn, argument)


def _columns(entry: Entry) -> dict[str, Any]:
    return {
        "id": entry.id,
        "tenant": entry.tenant,
        "kind": entry.kind,
        "state": entry.state,
        "direction": entry.direction,
        "trace": entry.trace,
        "message_id": entry.message_id,
        "sender": entry.sender,
        "recipients": _recipients(entry.recipients),
        "source": dict(entry.source),
        "size": entry.size,
        "received": entry.received,
        "next_try": entry.next_try,
        "tries": 0,
        "note": entry.note,
        "session": entry.session,
    }


def _parts(entry: Entry) -> list[dict[str, Any]]:
    return [{"item": entry.id, "part": number, "bytes": part} for number, part in enumerate(entry.body)]


def _recipients(recipients: Iterable[Recipient]) -> list[dict[str, Any]]:
    return [_without_defaults(recipient) for recipient in recipients]


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
