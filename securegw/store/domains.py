"""Our domains, and the routes to the world: who is inside, and by which hop a mail leaves.

Not DNS: that is ``clients/mx``. A domain belongs to one tenant in the whole house; a route belongs to a tenant.
"""

from __future__ import annotations

import attrs
from sqlalchemy import Connection, bindparam, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from securegw.store import schema
from securegw.store.rows import number_of, texts
from securegw.store.schema import TENANT
from securegw.store.troubles import AlreadyThere

_domain = schema.domain
_route = schema.route
_FIND = select(_domain).where(_domain.c.name == bindparam("of"))
_FIND_ROUTE = select(_route).where(_route.c.tenant == bindparam("whose"), _route.c.pattern.in_([bindparam("of"), "*"]))


@attrs.frozen
class Domain:
    """A domain of ours: ``route`` is the hop to its mail server, ``tls`` is none, may, encrypt, verify, secure or
    fingerprint. ``recipients`` says how an address of it is known: any, list (``store/recipients``) or call."""

    name: str
    route: str
    tls: str = "may"
    tenant: int = TENANT
    id: int = 0
    recipients: str = "any"
    fingerprints: tuple[str, ...] = attrs.field(default=(), converter=texts)


@attrs.frozen
class Route:
    """A way out: ``pattern`` is a domain or ``*``; ``hop`` a host (by its MX), ``host:port`` or ``[host]:port``.

    ``login`` is our name there, ``secret`` its password, sealed by who stores it.
    """

    pattern: str
    hop: str
    tls: str = "may"
    tenant: int = TENANT
    login: str = ""
    secret: bytes | None = attrs.field(default=None, repr=False)
    fingerprints: tuple[str, ...] = attrs.field(default=(), converter=texts)


def find_domain(conn: Connection, name: str) -> Domain | None:
    """Whose domain this is; None if it is not ours."""
    row = conn.execute(_FIND, {"of": name.lower()}).one_or_none()
    return None if row is None else _read(row._asdict())


def add_domain(conn: Connection, domain: Domain) -> int:
    """Its number; raises AlreadyThere, also if it is another tenant's."""
    values = attrs.asdict(domain) | {"name": domain.name.lower()}
    del values["id"]
    try:
        return number_of(conn.execute(insert(_domain), values))
    except IntegrityError as error:
        raise AlreadyThere(f"The domain {domain.name} is here already.", detail=str(error.orig)) from error


def change_domain(conn: Connection, domain: Domain) -> bool:
    """Set all but the name of a domain, found by tenant and name; False if there is none."""
    mine = (_domain.c.tenant == domain.tenant) & (_domain.c.name == domain.name.lower())
    values = attrs.asdict(domain, filter=attrs.filters.exclude("name", "tenant", "id"))
    return conn.execute(update(_domain).where(mine).values(values)).rowcount == 1


def list_domains(conn: Connection, tenant: int | None = None) -> list[Domain]:
    """The domains of a tenant, or of the whole house, by name."""
    query = select(_domain).order_by(_domain.c.name)
    if tenant is not None:
        query = query.where(_domain.c.tenant == tenant)
    return [_read(row._asdict()) for row in conn.execute(query)]


def remove_domain(conn: Connection, name: str, tenant: int = TENANT) -> bool:
    """False if the tenant has no such domain."""
    mine = (_domain.c.tenant == tenant) & (_domain.c.name == name.lower())
    return conn.execute(delete(_domain).where(mine)).rowcount == 1


def find_route(conn: Connection, domain: str, tenant: int = TENANT) -> Route | None:
    """The route for exactly this domain, else the one for ``*``, else None (then the MX of the domain)."""
    rows = conn.execute(_FIND_ROUTE, {"whose": tenant, "of": domain.lower()}).all()
    found = {row.pattern: Route(**row._asdict()) for row in rows}
    return found.get(domain.lower()) or found.get("*")


def put_route(conn: Connection, route: Route) -> None:
    """Add the route, or replace the one with the same pattern."""
    values = attrs.asdict(route) | {"pattern": route.pattern.lower()}
    remove_route(conn, route.pattern, route.tenant)
    conn.execute(insert(_route), values)


def list_routes(conn: Connection, tenant: int = TENANT) -> list[Route]:
    """The routes of a tenant, by pattern."""
    query = select(_route).where(_route.c.tenant == tenant).order_by(_route.c.pattern)
    return [Route(**row._asdict()) for row in conn.execute(query)]


def remove_route(conn: Connection, pattern: str, tenant: int = TENANT) -> bool:
    """False if the tenant has no such route."""
    mine = (_route.c.tenant == tenant) & (_route.c.pattern == pattern.lower())
    return conn.execute(delete(_route).where(mine)).rowcount == 1


def _read(values: dict[str, object]) -> Domain:
    return Domain(**values)  # type: ignore[arg-type]
