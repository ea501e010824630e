"""Seals a finished mail for the queue: a small one at once, a larger one in a thread, a large one into its file.

A small one is sealed when it is known that the queue will have it: many have gone before (``first_tries``). The
transaction that names a large body does not wait for it, and who waits behind that transaction does not either; nor is
a large mail in memory a second time, sealed. What is filed and then not named has to be removed (``unfile``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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
    from securegw.store.queue import Entry, Treated
    from securegw.workers.work import Work

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


async def with_bodies(
    treated: Treated, raws: Sequence[bytes], master: MasterKey, database: Database, workers: Work
) -> Treated:
    """The step with its entries, whose bytes these are, as the store takes them: sealed, and large ones in their files.

    Its transaction would write a large one otherwise, and others would wait.
    """
    pairs = zip(treated.entries, raws, strict=True)
    entries = [await _with_body(entry, raw, master, database, workers) for entry, raw in pairs]
    return attrs.evolve(treated, entries=tuple(entries)) if entries else treated


async def _with_body(entry: Entry, raw: bytes, master: MasterKey, database: Database, workers: Work) -> Entry:
    body, bodies = entry.body, database.bodies
    if not body:
        body = await sealed(entry.id, raw, master, bodies, workers)
        entry = attrs.evolve(entry, body=body)
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
