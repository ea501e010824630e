"""Seals a finished mail for the queue: a small one at once, a larger one in a thread, a large one into its file.

So the transaction that names a large body does not wait for it, and who waits behind that transaction does not either;
nor is a large mail in memory a second time, sealed. What is filed and then not named has to be removed (``unfile``).
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING

import attrs

from securegw.crypto.seal import PART
from securegw.flow.claims import BODY
from securegw.flow.line import LARGE
from securegw.mail.errors import MailError
from securegw.mail.gathering import steps
from securegw.store import bodies as kept
from securegw.store.bodies import Filed

if TYPE_CHECKING:
    from securegw.crypto.seal import MasterKey
    from securegw.store.bodies import Bodies, Body
    from securegw.store.database import Database
    from securegw.store.queue import Entry
    from securegw.workers import Work

INLINE = 64 << 10


async def sealed(identity: str, raw: bytes, master: MasterKey, bodies: Bodies, workers: Work) -> Body:
    """The body of an item."""
    if len(raw) <= INLINE:
        return seal(identity, raw, master, bodies)
    return await workers.thread(seal, identity, raw, master, bodies)


def seal(identity: str, raw: bytes, master: MasterKey, bodies: Bodies) -> Body:
    """The same, for who is in a thread."""
    if len(raw) <= LARGE or not bodies.are_files:
        return tuple(master.seal_parts(BODY, identity, raw))
    flow, file = master.flow(BODY, identity), bodies.begin(identity)
    try:
        left = len(raw)
        for part in steps(raw, PART):
            left -= len(part)
            file.add(flow.next(part, last=not left))
        return file.end(flow.top(b""))
    except BaseException:
        file.drop()
        raise


async def filed(entry: Entry, database: Database, workers: Work) -> Entry:
    """The entry with a large body in its file; its transaction would write it otherwise, and others would wait."""
    body, bodies = entry.body, database.bodies
    if isinstance(body, Filed) or len(body) < 2 or not bodies.are_files:
        return entry
    await workers.disk(bodies.write, entry.id, body)
    return attrs.evolve(entry, body=Filed(b""))


async def unfile(entries: Iterable[Entry], database: Database, workers: Work) -> None:
    """Their transaction has failed: the files go, unless the database says that it knows them after all."""
    filed = [entry.id for entry in entries if isinstance(entry.body, Filed)]
    if filed:
        with suppress(MailError):  # then they are swept at the next start
            await workers.settle(database.write(kept.drop_unknown, filed))
