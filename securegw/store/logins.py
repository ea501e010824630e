"""Logins: names by which a person or a program may sign in to send mail, and the sender addresses each may use.

Not the check of a password: that is ``accounts``. What is kept of the password is its Argon2id hash.
"""

from __future__ import annotations

from typing import Any

import attrs
from sqlalchemy import Connection, bindparam, delete, insert, select
from sqlalchemy.engine import Row
from sqlalchemy.exc import IntegrityError

from securegw.store import schema
from securegw.store.rows import texts
from securegw.store.schema import TENANT
from securegw.store.troubles import AlreadyThere

_login = schema.login
_GET = select(_login).where(_login.c.name == bindparam("of"))


def _folded(name: str) -> str:
    return name.lower()


@attrs.frozen
class Login:
    """A name, unique in the whole house in any case of its letters, and the senders it may use: addresses and
    patterns of addresses, which are plain texts here."""

    name: str = attrs.field(converter=_folded)
    secret: str = attrs.field(repr=False)
    senders: tuple[str, ...] = attrs.field(default=(), converter=texts)
    created: float = 0.0
    tenant: int = TENANT


def get(conn: Connection, name: str) -> Login | None:
    """Whose login this is; None if it is nobody's."""
    row = conn.execute(_GET, {"of": _folded(name)}).one_or_none()
    return None if row is None else _read(row)


def add(conn: Connection, login: Login) -> None:
    """Raises AlreadyThere, also if it is another tenant's."""
    try:
        conn.execute(insert(_login), attrs.asdict(login))
    except IntegrityError as error:
        raise AlreadyThere(f"The login {login.name} is here already.", detail=str(error.orig)) from error


def list_logins(conn: Connection, tenant: int = TENANT) -> list[Login]:
    """The logins of a tenant, by name."""
    query = select(_login).where(_login.c.tenant == tenant).order_by(_login.c.name)
    return [_read(row) for row in conn.execute(query)]


def remove(conn: Connection, name: str, tenant: int = TENANT) -> bool:
    """False if the tenant has no such login."""
    mine = (_login.c.tenant == tenant) & (_login.c.name == _folded(name))
    return conn.execute(delete(_login).where(mine)).rowcount == 1


def _read(row: Row[Any]) -> Login:
    return Login(**row._asdict())
