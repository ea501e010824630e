"""The writer of an SQLite file in a process of its own: what is run there.

In a thread it would take the interpreter from the reactor and wait for it, some dozen times for each group. Steps and
their arguments cross as values, and so do results and errors. Not for PostgreSQL, whose server is apart already.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any

import attrs

from securegw.store import bodies
from securegw.store.checkpoint import Checkpointer
from securegw.store.database import folder_of_bodies
from securegw.store.deadline import Deadline
from securegw.store.engine import database_url, writing_engine
from securegw.store.fence import Fence
from securegw.store.writer import Request, Writer, for_all

NO_DEADLINE = 0.0  # SQLite needs none


@attrs.define(eq=False)
class _Desk:
    """What this process has opened."""

    writer: Writer
    checkpointer: Checkpointer

    @classmethod
    def open(cls, url: str) -> _Desk:
        parsed = database_url(url)
        kept = bodies.Bodies(folder_of_bodies(parsed))
        engine = writing_engine(parsed, Fence(None), checkpoints=False).execution_options(**{bodies.OPTION: kept})
        checkpointer = Checkpointer(str(parsed.database))
        return cls(Writer(engine, Deadline(NO_DEADLINE), checkpointer), checkpointer)

    def close(self) -> None:
        self.writer.close()
        self.checkpointer.close()


_desks: dict[str, _Desk] = {}


class Outcome(Future[Any]):
    """A future for which nobody waits: it is looked at when all are served, and there is nothing to lock."""

    def __init__(self) -> None:
        self.told: tuple[bool, Any] = False, None

    def set_running_or_notify_cancel(self) -> bool:
        return True

    def set_result(self, result: Any) -> None:
        self.told = True, result

    def set_exception(self, exception: BaseException | None) -> None:
        self.told = False, exception


def write(url: str, asked: Sequence[tuple[Any, ...]]) -> tuple[list[tuple[bool, Any]], BaseException | None]:
    """Run these requests in one transaction (``Request.parcel``), or close the database if there are none.

    For each whether it went well, and its result or error; and an error if nobody could be served, so that who waits
    behind them need not try.
    """
    if not asked:
        if (desk := _desks.pop(url, None)) is not None:
            desk.close()
        return [], None
    if url not in _desks:
        _desks[url] = _Desk.open(url)
    outcomes = [Outcome() for _ in asked]
    parcels = zip(asked, outcomes, strict=True)
    requests = [Request(step, args, named, many, outcome) for (step, args, named, many), outcome in parcels]
    away = _desks[url].writer.serve(requests)
    return [outcome.told for outcome in outcomes], None if away is None else for_all(away)
