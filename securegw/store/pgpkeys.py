"""OpenPGP public keys, and the names under which each is found: address keys, and 0xNUMBER of key and subkeys.

Not a judge of them, and no private keys.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import attrs
from sqlalchemy import Connection, Text, cast, delete, insert, or_, select

from securegw.store import schema
from securegw.store.rows import texts
from securegw.store.schema import TENANT

_key = schema.pgpkey
_name = schema.pgpname


@attrs.frozen(kw_only=True)
class PgpKey:
    """A public key as bytes, and what is told of it. Fingerprints in capitals; ``expires`` None: never."""

    fingerprint: str
    key: bytes = attrs.field(repr=False)
    subkeys: tuple[str, ...] = attrs.field(default=(), converter=texts)
    user_ids: tuple[str, ...] = attrs.field(default=(), converter=texts)
    addresses: tuple[str, ...] = attrs.field(default=(), converter=texts)
    kind: str = "unknown"
    bits: int = 0
    created: float
    expires: float | None = None
    added: float = 0.0
    tenant: int = TENANT


def put(conn: Connection, new: PgpKey, names: Iterable[str]) -> None:
    """Add a key, or take the newer form of one that is here."""
    remove(conn, new.fingerprint, new.tenant)
    conn.execute(insert(_key), attrs.asdict(new))
    rows = [{"tenant": new.tenant, "name": name, "fingerprint": new.fingerprint} for name in names]
    if rows:
        conn.execute(insert(_name), rows)


def find(conn: Connection, names: Sequence[str], tenant: int = TENANT) -> list[PgpKey]:
    """The keys with one of these names."""
    prints = select(_name.c.fingerprint).where(_name.c.tenant == tenant, _name.c.name.in_(names))
    return _read(conn.execute(_all(tenant).where(_key.c.fingerprint.in_(prints))))


def search(conn: Connection, text: str, *, limit: int = 100, tenant: int = TENANT) -> list[PgpKey]:
    """Keys with a text in a user ID or in one of their names."""
    prints = select(_name.c.fingerprint).where(_name.c.tenant == tenant, _name.c.name.icontains(text, autoescape=True))
    fits = or_(cast(_key.c.user_ids, Text).icontains(text, autoescape=True), _key.c.fingerprint.in_(prints))
    return _read(conn.execute((_all(tenant).where(fits) if text else _all(tenant)).limit(limit)))


def remove(conn: Connection, fingerprint: str, tenant: int = TENANT) -> bool:
    """False if there was none."""
    conn.execute(delete(_name).where(_name.c.tenant == tenant, _name.c.fingerprint == fingerprint))
    return conn.execute(delete(_key).where(_key.c.tenant == tenant, _key.c.fingerprint == fingerprint)).rowcount == 1


def _all(tenant: int) -> Any:
    return select(_key).where(_key.c.tenant == tenant).order_by(_key.c.fingerprint)


def _read(rows: Any) -> list[PgpKey]:
    return [PgpKey(**row._asdict()) for row in rows]
