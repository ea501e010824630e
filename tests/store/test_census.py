"""The census on both databases."""

from __future__ import annotations

from typing import Any

import attrs

from securegw.store import census, events, keystore, limits, people, queue
from securegw.store.census import LATELY, Census
from securegw.store.database import Database
from securegw.store.events import Event
from securegw.store.items import Counts
from tests.store.samples import ANN, NOW, claim, entry, node, put

DAY = 86400.0


def take(database: Database, now: float = NOW) -> Census:
    return database.read(census.take, now).result()


def held(address: str, print: str, days: float, **changed: Any) -> keystore.Held:
    values: dict[str, Any] = {
        "address": address, "der": b"der", "fingerprint": print, "source": "imported", "trust": "trusted",
        "private": b"sealed", "not_before": NOW, "not_after": NOW + days * DAY, "created": NOW,
    }  # fmt: skip
    return keystore.Held(**values | changed)


def add(database: Database, *rows: keystore.Held) -> None:
    for row in rows:
        database.write(keystore.add, row).result()


def test_an_empty_house(database: Database) -> None:
    assert take(database) == Census(counts=Counts())


def test_the_oldest_of_each_kind(database: Database) -> None:
    put(
        database,
        entry(received=NOW - 50),
        entry(received=NOW - 60, state="held"),
        entry(kind="ready", received=NOW - 70),
        entry(kind="ready", received=NOW - 80),
        entry(kind="ready", received=NOW - 90, state="parked"),
    )
    found = take(database)
    assert (found.untreated, found.undelivered) == (NOW - 50, NOW - 80)
    assert (found.counts.accepted, found.counts.ready, found.counts.held, found.counts.parked) == (1, 2, 1, 1)


def test_where_most_deferred_mails_want_to_go(database: Database) -> None:
    slow = [entry("a@Slow.test", "b@slow.test", "c@other.test", kind="ready") for _ in range(3)]
    other = [entry("d@other.test", kind="ready") for _ in range(2)]
    put(database, *slow, *other, entry("e@fresh.test", kind="ready"))
    session = node(database)
    for item in claim(database, session):
        if "fresh" in item.recipients[0].address:
            continue
        done = tuple(attrs.evolve(one, state="done") for one in item.recipients if one.address.startswith("c@"))
        step = queue.Progress(
            id=item.id, session=session, before=item.recipients, news=done, next_try=NOW + 60, now=NOW
        )
        database.write(queue.delivered, step).result()
    found = take(database)
    assert (found.destination, found.deferred) == ("slow.test", 3)  # mails, not recipients
    assert found.counts.deferred == 5


def test_whose_key_ends_first(database: Database) -> None:
    for address in (ANN, "ben@inside.test", "eve@inside.test"):
        database.write(people.add_user, people.User(address=address, created=NOW)).result()
    add(
        database,
        held(ANN, "old", 1),
        held(ANN, "new", 90),
        held("ben@inside.test", "ben", 50),
        held("eve@inside.test", "eve", 2, source="issued"),
        held("partner@outside.test", "partner", 3, private=None),
        held("gone@inside.test", "gone", 4),
        held("", "authority", 700, source="authority"),
        held("", "root", 1, source="root", private=None),
    )
    found = take(database)
    assert found.ending == ("ben@inside.test", NOW + 50 * DAY)
    assert found.authority == NOW + 700 * DAY


def test_failed_tries_lately(database: Database) -> None:
    for _ in range(3):
        database.write(limits.failed, "login:ann", NOW - 60).result()
    database.write(limits.failed, "login:ben", NOW - LATELY - 1).result()
    assert take(database).failed == 3


def test_the_last_delivery(database: Database) -> None:
    for kind, time in (("delivered", NOW - 30), ("delivered", NOW - 20), ("deferred", NOW - 10)):
        database.write(events.record, Event(time=time, kind=kind)).result()
    assert take(database).delivered == NOW - 20
