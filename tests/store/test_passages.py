from __future__ import annotations

from securegw.store import passages, queue, schema_rules
from securegw.store.database import Database
from securegw.store.items import Treated
from securegw.store.passages import Opened
from tests.store.samples import NOW, claimed, rows, tenant

ANN, OTTO = 11, -12
LARGE = (1 << 63) - 1


def note(database: Database, *opened: Opened) -> None:
    database.write(passages.note, list(opened)).result()


def sources(database: Database, reader: int, *marks: int, whose: int = 1) -> dict[int, frozenset[int]]:
    return dict(database.read(passages.sources, reader, marks, whose).result())


def test_found_by_who_has_read_it(database: Database) -> None:
    note(database, Opened(1, ANN, (5, -6, LARGE, -LARGE - 1), NOW), Opened(2, OTTO, (6,), NOW))
    assert sources(database, ANN, 5, LARGE, -LARGE - 1, 6, 7) == {1: frozenset({5, LARGE, -LARGE - 1})}
    assert sources(database, OTTO, 5, 6) == {2: frozenset({6})}
    assert database.read(passages.has_read, ANN).result()
    assert not database.read(passages.has_read, 99).result()


def test_the_same_mail_for_several_readers_is_one_mail(database: Database) -> None:
    note(database, *(Opened(1, reader, (5, 6), NOW) for reader in range(10)))
    note(database, Opened(1, ANN, (5, 6), NOW + 1))
    assert rows(database, schema_rules.passage) == 2
    assert sources(database, 3, 5, 6) == {1: frozenset({5, 6})}


def test_what_several_mails_have_is_nobodys(database: Database) -> None:
    for source in range(10):
        note(database, Opened(source, ANN, (5, 100 + source), NOW))
    assert sources(database, ANN, 5) == {}
    assert sources(database, ANN, 5, 103) == {3: frozenset({103})}
    assert rows(database, schema_rules.passage) == 10 + passages.COMMON


def test_an_organisation_by_itself(database: Database) -> None:
    other = tenant(database)
    note(database, Opened(1, ANN, (5,), NOW, other))
    assert sources(database, ANN, 5) == {}
    assert sources(database, ANN, 5, whose=other) == {1: frozenset({5})}
    assert not database.read(passages.has_read, ANN).result()


def test_forgotten(database: Database) -> None:
    note(database, Opened(1, ANN, (5, 6), NOW), Opened(2, OTTO, (7,), NOW + 10))
    assert database.write(passages.prune, NOW + 5).result() == 2
    assert sources(database, OTTO, 7) == {2: frozenset({7})}
    assert not database.read(passages.has_read, ANN).result()


def test_noted_in_the_commit_of_the_treatment(database: Database) -> None:
    item, session = claimed(database)
    also = ((passages.note, [Opened(1, ANN, (5,), NOW)]),)
    database.write_many(queue.treated_many, Treated(id=item.id, session=session, also=also, now=NOW)).result()
    assert sources(database, ANN, 5) == {1: frozenset({5})}


def test_many_marks_at_once(database: Database) -> None:
    note(database, *(Opened(source, ANN, tuple(range(source, source + 640)), NOW) for source in range(0, 6400, 640)))
    assert sum(map(len, sources(database, ANN, *range(3200)).values())) == 3200
