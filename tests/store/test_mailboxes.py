"""Mailboxes in the store: what is in them, who has one open, and what is deleted when."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError

from securegw.mail.errors import LostClaim
from securegw.store import mailboxes, schema, sessions
from securegw.store.database import Database
from securegw.store.mailboxes import Amount, Deposit, Kept, Mailbox
from tests.store.samples import NOW, node, rows

BOX = Mailbox(
    id="1" * 32, address="Archive@inside.test", key="archive@inside.test", public=b"p", wrapped=b"w", created=NOW
)
OTHER = Mailbox(id="2" * 32, address="b@inside.test", key="b@inside.test", public=b"q", wrapped=b"x", created=NOW)


@pytest.fixture
def box(database: Database) -> Mailbox:
    database.write(mailboxes.add, BOX).result()
    return BOX


def mail(number: int, mailbox: Mailbox = BOX, parts: tuple[bytes, ...] = (b"part",)) -> Deposit:
    return Deposit(
        id=f"{number:032x}", mailbox=mailbox.id, size=number, key=b"key%d" % number, parts=parts, received=NOW
    )


def keep(database: Database, *mails: Deposit) -> None:
    database.write(mailboxes.deposit, mails).result()


def take(database: Database, token: str, session: int, now: float | None = NOW) -> bool:
    return database.write(mailboxes.open_lease, BOX.id, token, session, now).result()


def contents(database: Database) -> list[Kept]:
    return database.read(mailboxes.contents, BOX.id).result()


def delete(database: Database, token: str, *numbers: int) -> Any:
    return database.write(mailboxes.remove_mails, BOX.id, token, [f"{number:032x}" for number in numbers])


def test_a_mailbox_is_found_by_address_and_by_id(database: Database, box: Mailbox) -> None:
    assert database.read(mailboxes.get, box.key).result() == box
    assert database.read(mailboxes.get, box.id).result() == box
    assert database.read(mailboxes.get, "nobody@inside.test").result() is None
    assert database.read(mailboxes.list_mailboxes).result() == [box]


def test_an_address_has_one_mailbox(database: Database, box: Mailbox) -> None:
    with pytest.raises(IntegrityError):
        database.write(mailboxes.add, Mailbox(**{**_values(OTHER), "key": box.key})).result()


def test_mails_stand_in_the_order_of_arrival(database: Database, box: Mailbox) -> None:
    keep(database, mail(7), mail(3))
    keep(database, mail(5, parts=(b"a", b"b")))
    assert contents(database) == [Kept(f"{n:032x}", n, p) for n, p in ((7, 1), (3, 1), (5, 2))]
    assert database.read(mailboxes.amounts).result() == {box.id: Amount(3, 15)}


def test_short_mails_are_read_together_and_long_ones_part_by_part(database: Database, box: Mailbox) -> None:
    keep(database, mail(1), mail(2, parts=(b"a", b"b")))
    one, two, gone = (f"{number:032x}" for number in (1, 2, 3))
    assert database.read(mailboxes.short_mails, [one, gone]).result() == {one: (b"key1", b"part")}
    assert [database.read(mailboxes.part, two, number).result() for number in range(3)] == [b"a", b"b", None]
    assert database.read(mailboxes.sealed_key, two).result() == b"key2"
    assert database.read(mailboxes.sealed_key, gone).result() is None


def test_one_session_at_a_time(database: Database, box: Mailbox) -> None:
    session = node(database)
    assert take(database, "one", session) is True
    assert take(database, "two", session) is False
    assert database.read(mailboxes.is_open, box.id, NOW).result() is True
    database.write(mailboxes.close_lease, box.id, "two").result()  # not its own
    assert take(database, "two", session) is False
    database.write(mailboxes.close_lease, box.id, "one").result()
    assert database.read(mailboxes.is_open, box.id, NOW).result() is False
    assert take(database, "two", session) is True


def test_a_crash_gives_the_mailbox_back(database: Database, box: Mailbox) -> None:
    dead = node(database, "dead", seconds=15.0)
    assert take(database, "one", dead)
    alive = node(database, "alive", NOW + 14)
    assert take(database, "two", alive, NOW + 14) is False
    assert take(database, "two", alive, NOW + 16) is True


def test_a_closed_node_gives_the_mailbox_back(database: Database, box: Mailbox) -> None:
    first, second = node(database), node(database)
    assert take(database, "one", first)
    database.write(sessions.close_session, first).result()
    assert take(database, "two", second) is True


def test_two_processes_and_one_mailbox(url: str, database: Database, box: Mailbox) -> None:
    other = Database(url)
    try:
        sessions_ = [node(database, "one", None, 60.0), node(other, "two", None, 60.0)]
        asked = [
            process.write(mailboxes.open_lease, box.id, f"{process is other}{number}", session)
            for number in range(5)
            for process, session in zip((database, other), sessions_, strict=True)
        ]
        assert sum(future.result() for future in asked) == 1
    finally:
        other.close()


def test_there_is_no_lease_of_no_mailbox(database: Database) -> None:
    assert take(database, "one", node(database)) is False


def test_mails_are_removed_by_who_holds_the_mailbox(database: Database, box: Mailbox) -> None:
    keep(database, mail(1), mail(2, parts=(b"a", b"b")), mail(3))
    with pytest.raises(LostClaim):
        delete(database, "one", 1).result()
    assert take(database, "one", node(database))
    with pytest.raises(LostClaim):
        delete(database, "two", 1).result()
    assert delete(database, "one", 1, 2, 9).result() == 2
    assert [kept.size for kept in contents(database)] == [3]
    assert rows(database, schema.kept_part) == 1


def test_a_mailbox_is_emptied_of_its_own_mails_only(database: Database, box: Mailbox) -> None:
    database.write(mailboxes.add, OTHER).result()
    keep(database, mail(1), mail(2, OTHER))
    assert take(database, "one", node(database))
    assert delete(database, "one", 1, 2).result() == 1
    assert database.read(mailboxes.amounts).result() == {OTHER.id: Amount(1, 2)}


def test_many_mails_are_removed_in_one_transaction(database: Database, box: Mailbox) -> None:
    keep(database, *(mail(number) for number in range(1, 1203)))
    assert take(database, "one", node(database))
    assert delete(database, "one", *range(1, 1202)).result() == 1201
    assert rows(database, schema.kept_part) == 1


def test_another_password_touches_no_mail(database: Database, box: Mailbox) -> None:
    keep(database, mail(1))
    before = database.read(mailboxes.short_mails, [f"{1:032x}"]).result()
    assert database.write(mailboxes.rewrap, box.id, b"new", b"w").result() is True
    assert database.write(mailboxes.rewrap, box.id, b"newer", b"w").result() is False  # somebody was quicker
    found = database.read(mailboxes.get, box.id).result()
    assert found is not None and (found.wrapped, found.public) == (b"new", b"p")
    assert database.read(mailboxes.short_mails, [f"{1:032x}"]).result() == before


def test_only_a_suspended_mailbox_is_removed(database: Database, box: Mailbox) -> None:
    keep(database, mail(1), mail(2), mail(3))
    assert take(database, "one", node(database))
    assert database.write(mailboxes.remove, box.id).result() is False
    assert database.write(mailboxes.set_active, box.id, False).result() is True
    assert database.write(mailboxes.remove_some, box.id, 2).result() == 2
    assert [kept.size for kept in contents(database)] == [3]
    assert database.write(mailboxes.remove, box.id).result() is True
    assert database.write(mailboxes.set_active, box.id, True).result() is False
    assert [rows(database, table) for table in (schema.mailbox, schema.kept, schema.kept_part, schema.lease)] == [0] * 4


def test_the_number_of_a_removed_mail_does_not_come_back(database: Database, box: Mailbox) -> None:
    """A mail that comes while the last one is removed stands behind it, not in its place."""

    def number() -> int:
        return database.read(lambda conn: conn.execute(schema.kept.select()).one().number).result()

    keep(database, mail(1))
    first = number()
    database.write(mailboxes.remove_some, box.id, 9).result()
    keep(database, mail(2))
    assert number() > first


def _values(mailbox: Mailbox) -> dict[str, Any]:
    return {name: getattr(mailbox, name) for name in Mailbox.__slots__ if name != "__weakref__"}
