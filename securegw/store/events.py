"""Events: what happened to which mail, key or person, for who must answer for it later.

Not the log: an event is written in the same transaction as what it tells of. Never a body, password, key or subject.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
from sqlalchemy import Connection, delete, select

from securegw.store import schema
from securegw.store.batch import Batch, to_json
from securegw.store.crossing import crossing
from securegw.store.schema import TENANT

_event = schema.event
_NAMES = ("tenant", "time", "kind", "actor", "trace", "item", "message_id", "address", "detail")
_RECORD = Batch(tuple(_event.c[name] for name in _NAMES), "INSERT INTO event ({names}) VALUES {rows}")
_COLUMNS = [column for column in _event.c if column.name != "id"]


@crossing
@attrs.frozen(kw_only=True)
class Event:
    """One thing that happened; ``actor`` is a person, a node or a part of the gateway."""

    time: float
    kind: str
    actor: str = ""
    trace: str = ""
    item: str = ""
    message_id: str = ""
    address: str = ""
    detail: Mapping[str, Any] = attrs.field(factory=dict)
    tenant: int = TENANT


def record(conn: Connection, event: Event) -> None:
    """Write an event down."""
    _RECORD.run(conn, [_values(event)])


def record_many(conn: Connection, events: list[Event]) -> list[None]:
    """Write events down together (for ``write_many``)."""
    if events:
        _RECORD.run(conn, [_values(event) for event in events])
    return [None] * len(events)


def find(
    conn: Connection,
    *,
    trace: str = "",
    item: str = "",
    message_id: str = "",
    address: str = "",
    kind: str = "",
    since: float = 0.0,
    limit: int = 200,
    tenant: int = TENANT,
) -> list[Event]:
    """The newest events that answer to all that is asked, oldest first."""
    query = (
        select(*_COLUMNS)
        .where(_event.c.tenant == tenant, _event.c.time >= since)
        .order_by(_event.c.time.desc(), _event.c.id.desc())
        .limit(limit)
    )
    asked = {"trace": trace, "item": item, "message_id": message_id, "address": address.lower(), "kind": kind}
    for name, value in asked.items():
        if value:
            query = query.where(_event.c[name] == value)
    return [Event(**row._asdict()) for row in reversed(conn.execute(query).all())]


def prune(conn: Connection, before: float) -> int:
    """Forget what is older."""
    return conn.execute(delete(_event).where(_event.c.time < before)).rowcount


def _values(event: Event) -> tuple[Any, ...]:
    return (
        event.tenant,
        event.time,
        event.kind,
        event.actor,
        event.trace,
        event.item,
        event.message_id,
        event.address.lower(),
        to_json(dict(event.detail)),
    )
