"""This process's share of the queue: what it has claimed, and how much of it is under way.

An item is claimed under the process's session with the store (nodes: any process that shares the database may take
what a dead session held). A mail that has just come in is born claimed, so that it goes on from memory without a
second reading.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import attrs
import txaio
from twisted.internet.defer import Deferred, TimeoutError

from securegw import counters
from securegw.mail.errors import DiskFull, LostClaim, MailError, StoreBusy, WorkerLost
from securegw.store import queue, sessions
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
LARGE_UNDER_WAY = 2

PAUSE = 60.0
SHORT = ((AlreadyThere, 0.0), (StoreBusy, 3.0), (DiskFull, 3.0))  # nothing is wrong with the mail or its neighbours
PATIENCE = 8.0  # how long a gateway that is told to go waits for its deliveries
EVERYBODY = 1e18  # a time at which every session is dead
POISON = 3

PARKED = counters.declare("securegw_parked", "Mails parked: three times they harmed a worker or were not understood.")

Worker = Callable[["Item", bytes], Coroutine[Any, Any, None]]
Waiting = tuple["Item", bytes | None]


@attrs.define
class Line:
    """One kind of work: what waits for it and how much is under way; of large mails, few at a time."""

    work: Worker
    most: int = UNDER_WAY
    waiting: deque[Waiting] = attrs.field(factory=deque)
    large: deque[Waiting] = attrs.field(factory=deque)
    under_way: int = 0
    large_under_way: int = 0

    def add(self, item: Item, raw: bytes | None) -> None:
        (self.large if item.size > LARGE else self.waiting).append((item, raw))

    def next(self) -> Waiting | None:
        """The next one that may begin now, counted as under way."""
        if self.large and self.large_under_way < LARGE_UNDER_WAY:
            self.large_under_way += 1
            return self.large.popleft()
        if self.waiting and self.under_way < self.most:
            self.under_way += 1
            return self.waiting.popleft()
        return None

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
        held = sum(item.size for item, raw in (*self.waiting, *self.large) if raw is not None)
        self.waiting.clear()
        self.large.clear()
        return held


class Claims:
    """Claims items, holds their bodies in memory within bounds, and has each worked on once."""

    def __init__(self, database: Database, workers: Work, master: MasterKey, reactor: Any, node: str) -> None:
        self.database = database
        self.workers = workers
        self.master = master
        self.reactor = reactor
        self.node = node
        self.session: int | None = None
        self.renewed: float | None = None  # when the store last took something from us
        self.lines: dict[str, Line] = {}
        self.held = 0
        self.stopping = False
        self.hands: Counter[str] = Counter()  # what we know that we hold; treated and delivered it may be held twice
        self.strays: set[str] = set()
        self.owed: dict[str, queue.Failed] = {}
        self.idle: list[Deferred[None]] = []

    def work(self, kind: str, worker: Worker, most: int = UNDER_WAY) -> None:
        """Name the worker for a kind of item."""
        self.lines[kind] = Line(worker, most)

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
            for item, _ in (*line.waiting, *line.large):
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
        self.held += item.size if raw is not None else 0
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
        waiting = sum(len(line.waiting) + len(line.large) for line in self.lines.values())
        return self.held > IN_MEMORY // 2 or waiting > BATCH

    def _go(self, line: Line) -> None:
        while (found := line.next()) is not None:
            item, raw = found
            Deferred.fromCoroutine(self._see_through(line, item, raw))

    async def _see_through(self, line: Line, item: Item, raw: bytes | None) -> None:
        try:
            await self._work(line, item, raw)
        except Exception:
            log.failure("work on the queue failed: {log_failure.value}")
        finally:
            self._ended(line, item)

    async def _work(self, line: Line, item: Item, raw: bytes | None) -> None:
        self.held += item.size if raw is None else 0
        try:
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
            self.held -= item.size

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
        parts = await self.workers.settle(self.database.read(queue.body, item.id))
        return await self.workers.thread(self.master.open_parts, BODY, item.id, parts)

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
