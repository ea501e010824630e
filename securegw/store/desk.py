"""The operator's desk at the queue: look, hold, let go, try at once, delete, count.

Not part of the journey of a mail. Everything here is asked for one tenant.
"""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Connection, Text, bindparam, case, cast, delete, func, or_, select, update

from securegw.store import bodies, quarantine, schema
from securegw.store.items import Chosen, Counts, Item
from securegw.store.queue import read_item
from securegw.store.schema import TENANT

FOREVER = 1e18

_item = schema.item
_body = schema.body

_CHOSEN = (_item.c.tenant == bindparam("whose"), _item.c.id.in_(bindparam("ids", expanding=True)))
_HOLD = update(_item).where(*_CHOSEN, _item.c.state == "waiting").values(state="held")
_LET_GO = update(_item).where(*_CHOSEN, _item.c.state != "waiting").values(state="waiting", next_try=0.0, session=None)
_AT_ONCE = update(_item).where(*_CHOSEN, _item.c.state == "waiting").values(next_try=0.0)
_LOOK = select(_item).where(*_CHOSEN).order_by(_item.c.received, _item.c.id)
_COUNTS = select(
    _item.c.kind,
    _item.c.state,
    func.count(),
    func.sum(case((_item.c.tries > 0, 1), else_=0)),
    func.sum(_item.c.size),
    func.min(_item.c.received),
).group_by(_item.c.kind, _item.c.state)


def get(conn: Connection, id: str, tenant: int = TENANT) -> Item | None:
    """One item."""
    row = conn.execute(_LOOK, {"whose": tenant, "ids": [id]}).one_or_none()
    return None if row is None else read_item(row)


def list_items(
    conn: Connection,
    *,
    state: str = "",
    kind: str = "",
    address: str = "",
    sender: str = "",
    recipient: str = "",
    trace: str = "",
    received: tuple[float, float] = (0.0, FOREVER),
    after: tuple[float, str] | None = None,
    limit: int = 100,
    tenant: int = TENANT,
) -> list[Item]:
    """Items, oldest first; ``after`` is the last one seen as ``(received, id)``.

    ``address`` is a part of a sender's or a recipient's address. ``sender`` and ``recipient`` are such parts too, and
    ``recipient`` may be in what else is kept of recipients: the caller looks closer.
    """
    query = select(_item).where(_item.c.tenant == tenant).order_by(_item.c.received, _item.c.id).limit(limit)
    query = query.where(_item.c.received.between(*received))
    for column, wanted in ((_item.c.state, state), (_item.c.kind, kind), (_item.c.trace, trace)):
        if wanted:
            query = query.where(column == wanted)
    from_it = _item.c.sender.icontains
    to_it = cast(_item.c.recipients, Text).icontains
    if address:
        query = query.where(or_(from_it(address, autoescape=True), to_it(_in_json(address), autoescape=True)))
    if sender:
        query = query.where(from_it(sender, autoescape=True))
    if recipient:
        query = query.where(to_it(_in_json(recipient), autoescape=True))
    if after is not None:
        last, id = after
        query = query.where(or_(_item.c.received > last, (_item.c.received == last) & (_item.c.id > id)))
    return [read_item(row) for row in conn.execute(query)]


def hold(conn: Connection, chosen: Chosen) -> int:
    """Keep waiting items back; a delivery that is under way ends first. How many there were."""
    return _change(conn, _HOLD, chosen)


def unhold(conn: Connection, chosen: Chosen) -> int:
    """Let held and parked items go on at once. How many there were. The rules may put one into quarantine again."""
    quarantine.forget(conn, chosen.ids)
    return _change(conn, _LET_GO, chosen)


def retry(conn: Connection, chosen: Chosen) -> int:
    """Try waiting items at once. How many there were."""
    return _change(conn, _AT_ONCE, chosen)


def delete_items(conn: Connection, chosen: Chosen) -> list[Item]:
    """End items without delivering them; what they were, for the event that must be written in the same step."""
    rows = conn.execute(_LOOK.with_for_update(), _values(chosen)).all()
    ids = {"ids": [row.id for row in rows]}
    conn.execute(delete(_body).where(_body.c.item.in_(bindparam("ids", expanding=True))), ids)
    conn.execute(delete(_item).where(_item.c.id.in_(bindparam("ids", expanding=True))), ids)
    bodies.drop_later(conn, ids["ids"])
    quarantine.forget(conn, ids["ids"])
    return [read_item(row) for row in rows]


def counts(conn: Connection, tenant: int | None = None) -> Counts:
    """The queue in numbers, of one tenant or of the whole house (status)."""
    query = _COUNTS if tenant is None else _COUNTS.where(_item.c.tenant == tenant)
    total: dict[str, Any] = {"accepted": 0, "ready": 0, "deferred": 0, "held": 0, "parked": 0, "size": 0}
    oldest: list[float] = []
    for kind, state, number, tried, size, received in conn.execute(query):
        total[kind if state == "waiting" else state] += number
        if kind == "ready" and state == "waiting":
            total["deferred"] += int(tried)
        total["size"] += int(size)
        oldest.append(received)
    return Counts(**total, oldest=min(oldest, default=None))


def _in_json(text: str) -> str:
    """As the text stands in a column of JSON."""
    return json.dumps(text, ensure_ascii=False)[1:-1]


def _change(conn: Connection, statement: Any, chosen: Chosen) -> int:
    return int(conn.execute(statement, _values(chosen)).rowcount)


def _values(chosen: Chosen) -> dict[str, Any]:
    return {"whose": chosen.tenant, "ids": list(chosen.ids)}
