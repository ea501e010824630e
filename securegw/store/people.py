"""People: users are inside and write in clear; accounts are outside and read sealed letters.

Not passwords: an account's private key comes wrapped by one, and opening it is the check, which ``accounts`` does.
"""

from __future__ import annotations

from typing import Any

import attrs
from sqlalchemy import Connection, Select, Table, bindparam, delete, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from securegw.store import schema
from securegw.store.rows import insert_into
from securegw.store.schema import TENANT
from securegw.store.troubles import AlreadyThere

_user = schema.user
_account = schema.account

_USER = select(_user).where(_user.c.tenant == bindparam("whose"), _user.c.key == bindparam("of"))
_ACCOUNT_BY_KEY = select(_account).where(_account.c.tenant == bindparam("whose"), _account.c.key == bindparam("of"))
_ACCOUNT_BY_ID = select(_account).where(_account.c.tenant == bindparam("whose"), _account.c.id == bindparam("of"))


@attrs.frozen
class User:
    """Somebody inside, with the rights to sign and to encrypt."""

    address: str
    name: str = ""
    may_sign: bool = True
    may_encrypt: bool = True
    created: float = 0.0
    tenant: int = TENANT


@attrs.frozen(kw_only=True)
class Account:
    """Somebody outside. ``id`` is 32 hexadecimal digits that tell nothing; ``wrapped`` is the private key, wrapped
    by the password (by the first code, until ``registered``). ``terms`` is when they were accepted."""

    id: str
    address: str
    public: bytes
    wrapped: bytes
    created: float
    name: str = ""
    language: str = "en"
    registered: bool = False
    blocked: bool = False
    seen: float | None = None
    terms: float | None = None
    tries: int = 0
    locked_until: float = 0.0
    tenant: int = TENANT


def get_user(conn: Connection, address: str, tenant: int = TENANT) -> User | None:
    """The user with this address, in whatever case it is written."""
    row = conn.execute(_USER, {"whose": tenant, "of": address.lower()}).one_or_none()
    return None if row is None else _read_user(row._asdict())


def add_user(conn: Connection, new: User) -> None:
    """Raises AlreadyThere."""
    try:
        conn.execute(insert(_user), _with_key(new))
    except IntegrityError as error:
        raise AlreadyThere(f"The user {new.address} is here already.", detail=str(error.orig)) from error


def ensure_user(conn: Connection, new: User) -> User:
    """The user as he is in the table; added if he is not there yet."""
    conn.execute(insert_into(conn, _user).values(_with_key(new)).on_conflict_do_nothing())
    found = get_user(conn, new.address, new.tenant)
    assert found is not None
    return found


def change_user(conn: Connection, changed: User) -> bool:
    """Set name and rights; False if there is no such user."""
    mine = (_user.c.tenant == changed.tenant) & (_user.c.key == changed.address.lower())
    values = {"name": changed.name, "may_sign": changed.may_sign, "may_encrypt": changed.may_encrypt}
    return conn.execute(update(_user).where(mine).values(values)).rowcount == 1


def remove_user(conn: Connection, address: str, tenant: int = TENANT) -> bool:
    """False if there was none."""
    mine = (_user.c.tenant == tenant) & (_user.c.key == address.lower())
    return conn.execute(delete(_user).where(mine)).rowcount == 1


def list_users(
    conn: Connection, *, like: str = "", after: str = "", limit: int = 100, tenant: int = TENANT
) -> list[User]:
    """Users by address; ``like`` is a part of address or name, ``after`` the last address seen."""
    query = _page(_user, like, after, limit).where(_user.c.tenant == tenant)
    return [_read_user(row._asdict()) for row in conn.execute(query)]


def account_by_address(conn: Connection, address: str, tenant: int = TENANT) -> Account | None:
    """The account of this address, in whatever case it is written."""
    row = conn.execute(_ACCOUNT_BY_KEY, {"whose": tenant, "of": address.lower()}).one_or_none()
    return None if row is None else _read_account(row._asdict())


def account_by_id(conn: Connection, id: str, tenant: int = TENANT) -> Account | None:
    """The account with this id."""
    row = conn.execute(_ACCOUNT_BY_ID, {"whose": tenant, "of": id}).one_or_none()
    return None if row is None else _read_account(row._asdict())


def add_account(conn: Connection, new: Account) -> None:
    """Raises AlreadyThere if the address has an account by now: what was sealed for the new one must be undone."""
    try:
        conn.execute(insert(_account), _with_key(new))
    except IntegrityError as error:
        raise AlreadyThere(detail=str(error.orig)) from error


def update_account(conn: Connection, changed: Account, was: bytes | None = None) -> bool:
    """Set everything but id, tenant, address and key pair's public half.

    With ``was`` only if the wrapped key is still that one: of two people with the first code, one registers.
    """
    mine = (_account.c.tenant == changed.tenant) & (_account.c.id == changed.id)
    if was is not None:
        mine &= _account.c.wrapped == was
    values = _with_key(changed)
    for fixed in ("id", "tenant", "address", "key", "public", "created"):
        del values[fixed]
    return conn.execute(update(_account).where(mine).values(values)).rowcount == 1


def note_tries(conn: Connection, id: str, tries: int, locked_until: float, tenant: int = TENANT) -> bool:
    """Set only the count of wrong passwords and the pause they brought."""
    mine = (_account.c.tenant == tenant) & (_account.c.id == id)
    values = {"tries": tries, "locked_until": locked_until}
    return conn.execute(update(_account).where(mine).values(values)).rowcount == 1


def renew_keys(conn: Connection, changed: Account) -> bool:
    """Replace the key pair and forget the registration: the password is lost, and with it the old letters."""
    mine = (_account.c.tenant == changed.tenant) & (_account.c.id == changed.id)
    values = {"public": changed.public, "wrapped": changed.wrapped, "registered": changed.registered}
    return conn.execute(update(_account).where(mine).values(values)).rowcount == 1


def remove_account(conn: Connection, id: str, tenant: int = TENANT) -> bool:
    """Remove the account, its letters and its web sessions; False if there was none."""
    mine = (_account.c.tenant == tenant) & (_account.c.id == id)
    return conn.execute(delete(_account).where(mine)).rowcount == 1


def list_accounts(
    conn: Connection, *, like: str = "", after: str = "", limit: int = 100, tenant: int = TENANT
) -> list[Account]:
    """Accounts by address; ``like`` is a part of address or name, ``after`` the last address seen."""
    query = _page(_account, like, after, limit).where(_account.c.tenant == tenant)
    return [_read_account(row._asdict()) for row in conn.execute(query)]


def _page(table: Table, like: str, after: str, limit: int) -> Select[Any]:
    query = select(table).where(table.c.key > after.lower()).order_by(table.c.key).limit(limit)
    if not like:
        return query
    key, name = table.c.key, table.c.name
    return query.where(or_(key.contains(like.lower(), autoescape=True), name.icontains(like, autoescape=True)))


def _with_key(person: User | Account) -> dict[str, Any]:
    return attrs.asdict(person) | {"key": person.address.lower()}


def _read_user(values: dict[str, Any]) -> User:
    del values["key"]
    return User(**values)


def _read_account(values: dict[str, Any]) -> Account:
    del values["key"]
    return Account(**values)
