"""The census: the numbers by which the house is judged, asked in one question that sees one moment.

Not the queue and not the desk: nothing is changed, and nothing is told of a single mail.
"""

from __future__ import annotations

from collections import Counter

import attrs
from sqlalchemy import Connection, bindparam, func, select

from securegw.store import desk, quarantine, schema
from securegw.store.items import Counts

LATELY = 600.0
SAMPLE = 5000  # of deferred mails and of the latest events no more are looked at, however many there are

_item, _held, _user, _tries, _event = schema.item, schema.held, schema.user, schema.tries, schema.event

_OLDEST = select(_item.c.kind, func.min(_item.c.received)).where(_item.c.state == "waiting").group_by(_item.c.kind)
_DEFERRED = (
    select(_item.c.recipients)
    .where(_item.c.state == "waiting", _item.c.kind == "ready", _item.c.tries > 0)
    .limit(SAMPLE)
)
_NEWEST = (
    select(_held.c.address, func.max(_held.c.not_after).label("until"))
    .join(_user, (_user.c.tenant == _held.c.tenant) & (_user.c.key == _held.c.address))
    .where(_held.c.private.is_not(None), _user.c.may_sign | _user.c.may_encrypt)
    .group_by(_held.c.tenant, _held.c.address)
    .subquery()
)
# What our own authority has issued is renewed by itself when its user writes next.
_ENDING = (
    select(_NEWEST.c.address, _NEWEST.c.until)
    .join(_held, (_held.c.address == _NEWEST.c.address) & (_held.c.not_after == _NEWEST.c.until))
    .where(_held.c.private.is_not(None), _held.c.source != "issued")
    .order_by(_NEWEST.c.until, _NEWEST.c.address)
    .limit(1)
)
_AUTHORITY = select(func.max(_held.c.not_after)).where(_held.c.address == "", _held.c.source == "authority")
# An authority without a list yet has its own beginning in both places.
_LIST = schema.revocation_list
_LISTS = (
    select(
        func.coalesce(_LIST.c.made, _held.c.created).label("made"),
        func.coalesce(_LIST.c.next_update, _held.c.created).label("until"),
    )
    .outerjoin(_LIST, (_LIST.c.tenant == _held.c.tenant) & (_LIST.c.authority == _held.c.fingerprint))
    .where(
        _held.c.address == "",
        _held.c.source == "authority",
        _held.c.private.is_not(None),
        _held.c.not_after > bindparam("now"),
    )
)
_FAILED = select(func.sum(_tries.c.count)).where(_tries.c.last >= bindparam("since"))
_LATEST = select(_event.c.kind, _event.c.time).order_by(_event.c.time.desc()).limit(SAMPLE).subquery()
_DELIVERED = select(func.max(_LATEST.c.time)).where(_LATEST.c.kind == "delivered")


@attrs.frozen(kw_only=True)
class Census:
    """The queue in numbers, and how many mails of it are in quarantine; when the oldest mails of each kind came, which
    destination most mails wait for, whose certificate ends first, and when ours ends; of each authority of ours from
    when until when its revocation list is; failed tries lately; the last delivery among the latest events."""

    counts: Counts
    quarantined: int = 0
    untreated: float | None = None
    undelivered: float | None = None
    destination: str = ""
    deferred: int = 0
    ending: tuple[str, float] | None = None
    authority: float | None = None
    lists: tuple[tuple[float, float], ...] = ()
    failed: int = 0
    delivered: float | None = None


def take(conn: Connection, now: float) -> Census:
    """All numbers as of this moment."""
    oldest: dict[str, float] = {kind: received for kind, received in conn.execute(_OLDEST)}
    destination, deferred = _most_wanted(conn)
    ending = conn.execute(_ENDING).one_or_none()
    return Census(
        counts=desk.counts(conn),
        quarantined=quarantine.count(conn),
        untreated=oldest.get("accepted"),
        undelivered=oldest.get("ready"),
        destination=destination,
        deferred=deferred,
        ending=None if ending is None else (ending.address, ending.until),
        authority=conn.scalar(_AUTHORITY),
        lists=tuple((made, until) for made, until in conn.execute(_LISTS, {"now": now})),
        failed=conn.scalar(_FAILED, {"since": now - LATELY}) or 0,
        delivered=conn.scalar(_DELIVERED),
    )


def _most_wanted(conn: Connection) -> tuple[str, int]:
    """The destination that most deferred mails wait for, and how many do."""
    waiting: Counter[str] = Counter()
    for recipients in conn.scalars(_DEFERRED):
        left = (each["address"] for each in recipients if each.get("state", "waiting") == "waiting")
        waiting.update({address.rpartition("@")[2].lower() for address in left})
    return max(waiting.items(), key=lambda found: (found[1], found[0]), default=("", 0))
