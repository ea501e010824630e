"""What changed among certificates and keys: the addresses, one row a change, so that prepared answers can follow.

Not a history (``events`` is that): only as much is kept as somebody who looks twice a second needs, and who finds
the beginning of what is missing gone starts afresh. A change of an authority has the address "".
"""

from __future__ import annotations

import attrs
from sqlalchemy import Connection, bindparam, delete, func, insert, select

from securegw.store import schema
from securegw.store.rows import number_of
from securegw.store.schema import TENANT

KEPT = 10_000
AGAIN = 100  # transactions do not become visible in the order of their numbers
MOST = 2_000

_change = schema.keychange
_SINCE = (
    select(_change.c.id, _change.c.address)
    .where(_change.c.id > bindparam("last"), _change.c.tenant == bindparam("whose"))
    .order_by(_change.c.id)
    .limit(MOST)
)
_LAST = select(func.coalesce(func.max(_change.c.id), 0)).where(_change.c.tenant == bindparam("whose"))


@attrs.frozen
class Changes:
    """What came behind a place in the list: the new place, and the addresses; None if nobody knows any more."""

    last: int
    numbers: frozenset[int]
    addresses: frozenset[str] | None


NEVER = Changes(0, frozenset(), None)


def note(conn: Connection, address: str, tenant: int = TENANT) -> None:
    """Something about the keys of this address has changed, in this transaction."""
    number = number_of(conn.execute(insert(_change), {"tenant": tenant, "address": address}))
    if number % 100 == 0:
        conn.execute(delete(_change).where(_change.c.id < number - KEPT))


def since(conn: Connection, before: Changes, tenant: int = TENANT) -> Changes:
    """What has changed since an earlier look; the last hundred numbers are looked at again each time."""
    rows = conn.execute(_SINCE, {"last": max(0, before.last - AGAIN), "whose": tenant}).all()
    numbers = frozenset(row.id for row in rows)
    if before is NEVER or len(rows) == MOST or (before.last and before.last not in numbers):
        return Changes(int(conn.execute(_LAST, {"whose": tenant}).scalar_one()), numbers, None)
    new = frozenset(row.address for row in rows if row.id not in before.numbers)
    return Changes(max(numbers, default=before.last), numbers, new)

