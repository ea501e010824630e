"""Revocations: which certificates of our authorities count no more, and the last list that each has published.

Not the making of a list: ``keys/revocations`` signs it. A revocation is never taken back.
"""

from __future__ import annotations

import attrs
from sqlalchemy import Connection, insert, select

from securegw.store import schema
from securegw.store.rows import insert_into
from securegw.store.schema import TENANT

_revocation = schema.revocation
_list = schema.revocation_list


@attrs.frozen(kw_only=True)
class Revocation:
    """One certificate: the fingerprint of its authority, its serial number in hexadecimal digits."""

    authority: str
    serial: str
    reason: str
    not_after: float
    time: float
    tenant: int = TENANT


@attrs.frozen(kw_only=True)
class Published:
    """The last list of one authority."""

    authority: str
    number: int
    der: bytes = attrs.field(repr=False)
    made: float
    next_update: float
    tenant: int = TENANT


def revoke(conn: Connection, new: Revocation) -> None:
    """One that is revoked already stays as it is."""
    conn.execute(insert_into(conn, _revocation).values(attrs.asdict(new)).on_conflict_do_nothing())


def of_authority(conn: Connection, authority: str, tenant: int = TENANT) -> list[Revocation]:
    """All of them, by time."""
    query = select(_revocation).where(_revocation.c.tenant == tenant, _revocation.c.authority == authority)
    ordered = query.order_by(_revocation.c.time, _revocation.c.serial)
    return [Revocation(**row._asdict()) for row in conn.execute(ordered)]


def published(conn: Connection, authority: str, tenant: int = TENANT) -> Published | None:
    """The last list of an authority."""
    query = select(_list).where(_list.c.tenant == tenant, _list.c.authority == authority)
    row = conn.execute(query).one_or_none()
    return None if row is None else Published(**row._asdict())


def publish(conn: Connection, new: Published) -> None:
    """Replace the list of an authority, unless another node has published a newer one meanwhile."""
    there = published(conn, new.authority, new.tenant)
    if there is not None and there.number >= new.number:
        return
    mine = (_list.c.tenant == new.tenant) & (_list.c.authority == new.authority)
    conn.execute(_list.delete().where(mine))
    conn.execute(insert(_list), attrs.asdict(new))
