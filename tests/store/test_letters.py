from __future__ import annotations

from securegw.store import letters, people, schema
from securegw.store.database import Database
from securegw.store.letters import Letter
from securegw.store.people import Account
from tests.store.samples import NOW, tenant

BOB = Account(id="b" * 32, address="bob@outside.test", public=b"p", wrapped=b"w", created=NOW)


def letter(database: Database, number: int = 1, created: float = NOW) -> Letter:
    written = Letter(f"{number:032x}", BOB.id, "ann@inside.test", "<1@inside.test>", created)
    database.write(letters.add, written).result()
    return written


def test_a_letter_is_noted_without_what_it_says(database: Database) -> None:
    database.write(people.add_account, BOB).result()
    written = letter(database)
    assert database.read(letters.get, written.id).result() == written
    assert database.read(letters.get, "0" * 32).result() is None
    assert {"subject", "body", "content", "text"}.isdisjoint(schema.letter.columns.keys())


def test_only_the_first_reading_is_noted(database: Database) -> None:
    database.write(people.add_account, BOB).result()
    written = letter(database)
    assert database.write(letters.opened, written.id, NOW + 1).result() is True
    assert database.write(letters.opened, written.id, NOW + 2).result() is False
    found = database.read(letters.get, written.id).result()
    assert found is not None
    assert found.first_read == NOW + 1


def test_a_letter_is_revoked_once(database: Database) -> None:
    database.write(people.add_account, BOB).result()
    written = letter(database)
    assert database.write(letters.revoke, written.id, NOW + 1).result() is True
    assert database.write(letters.revoke, written.id, NOW + 2).result() is False


def test_letters_of_an_account_newest_first(database: Database) -> None:
    database.write(people.add_account, BOB).result()
    first, second = letter(database, 1), letter(database, 2, NOW + 1)
    assert database.read(letters.list_letters, BOB.id).result() == [second, first]
    assert database.read(letters.list_letters, BOB.id, limit=1).result() == [second]


def test_letters_are_a_tenants_own(database: Database) -> None:
    other = tenant(database)
    database.write(people.add_account, BOB).result()
    written = letter(database)
    assert database.read(letters.get, written.id, other).result() is None
    assert database.write(letters.opened, written.id, NOW, other).result() is False
    assert database.write(letters.revoke, written.id, NOW, other).result() is False
    assert database.read(letters.list_letters, BOB.id, tenant=other).result() == []
