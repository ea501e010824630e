"""Fills a gateway's queue without its door: many mails at once, by the store's own ``put``, sealed as the intake does.

Not for tests of the intake. What a drill or a bench wants to find in the queue is there in a moment.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from itertools import islice

from securegw.crypto.seal import MasterKey, load_master_key
from securegw.flow.claims import BODY
from securegw.ids import new_id
from securegw.store import queue
from securegw.store.database import Database, place
from securegw.store.queue import Entry, Recipient
from tests.support.load import Drill
from tests.support.running import Gateway

AT_ONCE = 500


def fill(gateway: Gateway, drills: Iterable[Drill], *, next_try: float = 0.0) -> None:
    """Put the drills into the queue as just accepted, free for whoever claims them, not before ``next_try``."""
    settings = gateway.settings()
    master = load_master_key(settings.gateway.master_key)
    database = Database(place(settings.database.url, settings.gateway.directory), inline=True)
    try:
        waiting = iter(drills)
        while some := list(islice(waiting, AT_ONCE)):
            database.write(queue.put, list(entries(some, master, next_try))).result()
    finally:
        database.close()


def entries(drills: Iterable[Drill], master: MasterKey, next_try: float) -> Iterator[Entry]:
    for drill in drills:
        id = new_id()
        yield Entry(
            id=id,
            kind="accepted",
            trace=new_id(),
            sender=drill.sender,
            recipients=tuple(map(Recipient, drill.recipients)),
            source={"door": "smtp", "address": "127.0.0.1", "port": 25, "helo": "load.test", "inside": True},
            size=len(drill.raw),
            received=time.time(),
            body=tuple(master.seal_parts(BODY, id, drill.raw)),
            message_id=f"<{drill.id}@load.test>",
            next_try=next_try,
        )
