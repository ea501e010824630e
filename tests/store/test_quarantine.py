from __future__ import annotations

from typing import Any

from securegw.ids import new_id
from securegw.store import census, desk, events, quarantine, settings
from securegw.store.database import Database
from securegw.store.items import Chosen
from securegw.store.quarantine import Digest, Kept, Verdict
from tests.store.samples import NOW, claim, entry, node, put, tenant

A, B, C = "a" * 16, "b" * 16, "c" * 16


def fill(database: Database, **changed: Any) -> None:
    put(database, *(entry(id=id, state="held", **changed) for id in (A, B, C)))
    rows = [Kept(A, NOW, "one"), Kept(B, NOW + 1, "one"), Kept(C, NOW + 2, "two")]
    database.write(quarantine.keep, rows).result()


def ids(database: Database, **asked: Any) -> list[str]:
    return [item.id for _, item in database.read(quarantine.list_kept, **asked).result()]


def digest(*kept: str, at: float = NOW, every: float = 60.0) -> Digest:
    return Digest(kept, (entry(id=new_id(), kind="ready"),), events.Event(time=at, kind="told"), every)


def test_listed_in_pages_by_age_and_by_who_was_told(database: Database) -> None:
    fill(database)
    assert ids(database) == [A, B, C]
    assert ids(database, limit=2) == [A, B]
    assert ids(database, after=(NOW + 1, B)) == [C]
    assert ids(database, before=NOW + 1) == [A]
    assert ids(database, untold=True) == [A, B, C]
    row, item = database.read(quarantine.get, C).result() or (None, None)
    assert (row, item and item.recipients) == (Kept(C, NOW + 2, "two"), entry().recipients)
    assert database.read(quarantine.get, "d" * 16).result() is None
    assert database.read(quarantine.which, [A, "d" * 16]).result() == {A}
    assert database.read(census.take, NOW).result().quarantined == 3


def test_another_organisation_sees_nothing(database: Database) -> None:
    fill(database)
    other = tenant(database)
    assert ids(database, tenant=other) == []
    assert database.read(quarantine.get, A, other).result() is None
    assert database.write(quarantine.end, Verdict((A,), "released", NOW, other)).result() == 0
    assert database.read(quarantine.count, other).result() == 0
    assert database.read(quarantine.count, 1).result() == 3


def test_ended_once_with_its_fate(database: Database) -> None:
    fill(database)
    verdict = Verdict((A, B), "released", NOW + 100)
    assert database.write(quarantine.end, verdict).result() == 2
    assert database.write(quarantine.end, verdict).result() == 0
    assert ids(database) == [C]
    found = claim(database, node(database, now=NOW + 100), now=NOW + 100)
    assert {item.id: item.source["quarantine"] for item in found} == {A: "released", B: "released"}
    assert {item.received for item in found} == {NOW + 100}
    assert found[0].source["inside"] is True


def test_what_the_desk_does_ends_it_too(database: Database) -> None:
    fill(database)
    database.write(desk.delete_items, Chosen((A,))).result()
    database.write(desk.unhold, Chosen((B,))).result()
    assert ids(database) == [C]
    assert database.read(quarantine.which, [A, B]).result() == set()


def test_told_once_in_a_period(database: Database) -> None:
    fill(database)
    assert database.read(quarantine.last_told).result() == 0.0
    assert database.write(quarantine.tell, digest(A, B)).result()
    assert ids(database, untold=True) == [C]
    assert not database.write(quarantine.tell, digest(C, at=NOW + 59)).result()
    assert ids(database, untold=True) == [C]
    assert database.write(quarantine.tell, digest(C, at=NOW + 60)).result()
    assert ids(database, untold=True) == []
    assert database.read(quarantine.last_told).result() == NOW + 60
    assert len(database.read(events.find, kind="told").result()) == 2
    assert database.read(desk.counts).result().ready == 2


def test_a_clock_that_was_put_back_does_not_silence(database: Database) -> None:
    database.write(settings.put, "quarantine-told", NOW + 10 * 365 * 86400.0).result()
    assert database.write(quarantine.tell, digest()).result()
