from __future__ import annotations

from securegw.store import limits, schema
from securegw.store.database import Database
from securegw.store.limits import Tries
from tests.store.samples import NOW, rows


def test_failures_are_counted_by_name(database: Database) -> None:
    assert database.write(limits.failed, "bob", NOW).result() == Tries(1, NOW)
    assert database.write(limits.failed, "bob", NOW + 1).result() == Tries(2, NOW + 1)
    assert database.write(limits.failed, "eve", NOW + 2).result() == Tries(1, NOW + 2)
    assert database.read(limits.standing, "bob").result() == Tries(2, NOW + 1)
    assert database.read(limits.standing, "cat").result() == Tries()


def test_many_at_once_are_all_counted(database: Database) -> None:
    waiting = [database.write(limits.failed, "bob", NOW) for _ in range(50)]
    assert sorted(future.result().count for future in waiting) == list(range(1, 51))


def test_success_forgets(database: Database) -> None:
    database.write(limits.failed, "bob", NOW).result()
    database.write(limits.clear, "bob").result()
    assert database.read(limits.standing, "bob").result() == Tries()


def test_long_ago_does_not_count(database: Database) -> None:
    database.write(limits.failed, "bob", NOW).result()
    assert database.write(limits.failed, "bob", NOW + 60, 60.0).result().count == 2
    assert database.write(limits.failed, "bob", NOW + 121, 60.0).result().count == 1


def test_the_count_has_an_end(database: Database) -> None:
    from sqlalchemy import update

    database.write(limits.failed, "bob", NOW).result()
    database.write(lambda conn: conn.execute(update(schema.tries).values(count=30_000)) and None).result()
    assert database.write(limits.failed, "bob", NOW).result().count == 30_000


def test_old_counts_are_pruned(database: Database) -> None:
    database.write(limits.failed, "bob", NOW).result()
    database.write(limits.failed, "eve", NOW + 9).result()
    assert database.write(limits.prune, NOW + 9).result() == 1
    assert rows(database, schema.tries) == 1
