from __future__ import annotations

from sqlalchemy import select

from securegw.store import recipients, schema
from securegw.store.database import Database
from tests.store.samples import ANN, BOB, CAT, NOW, tenant


def test_who_is_in_the_list_is_known(database: Database) -> None:
    assert database.read(recipients.known, ANN).result() is False
    assert database.write(recipients.add, [ANN, BOB, ANN]).result() == 2
    assert database.write(recipients.add, [BOB, CAT]).result() == 1
    assert database.read(recipients.known, CAT).result() is True
    assert database.read(recipients.count).result() == 3
    assert database.write(recipients.remove, [ANN, "dan@inside.test"]).result() == 1
    assert database.read(recipients.known, ANN).result() is False
    assert database.write(recipients.add, []).result() == 0


def test_who_is_in_the_list_already_stays_as_it_was(database: Database) -> None:
    database.write(recipients.add, [ANN], NOW).result()
    database.write(recipients.add, [ANN], NOW + 1).result()
    created = database.read(lambda conn: conn.scalar(select(schema.recipient.c.created))).result()
    assert created == NOW


def test_the_list_comes_in_pages(database: Database) -> None:
    keys = [f"p{number:03}@inside.test" for number in range(5)]
    database.write(recipients.add, [*keys, "odd%name@inside.test"]).result()
    assert database.read(recipients.list_recipients, "p0", limit=2).result() == keys[:2]
    assert database.read(recipients.list_recipients, "p0", after=keys[1]).result() == keys[2:]
    assert database.read(recipients.list_recipients, "%").result() == ["odd%name@inside.test"]


def test_a_list_is_a_tenants_own(database: Database) -> None:
    other = tenant(database)
    database.write(recipients.add, [ANN], tenant=other).result()
    assert database.read(recipients.known, ANN).result() is False
    assert database.read(recipients.list_recipients).result() == []
    assert database.write(recipients.remove, [ANN]).result() == 0
    assert database.read(recipients.known, ANN, other).result() is True
