"""The keystore: certificates of people and authorities, with our private keys sealed.

Not the judgement whether one is good: ``keys/trust`` does that. A certificate that is here already never has its
trust changed by coming again (threats: what is learned never replaces what was decided).
"""

from __future__ import annotations

from typing import Any

import attrs
from sqlalchemy import Connection, Delete, Update, bindparam, delete, insert, or_, select, update

from securegw.store import keychanges, schema
from securegw.store.rows import number_of
from securegw.store.schema import TENANT

_held = schema.held
_PUBLIC = [column for column in _held.c if column.name != "private"]
_OF = (_held.c.tenant == bindparam("whose"), _held.c.address == bindparam("of"))
_FIND = select(*_PUBLIC).where(*_OF).order_by(_held.c.not_before.desc(), _held.c.id.desc())
_WITH_PRIVATE = (
    select(_held).where(*_OF, _held.c.private.is_not(None)).order_by(_held.c.not_before.desc(), _held.c.id.desc())
)
_SAME = select(_held).where(*_OF, _held.c.fingerprint == bindparam("print"))


@attrs.frozen(kw_only=True)
class Held:
    """A certificate for one address; for an authority the address is empty.

    ``source`` is issued, imported, harvested or authority (ours, with its private key); ``trust`` is trusted, unknown,
    quarantined (learned, and not used before somebody has decided), refused or revoked; ``announced`` is what the
    owner's program said last that it opens, words with spaces between them, and ``announced_at`` when it said so;
    ``private`` is sealed, and None in what is found without asking for it; ``names`` are those of its subject, in small
    letters, by which its owner is searched for.
    """

    address: str
    der: bytes
    fingerprint: str
    source: str
    trust: str
    not_before: float
    not_after: float
    created: float
    private: bytes | None = None
    announced: str = ""
    announced_at: float = 0.0
    names: str = ""
    tenant: int = TENANT
    id: int = 0


def find(conn: Connection, address: str, tenant: int = TENANT) -> list[Held]:
    """The certificates for an address, newest first, without private keys."""
    return _read(conn.execute(_FIND, {"whose": tenant, "of": address.lower()}))


def with_private(conn: Connection, address: str, tenant: int = TENANT) -> list[Held]:
    """Those of which we have the private key, newest first, expired ones too: old mail must be opened."""
    return _read(conn.execute(_WITH_PRIVATE, {"whose": tenant, "of": address.lower()}))


def add(conn: Connection, new: Held) -> int:
    """Its number. One that is here already keeps its trust and source, and gains the private key.

    What its owner's program announced is replaced by what it announced later: an old mail that is sent once more
    brings no weaker cipher back (RFC 8551 2.5.2).
    """
    values = attrs.asdict(new) | {"address": new.address.lower()}
    del values["id"]
    same = {"whose": new.tenant, "of": values["address"], "print": new.fingerprint}
    row = conn.execute(_SAME, same).one_or_none()
    keychanges.note(conn, values["address"], new.tenant)
    if row is None:
        return number_of(conn.execute(insert(_held), values))
    later = new if new.announced_at > row.announced_at else row
    gained = {
        "announced": later.announced,
        "announced_at": later.announced_at,
        "private": new.private if row.private is None else row.private,
    }
    conn.execute(update(_held).where(_held.c.id == row.id).values(gained))
    return int(row.id)


def get(conn: Connection, id: int, tenant: int = TENANT) -> Held | None:
    """One certificate, without its private key."""
    query = select(*_PUBLIC).where(_held.c.tenant == tenant, _held.c.id == id)
    return next(iter(_read(conn.execute(query))), None)


def by_fingerprint(conn: Connection, fingerprint: str, tenant: int = TENANT) -> list[Held]:
    """The rows of one certificate: one for each of its addresses."""
    query = select(*_PUBLIC).where(_held.c.tenant == tenant, _held.c.fingerprint == fingerprint)
    return _read(conn.execute(query.order_by(_held.c.address)))


def roots(conn: Connection, tenant: int = TENANT) -> list[Held]:
    """The authorities that we trust."""
    return _authorities(conn, tenant, _held.c.trust == "trusted")


def intermediates(conn: Connection, tenant: int = TENANT) -> list[Held]:
    """Authorities that were learned: links of a chain, never its beginning."""
    return _authorities(conn, tenant, _held.c.trust == "unknown")


def authority(conn: Connection, tenant: int = TENANT) -> Held | None:
    """Our own authority, with its private key; the newest if there are several."""
    found = with_private(conn, "", tenant)
    return next((held for held in found if held.source == "authority"), None)


def own_authorities(conn: Connection, tenant: int = TENANT) -> list[Held]:
    """Our own authorities, with their private keys, newest first: an older one still answers for what it issued."""
    return [held for held in with_private(conn, "", tenant) if held.source == "authority"]


def authorities(conn: Connection, tenant: int = TENANT) -> list[Held]:
    """All authorities that were not refused, ours, trusted and learned ones, without private keys."""
    return _authorities(conn, tenant, _held.c.trust.not_in(("refused", "revoked", "quarantined")))


def ids_with_private(conn: Connection, tenant: int = TENANT) -> set[int]:
    """The rows that have a private key here; the keys themselves are not read."""
    return set(conn.scalars(select(_held.c.id).where(_held.c.tenant == tenant, _held.c.private.is_not(None))))


def set_trust(conn: Connection, id: int, trust: str, tenant: int = TENANT) -> bool:
    """Decide about a certificate; False if there is none."""
    mine = (_held.c.tenant == tenant) & (_held.c.id == id)
    return _noted(conn, update(_held).where(mine).values(trust=trust), tenant)


def list_held(
    conn: Connection, *, like: str = "", source: str = "", after: int = 0, limit: int = 100, tenant: int = TENANT
) -> list[Held]:
    """Certificates in the order they came, without private keys; ``like`` is a part of the address."""
    query = select(*_PUBLIC).where(_held.c.tenant == tenant, _held.c.id > after).order_by(_held.c.id).limit(limit)
    if like:
        query = query.where(_held.c.address.contains(like.lower(), autoescape=True))
    if source:
        query = query.where(_held.c.source == source)
    return _read(conn.execute(query))


def addresses_with(conn: Connection, text: str, *, after: str, limit: int, tenant: int = TENANT) -> list[str]:
    """Addresses of certificates with a text in the address, in a name of the certificate or in that of the user.

    In their order; an index holds all that is looked at.
    """
    named = select(schema.user.c.key).where(
        schema.user.c.tenant == tenant, schema.user.c.name.icontains(text, autoescape=True)
    )
    query = select(_held.c.address).where(_held.c.tenant == tenant, _held.c.address > after).distinct()
    if text:
        parts = [column.contains(text.lower(), autoescape=True) for column in (_held.c.address, _held.c.names)]
        query = query.where(or_(*parts, _held.c.address.in_(named)))
    return list(conn.execute(query.order_by(_held.c.address).limit(limit)).scalars())


def remove(conn: Connection, id: int, tenant: int = TENANT) -> bool:
    """False if there was none."""
    return _noted(conn, delete(_held).where(_held.c.tenant == tenant, _held.c.id == id), tenant)


def _noted(conn: Connection, change: Update | Delete, tenant: int) -> bool:
    """Make a change, and note the addresses that it is about."""
    addresses = list(conn.execute(change.returning(_held.c.address)).scalars())
    for address in addresses:
        keychanges.note(conn, address, tenant)
    return bool(addresses)


def _authorities(conn: Connection, tenant: int, condition: Any) -> list[Held]:
    query = select(*_PUBLIC).where(_held.c.tenant == tenant, _held.c.address == "", condition)
    return _read(conn.execute(query.order_by(_held.c.id)))


def _read(rows: Any) -> list[Held]:
    return [Held(**row._asdict()) for row in rows]
