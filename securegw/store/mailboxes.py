"""Archive mailboxes: each with its key pair, the mails that are sealed for it, and who has it open.

Not the sealing: mails arrive sealed for the mailbox's public key, and its private key is wrapped by a password that
nobody here knows. A mail is a row with its sealed key and so many parts. A mailbox is open for one session of POP3
at a time (RFC 1939 4): its lease is good as long as the node's session behind it is alive, so a crash gives it back.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs
from sqlalchemy import Connection, bindparam, delete, func, insert, or_, select, update

from securegw.mail.errors import LostClaim
from securegw.store import schema
from securegw.store.clock import moment
from securegw.store.rows import insert_into
from securegw.store.schema import TENANT
from securegw.store.sessions import alive

SLICE = 500  # mails that one statement names

_mailbox = schema.mailbox
_kept = schema.kept
_part = schema.kept_part
_lease = schema.lease

_ADD = insert(_mailbox)
_BY_NAME = select(_mailbox).where(or_(_mailbox.c.key == bindparam("of"), _mailbox.c.id == bindparam("of")))
_SET_ACTIVE = update(_mailbox).where(_mailbox.c.id == bindparam("of")).values(active=bindparam("now_active"))
_REWRAP = (
    update(_mailbox)
    .where(_mailbox.c.id == bindparam("of"), _mailbox.c.wrapped == bindparam("was"))
    .values(wrapped=bindparam("new"))
)
_REMOVE = delete(_mailbox).where(_mailbox.c.id == bindparam("of"), _mailbox.c.active.is_(False))
_PUT_MAIL = insert(_kept)
_PUT_PARTS = insert(_part)
_CONTENTS = (
    select(_kept.c.id, _kept.c.size, _kept.c.parts)
    .where(_kept.c.mailbox == bindparam("of"))
    .order_by(_kept.c.number)
)
_KEY = select(_kept.c.key).where(_kept.c.id == bindparam("of"))
_SHORT = (
    select(_kept.c.id, _kept.c.key, _part.c.bytes)
    .join(_part, _part.c.mail == _kept.c.id)
    .where(_kept.c.id.in_(bindparam("ids", expanding=True)), _part.c.part == 0)
)
_PART = select(_part.c.bytes).where(_part.c.mail == bindparam("of"), _part.c.part == bindparam("number"))
_END_MAILS = delete(_kept).where(
    _kept.c.mailbox == bindparam("whose"), _kept.c.id.in_(bindparam("ids", expanding=True))
)
_SOME = select(_kept.c.id).where(_kept.c.mailbox == bindparam("of")).order_by(_kept.c.number).limit(bindparam("most"))
_LOCK = select(_mailbox.c.id).where(_mailbox.c.id == bindparam("of")).with_for_update()
_HOLDER = select(_lease.c.token).where(_lease.c.mailbox == bindparam("of")).with_for_update()
_IS_OPEN = select(_lease.c.mailbox).where(_lease.c.mailbox == bindparam("of"), alive(_lease.c.session))
_GIVE_BACK = delete(_lease).where(_lease.c.mailbox == bindparam("of"), _lease.c.token == bindparam("by"))


@attrs.frozen(kw_only=True)
class Mailbox:
    """One mailbox. ``key`` is its folded address; ``unpack``: journal reports are replaced by the mail in them."""

    id: str
    address: str
    key: str
    public: bytes
    wrapped: bytes = attrs.field(repr=False)
    created: float
    name: str = ""
    description: str = ""
    active: bool = True
    unpack: bool = False
    tenant: int = TENANT


@attrs.frozen
class Kept:
    """A mail in a mailbox as POP3 lists it: ``id`` never changes and never comes back."""

    id: str
    size: int
    parts: int


@attrs.frozen(kw_only=True)
class Deposit:
    """A mail to be kept: sealed in parts, with its sealed key."""

    id: str
    mailbox: str
    size: int
    key: bytes
    parts: Sequence[bytes]
    received: float


@attrs.frozen
class Amount:
    """How much is in a mailbox: mails, and their bytes before they were sealed."""

    mails: int = 0
    size: int = 0


def add(conn: Connection, mailbox: Mailbox) -> None:
    """Make a mailbox."""
    conn.execute(_ADD, attrs.asdict(mailbox))


def get(conn: Connection, name: str) -> Mailbox | None:
    """The mailbox of a folded address or an id."""
    row = conn.execute(_BY_NAME, {"of": name}).one_or_none()
    return None if row is None else Mailbox(**row._asdict())


def list_mailboxes(conn: Connection) -> list[Mailbox]:
    """All of them, by address."""
    return [Mailbox(**row._asdict()) for row in conn.execute(select(_mailbox).order_by(_mailbox.c.key))]


def amounts(conn: Connection) -> dict[str, Amount]:
    """What is in each mailbox that is not empty, by its id."""
    query = select(_kept.c.mailbox, func.count(), func.sum(_kept.c.size)).group_by(_kept.c.mailbox)
    return {mailbox: Amount(int(count), int(size)) for mailbox, count, size in conn.execute(query)}


def set_active(conn: Connection, id: str, active: bool) -> bool:
    """Let it take mail, or no more; False if there is none."""
    return conn.execute(_SET_ACTIVE, {"of": id, "now_active": active}).rowcount == 1


def rewrap(conn: Connection, id: str, wrapped: bytes, was: bytes) -> bool:
    """The key under another password, unless somebody was quicker. No mail is touched."""
    return conn.execute(_REWRAP, {"of": id, "new": wrapped, "was": was}).rowcount == 1


def remove_some(conn: Connection, id: str, most: int) -> int:
    """Remove the oldest mails of a mailbox; how many. So that no transaction is as long as the mailbox is full."""
    ids = conn.scalars(_SOME, {"of": id, "most": most}).all()
    return _end(conn, id, ids)


def remove(conn: Connection, id: str) -> bool:
    """Remove a suspended mailbox and all that is in it; False if there is none."""
    return conn.execute(_REMOVE, {"of": id}).rowcount == 1


# --- mails ------------------------------------------------------------------------------------------------------------


def deposit(conn: Connection, deposits: Sequence[Deposit]) -> None:
    """Keep mails; a step of the transaction that ends their way through the queue."""
    if deposits:
        conn.execute(_PUT_MAIL, [_mail(each) for each in deposits])
        conn.execute(_PUT_PARTS, [part for each in deposits for part in _parts(each)])


def contents(conn: Connection, mailbox: str) -> list[Kept]:
    """What is in a mailbox, in the order of arrival."""
    return [Kept(*row) for row in conn.execute(_CONTENTS, {"of": mailbox})]


def sealed_key(conn: Connection, mail: str) -> bytes | None:
    """The sealed key of a mail, None if it is gone."""
    return conn.scalar(_KEY, {"of": mail})


def short_mails(conn: Connection, mails: Sequence[str]) -> dict[str, tuple[bytes, bytes]]:
    """The sealed keys and first parts of several mails at once; those that are gone are left out."""
    return {mail: (key, part) for mail, key, part in conn.execute(_SHORT, {"ids": mails})}


def part(conn: Connection, mail: str, number: int) -> bytes | None:
    """One sealed part of a mail."""
    return conn.scalar(_PART, {"of": mail, "number": number})


def remove_mails(conn: Connection, mailbox: str, token: str, mails: Sequence[str]) -> int:
    """Remove mails, all or none, if the mailbox is still held by this token; raises LostClaim. How many there were."""
    if conn.scalar(_HOLDER, {"of": mailbox}) != token:
        raise LostClaim("Another session has opened this mailbox in the meantime; nothing was deleted.")
    return _end(conn, mailbox, mails)


# --- one session at a time --------------------------------------------------------------------------------------------


def open_lease(conn: Connection, mailbox: str, token: str, session: int, now: float | None = None) -> bool:
    """Hold the mailbox for the POP3 session ``token`` of a node's session; False if somebody alive holds it."""
    if conn.scalar(_LOCK, {"of": mailbox}) is None:  # the lock makes the next statement see who was quicker
        return False
    new = insert_into(conn, _lease).values(mailbox=mailbox, session=session, token=token, taken=moment())
    taken = {name: new.excluded[name] for name in ("session", "token", "taken")}
    unless_alive = new.on_conflict_do_update(
        index_elements=[_lease.c.mailbox], set_=taken, where=~alive(_lease.c.session)
    )
    return conn.scalar(unless_alive.returning(_lease.c.token), {"now": now}) is not None


def close_lease(conn: Connection, mailbox: str, token: str) -> None:
    """Give the mailbox back."""
    conn.execute(_GIVE_BACK, {"of": mailbox, "by": token})


def is_open(conn: Connection, mailbox: str, now: float | None = None) -> bool:
    """Whether somebody alive holds it."""
    return conn.scalar(_IS_OPEN, {"of": mailbox, "now": now}) is not None


def _end(conn: Connection, mailbox: str, mails: Sequence[str]) -> int:
    """Their parts go with them, by the foreign key."""
    slices = (mails[at : at + SLICE] for at in range(0, len(mails), SLICE))
    return sum(conn.execute(_END_MAILS, {"whose": mailbox, "ids": ids}).rowcount for ids in slices)


def _mail(mail: Deposit) -> dict[str, object]:
    return {
        "id": mail.id,
        "mailbox": mail.mailbox,
        "size": mail.size,
        "parts": len(mail.parts),
        "key": mail.key,
        "received": mail.received,
    }


def _parts(mail: Deposit) -> list[dict[str, object]]:
    return [{"mail": mail.id, "part": number, "bytes": part} for number, part in enumerate(mail.parts)]
