"""Statements for many rows: what goes wrong with them is told in the same words by both databases."""

from __future__ import annotations

import pytest
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError

from securegw.store import events, queue, schema
from securegw.store.batch import MOST, Batch
from securegw.store.database import Database
from securegw.store.events import Event
from tests.store.samples import entry


def test_a_row_that_is_there_already_is_refused_and_nobody_of_the_group_is_stored(database: Database) -> None:
    database.write_many(queue.put, entry(id="1")).result()
    with pytest.raises(IntegrityError):
        database.write(queue.put, [entry(id="2"), entry(id="1")]).result()
    assert database.read(lambda conn: conn.scalars(schema.item.select()).all()).result() == ["1"]


def test_a_statement_that_is_none_is_a_mistake_and_no_trouble(database: Database) -> None:
    def nonsense(conn: Connection) -> None:
        Batch((schema.event.c.kind,), "INSERT INTO nothing ({names}) VALUES {rows}").run(conn, [("x",)])

    with pytest.raises((OperationalError, ProgrammingError)) as caught:
        database.write(nonsense).result()
    assert "nothing" in str(caught.value)


def test_more_rows_than_one_call_takes_are_all_counted(database: Database) -> None:
    count = 2 * MOST + 1
    told = [Event(time=float(number), kind="x", trace=str(number)) for number in range(count)]
    database.write(events.record_many, told).result()
    assert len(database.read(events.find, kind="x", limit=count + 1).result()) == count
