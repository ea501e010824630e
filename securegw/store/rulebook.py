"""The rulebook: every version of the rules that was ever saved, by whom and when.

Not the reading of rules: ``policy/rules`` does that before anything is saved here.
"""

from __future__ import annotations

import attrs
from sqlalchemy import Connection, bindparam, func, insert, select

from securegw.store import schema
from securegw.store.schema import TENANT

_rulebook = schema.rulebook
_LATEST = (
    select(_rulebook).where(_rulebook.c.tenant == bindparam("whose")).order_by(_rulebook.c.version.desc()).limit(1)
)
_NUMBER = select(func.coalesce(func.max(_rulebook.c.version), 0)).where(_rulebook.c.tenant == bindparam("whose"))


@attrs.frozen
class Version:
    """One saved version of a tenant's rules."""

    tenant: int
    version: int
    text: str
    author: str
    note: str
    saved: float


def save(conn: Connection, text: str, author: str, now: float, *, note: str = "", tenant: int = TENANT) -> int:
    """The number of the new version, which is in force from now on."""
    version = int(conn.scalar(_NUMBER, {"whose": tenant}) or 0) + 1
    conn.execute(
        insert(_rulebook),
        {"tenant": tenant, "version": version, "text": text, "author": author, "note": note, "saved": now},
    )
    return version


def current(conn: Connection, tenant: int = TENANT) -> Version | None:
    """The rules in force; None if none were ever saved."""
    row = conn.execute(_LATEST, {"whose": tenant}).one_or_none()
    return None if row is None else Version(**row._asdict())


def get(conn: Connection, version: int, tenant: int = TENANT) -> Version | None:
    """A version, old or new."""
    query = select(_rulebook).where(_rulebook.c.tenant == tenant, _rulebook.c.version == version)
    row = conn.execute(query).one_or_none()
    return None if row is None else Version(**row._asdict())


def history(conn: Connection, limit: int = 100, tenant: int = TENANT) -> list[Version]:
    """Versions, newest first."""
    query = select(_rulebook).where(_rulebook.c.tenant == tenant).order_by(_rulebook.c.version.desc()).limit(limit)
    return [Version(**row._asdict()) for row in conn.execute(query)]
