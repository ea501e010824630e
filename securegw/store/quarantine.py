"""Quarantine: which held mails a rule keeps for an administrator, whether he was told of them, and how they end.

Not the mails: those are items of the queue in the state ``held``. A row here says why, so that nobody lets them go as
something that merely waits. How a mail ends is written into its ``source``; the journey that takes it up obeys that.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import attrs
from sqlalchemy import Connection, bindparam, delete, func, insert, select, update

from securegw.store import events, queue, schema, schema_rules
from securegw.store.items import Item
from securegw.store.rows import insert_into
from securegw.store.schema import TENANT

Fate = Literal["released", "returned"]

FATE = "quarantine"  # where in ``source`` the fate of a mail stands
_TOLD_AT = "quarantine-told"

_row, _item, _setting = schema_rules.quarantine, schema.item, schema.setting
_IDS: Any = bindparam("ids", expanding=True)
_KEPT = _row.join(_item, (_row.c.item == _item.c.id) & (_row.c.tenant == _item.c.tenant) & (_item.c.state == "held"))
_TOLD = update(_row).where(_row.c.tenant == bindparam("whose"), _row.c.item.in_(_IDS)).values(told=True)
_FORGET = delete(_row).where(_row.c.item.in_(_IDS))
_LAST = select(_setting.c.value).where(_setting.c.tenant == bindparam("whose"), _setting.c.key == _TOLD_AT)


@attrs.frozen
class Kept:
    """One mail in quarantine: its item, since when, by which rule."""

    item: str
    time: float
    rule: str
    told: bool = False
    tenant: int = TENANT


@attrs.frozen
class Verdict:
    """What shall become of some of them, and when that was said."""

    ids: tuple[str, ...]
    fate: Fate
    now: float
    tenant: int = TENANT


@attrs.frozen
class Digest:
    """A notice that tells of these, to be put into the queue if none was for ``every`` seconds."""

    ids: tuple[str, ...]
    entries: tuple[queue.Entry, ...]
    told: events.Event
    every: float
    tenant: int = TENANT


def keep(conn: Connection, rows: Sequence[Kept]) -> None:
    """Note mails that were put into quarantine, in the same transaction as their items."""
    conn.execute(insert(_row), [attrs.asdict(row) for row in rows])


def list_kept(
    conn: Connection,
    *,
    before: float | None = None,
    untold: bool = False,
    after: tuple[float, str] = (0.0, ""),
    limit: int = 500,
    tenant: int = TENANT,
) -> list[tuple[Kept, Item]]:
    """What is in quarantine, oldest first; ``after`` is the last one seen as ``(time, item)``."""
    time, item = after
    later = (_row.c.time > time) | ((_row.c.time == time) & (_row.c.item > item))
    query = select(_row, _item).select_from(_KEPT).where(_row.c.tenant == tenant, later)
    query = query.order_by(_row.c.time, _row.c.item).limit(limit)
    if before is not None:
        query = query.where(_row.c.time < before)
    if untold:
        query = query.where(~_row.c.told)
    return [_read(row) for row in conn.execute(query)]


def get(conn: Connection, item: str, tenant: int = TENANT) -> tuple[Kept, Item] | None:
    """One of them."""
    query = select(_row, _item).select_from(_KEPT).where(_row.c.tenant == tenant, _row.c.item == item)
    row = conn.execute(query).one_or_none()
    return None if row is None else _read(row)


def which(conn: Connection, ids: Iterable[str], tenant: int = TENANT, *, lock: bool = False) -> set[str]:
    """Those of these items that are in quarantine; ``lock``: and that nobody else ends before this transaction does."""
    query = select(_row.c.item).where(_row.c.tenant == tenant, _row.c.item.in_(list(ids)))
    return set(conn.scalars(query.with_for_update() if lock else query))


def count(conn: Connection, tenant: int | None = None) -> int:
    """How many there are, of one tenant or of the whole house."""
    query = select(func.count()).select_from(_KEPT)
    return conn.scalar(query if tenant is None else query.where(_row.c.tenant == tenant)) or 0


def end(conn: Connection, verdict: Verdict) -> int:
    """Let them go on to their fate at once; how many there were. The time for a delivery begins now."""
    query = select(_row.c.item, _item.c.source).select_from(_KEPT).with_for_update()
    query = query.where(_row.c.tenant == verdict.tenant, _row.c.item.in_(verdict.ids))
    found = conn.execute(query).all()
    for id, source in found:
        changed = {"state": "waiting", "next_try": 0.0, "session": None, "received": verdict.now}
        conn.execute(update(_item).where(_item.c.id == id).values(source={**source, FATE: verdict.fate}, **changed))
    forget(conn, [row.item for row in found])
    return len(found)


def forget(conn: Connection, ids: Iterable[str]) -> None:
    """These are in quarantine no more, by whatever way they left it."""
    conn.execute(_FORGET, {"ids": list(ids)})


def last_told(conn: Connection, tenant: int = TENANT) -> float:
    """When the last notice was made, whatever node has made it."""
    return float(conn.scalar(_LAST, {"whose": tenant}) or 0.0)


def tell(conn: Connection, digest: Digest) -> bool:
    """Put the notice into the queue, unless another node has made one within the period: then nothing is changed."""
    now, whose = digest.told.time, {"whose": digest.tenant}
    first = insert_into(conn, _setting).values(tenant=digest.tenant, key=_TOLD_AT, value=0.0)
    conn.execute(first.on_conflict_do_nothing())
    last = float(conn.scalar(_LAST.with_for_update(), whose) or 0.0)
    if last <= now < last + digest.every:
        return False
    mine = (_setting.c.tenant == digest.tenant, _setting.c.key == _TOLD_AT)
    conn.execute(update(_setting).where(*mine).values(value=now))
    conn.execute(_TOLD, whose | {"ids": list(digest.ids)})
    queue.put(conn, list(digest.entries))
    events.record(conn, digest.told)
    return True


def _read(row: Sequence[Any]) -> tuple[Kept, Item]:
    """The two tables share names of columns, so these are told by their places."""
    names = [column.name for column in _row.c]
    values = dict(zip([column.name for column in _item.c], row[len(names) :], strict=True))
    recipients = tuple(queue.Recipient(**recipient) for recipient in values.pop("recipients"))
    return Kept(**dict(zip(names, row, strict=False))), Item(recipients=recipients, **values)
