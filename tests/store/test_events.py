from __future__ import annotations

from securegw.store import events, schema
from securegw.store.database import Database
from securegw.store.events import Event
from tests.store.samples import NOW, rows, tenant


def test_an_event_comes_back_as_it_was(database: Database) -> None:
    told = Event(
        time=NOW, kind="decision", actor="gateway", trace="t1", item="i1", message_id="<1@x>", address="bob@x.test",
        detail={"rule": "größe", "list": [1, None]},
    )  # fmt: skip
    database.write(events.record, told).result()
    for asked in ("trace", "item", "message_id", "address", "kind"):
        assert database.read(events.find, **{asked: getattr(told, asked)}).result() == [told]
        assert database.read(events.find, **{asked: "other"}).result() == []


def test_all_that_is_asked_must_fit(database: Database) -> None:
    one, two = Event(time=NOW, kind="a", trace="t"), Event(time=NOW, kind="b", trace="t")
    for future in [database.write_many(events.record_many, told) for told in (one, two)]:
        future.result()
    assert database.read(events.find, trace="t").result() == [one, two]
    assert database.read(events.find, trace="t", kind="b").result() == [two]


def test_the_newest_are_found_in_the_order_they_came(database: Database) -> None:
    told = [Event(time=NOW + number, kind="k") for number in range(5)]
    database.write(events.record_many, told).result()
    assert database.read(events.find, limit=2).result() == told[3:]
    assert database.read(events.find, since=NOW + 4).result() == told[4:]


def test_an_address_is_found_in_any_case(database: Database) -> None:
    database.write(events.record, Event(time=NOW, kind="k", address="Bob@X.test")).result()
    assert len(database.read(events.find, address="bOB@x.test").result()) == 1


def test_old_events_are_forgotten(database: Database) -> None:
    database.write(events.record_many, [Event(time=NOW + number, kind="k") for number in range(3)]).result()
    assert database.write(events.prune, NOW + 2).result() == 2
    assert rows(database, schema.event) == 1


def test_events_are_a_tenants_own(database: Database) -> None:
    other = tenant(database)
    database.write(events.record, Event(time=NOW, kind="k", trace="t", tenant=other)).result()
    assert database.read(events.find, trace="t").result() == []
    assert len(database.read(events.find, trace="t", tenant=other).result()) == 1
