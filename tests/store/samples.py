"""Mails and sessions for the tests of the store."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, func, insert, select

from securegw.ids import new_id
from securegw.store import queue, schema, sessions
from securegw.store.database import Database
from securegw.store.queue import Entry, Item, Progress, Recipient

NOW = 1_700_000_000.0
ANN, BOB, CAT = "ann@inside.test", "bob@outside.test", "cat@outside.test"


def entry(*recipients: str, body: tuple[bytes, ...] = (b"sealed",), **changed: Any) -> Entry:
    """A mail of Ann."""
    values: dict[str, Any] = {
        "id": new_id(),
        "kind": "accepted",
        "trace": "trace-1",
        "sender": ANN,
        "recipients": tuple(Recipient(address) for address in recipients or (BOB,)),
        "source": {"door": "smtp", "inside": True},
        "size": 123,
        "received": NOW,
        "body": body,
    }
    return Entry(**values | changed)


def put(database: Database, *entries: Entry) -> tuple[Entry, ...]:
    for one in [database.write_many(queue.put, entry) for entry in entries]:
        one.result()
    return entries


def node(database: Database, name: str = "one", now: float | None = NOW, seconds: float = 15.0) -> int:
    return database.write(sessions.open_session, name, now, seconds).result()


def claim(database: Database, session: int, limit: int = 20, now: float | None = NOW, **wish: Any) -> list[Item]:
    return database.write(queue.claim, queue.Claim(session, limit, now, **wish)).result()


def claimed(database: Database, *recipients: str, **changed: Any) -> tuple[Item, int]:
    """One mail in the queue and the session that has just claimed it."""
    put(database, entry(*recipients, **changed))
    session = node(database)
    [item] = claim(database, session)
    return item, session


def rows(database: Database, table: Any) -> int:
    """How many there are."""
    return database.read(lambda connection: connection.scalar(select(func.count()).select_from(table)) or 0).result()


def tenant(database: Database, id: int = 2) -> int:
    """A second organisation in the house."""

    def add(connection: Connection) -> None:
        connection.execute(insert(schema.tenant), {"id": id, "name": f"tenant {id}"})

    database.write(add).result()
    return id


def progress(item: Item, session: int, *news: Recipient, **more: Any) -> Progress:
    """A delivery of this item has been tried."""
    return Progress(id=item.id, session=session, before=item.recipients, news=news, now=NOW, **more)
