"""This process's share of the queue: what it has claimed, and how much of it is under way.

An item is claimed under the process's session with the store (nodes: any process that shares the database may take
what a dead session held). A mail that has just come in is born claimed, so that it goes on from memory without a
second reading.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import attrs
import txaio
from twisted.internet.defer import Deferred, TimeoutError

from securegw import counters
from securegw.flow.gate import Gate
from securegw.flow.stored import look_through
from securegw.mail.errors import DiskFull, LostClaim, MailError, StoreBusy, WorkerLost
from securegw.store import queue, sessions
from securegw.store.bodies import FiledParts
from securegw.store.troubles import AlreadyThere

if TYPE_CHECKING:
    from securegw.crypto.seal import MasterKey
    from securegw.store.database import Database
    from securegw.store.queue import Item
    from securegw.workers import Work

log = txaio.make_logger()

BODY = "queue-body"
LEASE = 15.0
RENEW = 3.0
POLL = 1.0
BATCH = 20
UNDER_WAY = 50
IN_MEMORY = 64 << 20
LARGE = 1 << 20
LARGE_IN_PARTS = 20
LARGE_WAITING = 200  # nothing of them is held; if they counted as small ones do, small ones would wait behind them
HEAVY, LIGHT = 4, 2  # times its size is what a large mail takes in memory while it is treated, and while it is sent

PAUSE = 60.0
SHORT = ((AlreadyThere, 0.0), (StoreBusy, 3.0), (DiskFull, 3.0))  # nothing is wrong with the mail or its neighbours
PATIENCE = 8.0  # how long a gateway that is told to go waits for its deliveries
EVERYBODY = 1e18  # a time at which every session is dead
POISON = 3

PARKED = counters.declare("securegw_parked", "Mails parked: three times they harmed a worker or were not understood.")

Worker = Callable[["Item", Any], Coroutine[Any, Any, None]]  # the mail is bytes, or Stored where it is large
Waiting = tuple["Item", bytes | None]


@attrs.define
class Line:
    """One kind of work: what waits for it and how much is under way.

    Large mails take the gate, ``weight`` times their size each, and nothing of them is held while they wait for it.
    Where work is done part by part (``in_parts``) they pass it by; then a few go at once.
    """

    work: Worker
    most: int = UNDER_WAY
    weight: int = HEAVY
    in_parts: bool = False
    waiting: deque[Waiting] = attrs.field(factory=deque)
    large: deque[Item] = attrs.field(factory=deque)
    under_way: int = 0
    large_under_way: int = 0
    at_the_gate: bool = False

    def add(self, item: Item, raw: bytes | None) -> None:
        if item.size > LARGE:
            self.large.append(item)
        else:
            self.waiting.append((item, raw))

    def next(self) -> Waiting | None:
        """The next small one that may begin now, counted as under way."""
        if self.waiting and self.under_way < self.most:
            self.under_way += 1
            return self.waiting.popleft()
        return None

    def next_large(self) -> Item | None:
        """The next one to go to the gate; one at a time, so that others come between."""
        if not self.large or self.at_the_gate or (self.in_parts and self.large_under_way >= LARGE_IN_PARTS):
            return None
        self.at_the_gate = True
        return self.large[0]

    def admitted(self, item: Item) -> bool:
        """It may begin, if it has not been forgotten meanwhile."""
        self.at_the_gate = False
        if not self.large or self.large[0] is not item:
            return False
        self.large.popleft()
        self.large_under_way += 1
        return True

    def ended(self, item: Item) -> None:
        if item.size > LARGE:
            self.large_under_way -= 1
        else:
            self.under_way -= 1

    @property
    def is_busy(self) -> bool:
        return self.under_way + self.large_under_way > 0

    def forget(self) -> int:
        """What waits is left to whoever claims it next; returns how much memory it held, in bytes."""
        held = sum(item.size for item, raw in self.waiting if raw is not None)
        self.waiting.clear()
        self.large.clear()
        return held


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
        self.lines: dict[str, Line] = {}
        self.held = 0
        self.stopping = False
        self.hands: Counter[str] = Counter()  # what we know that we hold; treated and delivered it may be held twice
        self.strays: set[str] = set()
        self.owed: dict[str, queue.Failed] = {}
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
        self.renewed = now

    async def renew(self) -> None:
        """Say that this process is alive; one that was taken for dead has lost its claims and begins anew."""
        if self.session is None or self.stopping:
            return
        now = self.reactor.seconds()
        alive = await self.workers.settle(self.database.write(sessions.renew, self.session, now, LEASE))
        self.renewed = now
        if not alive:
            log.warn("this node was taken for dead; its claims are lost")
            self._forget_waiting()
            await self.open()
        for failed in tuple(self.owed.values()):
            await self._give_back(attrs.evolve(failed, now=self.reactor.seconds()))
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
            await self.workers.settle(self.database.write(sessions.close_session, self.session))
            self.session = None

    def birth(self, size: int) -> int | None:
        """The session under which a new item is born; None where it is large or memory is full: the store keeps it."""
        full = size > LARGE or self.held + size > IN_MEMORY or self.stopping
        return None if full else self.session

    def take(self, item: Item, raw: bytes | None = None) -> None:
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
            Deferred.fromCoroutine(self._see_through(line, item, raw))
        if line.large and (large := line.next_large()) is not None:
            Deferred.fromCoroutine(self._see_large_through(line, large))

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

    async def _see_through(self, line: Line, item: Item, raw: bytes | None) -> None:
        try:
            await self._work(line, item, raw)
        except Exception:
            log.failure("work on the queue failed: {log_failure.value}")
        finally:
            self._ended(line, item)

    async def _work(self, line: Line, item: Item, raw: bytes | None) -> None:
        small = item.size if item.size <= LARGE else 0
        self.held += small if raw is None else 0
        try:
            if line.in_parts and item.size > LARGE:
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
            now=now,
            next_try=None if park else now + pause,
        )
        if park:
            PARKED.inc()
            log.error("item {item} of mail {trace} is parked: {why}", item=item.id, trace=item.trace, why=failed.note)
        await self._give_back(failed)

    async def _give_back(self, failed: queue.Failed) -> None:
        """Note the failure in the store; where the store itself is in trouble this is owed until it is well again."""
        self.owed[failed.id] = failed
        with suppress(LostClaim):
            await self.workers.settle(self.database.write(queue.failed_treatment, failed))
        del self.owed[failed.id]

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
