"""This process's share of the queue: what it has claimed, and how much of it is under way.

An item is claimed under the process's session with the store (nodes: any process that shares the database may take
what a dead session held). A mail that has just come in is born claimed, so that it goes on from memory without a
second reading.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Coroutine
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import attrs
import txaio
from twisted.internet.defer import Deferred, TimeoutError

from securegw import counters
from securegw.flow.gate import Gate
from securegw.flow.line import HEAVY, LARGE, LIGHT, UNDER_WAY, Held, Line, Worker
from securegw.flow.stored import look_through
from securegw.going import set_going
from securegw.mail.errors import DiskFull, LostClaim, MailError, StoreBusy, WorkerLost
from securegw.store import queue, sessions
from securegw.store.bodies import FiledParts
from securegw.store.troubles import AlreadyThere

if TYPE_CHECKING:
    from securegw.crypto.seal import MasterKey
    from securegw.store.database import Database
    from securegw.store.queue import Item
    from securegw.workers.work import Work

log = txaio.make_logger()

BODY = "queue-body"
LEASE = 15.0
RENEW = 3.0
POLL = 1.0
BATCH = 20
IN_MEMORY = 64 << 20
LARGE_WAITING = 200  # nothing of them is held; if they counted as small ones do, small ones would wait behind them

PAUSE = 60.0
SHORT = ((AlreadyThere, 0.0), (StoreBusy, 3.0), (DiskFull, 3.0))  # nothing is wrong with the mail or its neighbours
PATIENCE = 8.0  # how long a gateway that is told to go waits for its deliveries
EVERYBODY = 1e18  # a time at which every session is dead
POISON = 3

PARKED = counters.declare("securegw_parked", "Mails parked: three times they harmed a worker or were not understood.")


class Claims:
    """Claims items, holds their bodies in memory within bounds, and has each worked on once.

    ``gate`` bounds what work on large mails takes; what is held of small ones is counted here.
    """

    def __init__(
        self,
        database: Database,
        workers: Work,
        master: MasterKey,
        reactor: Any,
        node: str,
        gate: Gate | None = None,
    ) -> None:
        self.database = database
        self.workers = workers
        self.master = master
        self.reactor = reactor
        self.node = node
        self.gate = gate or Gate(IN_MEMORY)
        self.session: int | None = None
        self.renewed: float | None = None  # when the store last took something from us
        self.confirmed: float | None = None  # when it last said that our session holds what it holds
        self.lines: dict[str, Line] = {}
        self.held = 0
        self.stopping = False
        self.hands: Counter[str] = Counter()  # what we know that we hold; treated and delivered it may be held twice
        self.strays: set[str] = set()
        self.owed: dict[str, queue.Failed | queue.Progress] = {}
        self.idle: list[Deferred[None]] = []

    def work(self, kind: str, worker: Worker, most: int = UNDER_WAY, *, in_parts: bool = False) -> None:
        """Name the worker for a kind of item; ``in_parts`` if it takes large ones as Stored, where they are files."""
        in_parts = in_parts and self.database.bodies.are_files
        self.lines[kind] = Line(worker, most, LIGHT if kind == "ready" else HEAVY, in_parts)

    async def open(self) -> None:
        """Begin: from here on this process may claim. What dead processes held becomes free."""
        now = self.reactor.seconds()
        await self.workers.settle(self.database.write(sessions.reap, EVERYBODY if self.database.alone else now))
        self.session = await self.workers.settle(self.database.write(sessions.open_session, self.node, now, LEASE))
        self.renewed = self.confirmed = now

    async def renew(self) -> None:
        """Say that this process is alive; one that was taken for dead has lost its claims and begins anew."""
        if self.session is None or self.stopping:
            return
        now = self.reactor.seconds()
        alive = await self.workers.settle(self.database.write(sessions.renew, self.session, now, LEASE))
        self.renewed = now
        if alive:
            self.confirmed = now
        else:
            log.warn("this node was taken for dead; its claims are lost")
            self._forget_waiting()
            await self.open()
        await self._pay()
        await self._free_strays()

    async def _free_strays(self) -> None:
        """Free what the store holds for us and we do not know of.

        A commit whose answer never came was told as a failure, and yet it may have been one: then there are items born
        claimed by us in nobody's hands. What was committed this moment only looks so; it is not there the next time.
        """
        held = await self.workers.settle(self.database.read(queue.held, self.session or 0))
        strays = held - self.hands.keys() - self.owed.keys()
        lost, self.strays = strays & self.strays, strays - self.strays
        if lost:
            log.warn("{count} items of an unknown commit go on", count=len(lost))
            await self.workers.settle(self.database.write(queue.release, self.session or 0, lost))

    def is_sure_of(self, item: Item) -> bool:
        """Whether nobody else can have taken it: the store has heard from the session that holds it a moment ago."""
        if item.session != self.session or self.confirmed is None:
            return False
        return bool(self.reactor.seconds() - self.confirmed < LEASE / 2)

    def _forget_waiting(self) -> None:
        """What has not been begun is left to whoever claims it next."""
        for line in self.lines.values():
            for item in (*(item for item, _ in line.waiting), *line.large):
                self._let_go(item)
            self.held -= line.forget()

    def _let_go(self, item: Item) -> None:
        self.hands[item.id] -= 1
        if not self.hands[item.id]:
            del self.hands[item.id]

    async def close(self) -> None:
        """Finish what is under way, hand the rest back."""
        self.stopping = True
        self._forget_waiting()
        if any(line.is_busy for line in self.lines.values()):
            waiter: Deferred[None] = Deferred()
            self.idle.append(waiter)
            waiter.addTimeout(PATIENCE, self.reactor)
            with suppress(TimeoutError):  # a neighbour hangs: what it may have taken already is sent again
                await waiter
        if self.session is not None:
            for owed in tuple(self.owed.values()):  # asked before the end of the session, and waited for with it
                Deferred.fromCoroutine(self._note(owed)).addErrback(_log_failure)
            await self.workers.settle(self.database.write(sessions.close_session, self.session))
            self.session = None

    def birth(self, size: int) -> int | None:
        """The session under which a new item is born; None where it is large or memory is full: the store keeps it."""
        full = size > LARGE or self.held + size > IN_MEMORY or self.stopping
        return None if full else self.session

    def take(self, item: Item, raw: Held | None = None) -> None:
        """Take an item that is claimed by this session, with its body if it is in memory."""
        if self.stopping:
            return
        self.held += item.size if raw is not None and item.size <= LARGE else 0
        self.hands[item.id] += 1
        self.lines[item.kind].add(item, raw)
        self._go(self.lines[item.kind])

    async def poll(self) -> None:
        """Claim what waits in the store, as much as there is room for."""
        if self.session is None or self.stopping or self._is_busy():
            return
        claim = queue.Claim(self.session, BATCH, self.reactor.seconds())
        found = await self.workers.settle(self.database.write(queue.claim, claim))
        for item in found:
            self.take(item)
        if len(found) == BATCH:
            self.reactor.callLater(0, self._poll_again)

    def _poll_again(self) -> None:
        Deferred.fromCoroutine(self.poll()).addErrback(_log_failure)

    def _is_busy(self) -> bool:
        waiting = sum(len(line.waiting) for line in self.lines.values())
        large = sum(len(line.large) for line in self.lines.values())
        return self.held > IN_MEMORY // 2 or waiting > BATCH or large > LARGE_WAITING

    def _go(self, line: Line) -> None:
        while (found := line.next()) is not None:
            item, raw = found
            set_going(self._see_through(line, item, raw))
        if line.large and (large := line.next_large()) is not None:
            set_going(self._see_large_through(line, large))

    async def _see_large_through(self, line: Line, item: Item) -> None:
        if line.in_parts:
            await self._begin_large(line, item)
        else:
            async with self.gate.room(line.weight * item.size):
                await self._begin_large(line, item)

    async def _begin_large(self, line: Line, item: Item) -> None:
        admitted = line.admitted(item)
        self._go(line)
        if admitted:
            await self._see_through(line, item, None)

    def adopt(self, item: Item, raw: bytes, going: Coroutine[Any, Any, None]) -> None:
        """Work on an item of this session that goes on already: it counts from here on as its line's."""
        line = self.lines[item.kind]
        line.under_way += 1
        self.held += item.size
        self.hands[item.id] += 1
        set_going(self._see_through(line, item, raw, going))

    async def _see_through(
        self, line: Line, item: Item, raw: Held | None, going: Coroutine[Any, Any, None] | None = None
    ) -> None:
        try:
            await self._work(line, item, raw, going)
        except Exception:
            log.failure("work on the queue failed: {log_failure.value}")
        finally:
            self._ended(line, item)

    async def _work(self, line: Line, item: Item, raw: Held | None, going: Coroutine[Any, Any, None] | None) -> None:
        small = item.size if item.size <= LARGE else 0
        self.held += small if raw is None else 0
        try:
            if going is not None:
                await going
            elif line.in_parts and item.size > LARGE:
                await self._work_in_parts(line, item)
            else:
                await line.work(item, raw if raw is not None else await self.body(item))
        except LostClaim:
            log.warn("item {item} was taken over by another process", item=item.id)
        except Exception as error:
            detail = error.detail if isinstance(error, MailError) else repr(error)
            log.error("item {item} is put back: {detail}", item=item.id, detail=detail)
            await self._put_back(item, error)
            if not isinstance(error, MailError):
                raise
        finally:
            self.held -= small

    async def _put_back(self, item: Item, error: Exception) -> None:
        """Try again in a while; what harms the workers or is not understood is parked at the third time.

        Where another mail was quicker to make the same account, nothing is wrong: at once again.
        """
        now = self.reactor.seconds()
        park = item.tries + 1 >= POISON and is_poison(error)
        pause = next((short for kind, short in SHORT if isinstance(error, kind)), PAUSE * (item.tries + 1))
        failed = queue.Failed(
            id=item.id,
            session=item.session or 0,
            note=(str(error) or repr(error))[:500],
            next_try=None if park else now + pause,
        )
        if park:
            PARKED.inc()
            log.error("item {item} of mail {trace} is parked: {why}", item=item.id, trace=item.trace, why=failed.note)
        await self._note(failed)

    async def conclude(self, progress: queue.Progress) -> bool:
        """Have the store know what came of a delivery; False if it cannot take it now.

        Then it is owed, and the item stays ours: given back, its mail would be sent once more (REL3).
        """
        try:
            await self.workers.settle(self.database.write_many(queue.delivered_many, progress))
        except (StoreBusy, DiskFull) as error:
            log.warn("what came of item {item} is noted later: {why}", item=progress.row, why=error.detail)
            self.owed[progress.row] = progress
            return False
        return True

    async def _pay(self) -> None:
        """Note what is owed, unless the store is still ill. What it will never take becomes a stray, and goes on so."""
        for owed in tuple(self.owed.values()):
            try:
                await self._note(owed)
            except (StoreBusy, DiskFull):
                raise
            except Exception:
                log.failure("what came of item {item} cannot be noted: {log_failure.value}", item=owed.row)
                del self.owed[owed.row]

    async def _note(self, owed: queue.Failed | queue.Progress) -> None:
        """Have the store know; where the store itself is in trouble this is owed until it is well again."""
        self.owed[owed.row] = owed = attrs.evolve(owed, now=self.reactor.seconds())
        with suppress(LostClaim):
            if isinstance(owed, queue.Progress):
                await self.workers.settle(self.database.write(queue.delivered, owed))
            else:
                await self.workers.settle(self.database.write(queue.failed_treatment, owed))
        del self.owed[owed.row]

    async def body(self, item: Item) -> bytes:
        """Read and open an item's body."""
        parts = await self.workers.settle(self.database.read(queue.open_body, item.id))
        where = self.workers.disk if item.size > LARGE else self.workers.thread
        return await where(self.master.open_parts, BODY, item.id, parts)

    async def _work_in_parts(self, line: Line, item: Item) -> None:
        parts = await self.workers.settle(self.database.read(queue.open_body, item.id))
        try:
            each = partial(self.master.open_each, BODY, item.id, parts)
            await line.work(item, await self.workers.disk(look_through, each, self.workers))
        finally:
            if isinstance(parts, FiledParts):
                parts.close()

    def _ended(self, line: Line, item: Item) -> None:
        line.ended(item)
        self._let_go(item)
        if not self.stopping:
            self._go(line)
        elif not any(other.is_busy for other in self.lines.values()):
            idle, self.idle = self.idle, []
            for waiter in idle:
                if not waiter.called:
                    waiter.callback(None)


def is_poison(error: Exception) -> bool:
    """Whether the mail itself is to blame, not a neighbour: then it may not be tried for ever."""
    return not isinstance(error, MailError) or isinstance(error, WorkerLost) or not error.temporary


def _log_failure(failure: Any) -> None:
    log.failure("work on the queue failed: {log_failure.value}", failure=failure)
