"""The watch: looks at everything every few seconds, keeps the newest table, and tells who listens when a check changes.

It never waits: what has not answered yet is judged by how long it is silent. The reactor only counts and compares;
the database is asked in its own threads, the disk in a worker's.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import attrs
import txaio
from twisted.internet.defer import Deferred

from securegw import counters
from securegw.health.checks import Answer, Buffer, Findings, Ground, judge
from securegw.health.ground import look_at_ground
from securegw.health.settings import HealthSettings
from securegw.health.table import Check, State, Table
from securegw.mail.errors import MailError
from securegw.store import census
from securegw.store.database import Database
from securegw.workers.work import Work

log = txaio.make_logger()

STALE = 3  # so many rounds without a new table, and nobody may believe the old one
WAIT = 5.0  # seconds after which an answer that has not come yet is a fault
LATELY = 600.0
REFUSALS = "securegw_smtp_refusals_total"
STRESS = "securegw_stress"
UNWRITTEN = "securegw_log_lost_total"
STATE = counters.declare_gauge("securegw_check_state", "0 well, 1 warning, 2 critical, 3 unknown.", ["check"])

Listener = Callable[[Check, Check], None]


def _no_buffers() -> tuple[Buffer, ...]:
    return ()


@attrs.define(kw_only=True)
class Places:
    """Where to look beside the database: files, and what other rooms know about themselves.

    ``moved`` is how far the wall clock was put forward; ``committed`` when this node last could write; ``published`` of
    when is what the LDAP doors tell, None if there are none.
    """

    folders: tuple[Path, ...] = ()
    certificates: Mapping[str, tuple[Path, Path]] = attrs.field(factory=dict)
    queue_limit: int = 0
    moved: Callable[[], float] = lambda: 0.0
    committed: Callable[[], float | None] = lambda: None
    buffers: Callable[[], tuple[Buffer, ...]] = _no_buffers
    published: Callable[[], float | None] = lambda: None


class Growth:
    """By how much a number that only goes up has grown within the last so many seconds."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._noted: deque[tuple[float, float]] = deque()

    def note(self, now: float, total: float) -> None:
        self._noted.append((now, total))
        while len(self._noted) > 2 and now - self._noted[1][0] >= self._seconds:
            self._noted.popleft()

    @property
    def lately(self) -> float:
        """The growth; of a longer time, if it was not looked at more often, its share."""
        (first, before), (last, now) = self._noted[0], self._noted[-1]
        return (now - before) * self._seconds / max(last - first, self._seconds)


class Watch:
    """Keeps the table; ``look`` is called regularly and returns at once."""

    def __init__(
        self, settings: HealthSettings, places: Places, database: Database, workers: Work, now: Callable[[], float]
    ) -> None:
        self.settings = settings
        self.places = places
        self.listeners: list[Listener] = []
        self._database = database
        self._workers = workers
        self._now = now
        self._table = Table(now())
        self._answer: Answer | None = None
        self._ground: Ground | None = None
        self._asked: float | None = None
        self._gone: float | None = None
        self._work_seconds: float | None = None
        self._delivered: float | None = None
        self._refused = Growth(60.0)
        self._lost = Growth(LATELY)
        self._unwritten = Growth(LATELY)

    @property
    def table(self) -> Table:
        """The newest table; an old one is not believed."""
        age = self._now() - self._table.time
        if not -STALE <= age / self.settings.every <= STALE:
            was = f"for {age:.0f} s" if age > 0 else "since the clock was put back"
            return self._table.doubted(f"nothing has been looked at {was}")
        return self._table

    def look(self) -> None:
        """Ask for what is not asked for yet, and judge what is known."""
        now = self._now()
        self._count(now)
        if self._asked is None:
            self._asked = now
            Deferred.fromCoroutine(self._ask()).addErrback(_log_failure)
        if self._gone is None:
            self._gone = now
            Deferred.fromCoroutine(self._go()).addErrback(_log_failure)
        self._judge()

    async def _ask(self) -> None:
        began = self._now()
        try:
            found = await self._workers.settle(self._database.read(census.take, began))
            answer = Answer(census=found, seconds=max(0.0, self._now() - began))
            self._delivered = max(filter(None, (self._delivered, found.delivered)), default=None)
        except Exception as error:
            if not isinstance(error, MailError):
                log.failure("the database could not be asked: {log_failure.value}")
            answer = Answer(seconds=max(0.0, self._now() - began), problem=f"it does not answer: {_words(error)}")
        self._asked, self._answer = None, answer
        self._judge()

    async def _go(self) -> None:
        began = self._now()
        try:
            self._ground = await self._workers.thread(look_at_ground, self.places.folders, self.places.certificates)
        except Exception as error:
            self._ground = Ground(problem=_words(error))
        self._gone, self._work_seconds = None, max(0.0, self._now() - began)
        self._judge()

    def _count(self, now: float) -> None:
        """Counters only go up: what matters is by how much within a while."""
        self._refused.note(now, counters.total(REFUSALS))
        self._lost.note(now, sum(buffer.lost for buffer in self.places.buffers()))
        self._unwritten.note(now, counters.total(UNWRITTEN))

    def _judge(self) -> None:
        before, self._table = self._table, judge(self._findings(self._now()), self.settings)
        known = {check.name: check for check in before}
        for check in self._table:
            STATE.labels(check.name).set(check.state)
            was = known.get(check.name)
            if was is not None and was.state != check.state:
                self._tell(was, check)

    def _tell(self, was: Check, check: Check) -> None:
        if was.state is State.UNKNOWN and check.state is State.OK and self._is_first(was):
            return
        tell = log.info if check.state is State.OK else log.warn
        tell("health: {check} is {state}: {words}", check=check.name, state=check.state.name, words=check.words)
        for listener in self.listeners:
            listener(was, check)

    def _is_first(self, was: Check) -> bool:
        """Whether it was unknown only because nobody had looked yet."""
        return was.words.endswith(" yet")

    def _findings(self, now: float) -> Findings:
        committed = self.places.committed()
        return Findings(
            now=now,
            answer=_overdue(self._answer, self._asked, now),
            ground=self._ground,
            queue_limit=self.places.queue_limit,
            refusals=self._refused.lately,
            crowded=counters.total(STRESS),
            work_seconds=_longer(self._work_seconds, self._gone, now),
            silent_seconds=0.0 if committed is None else now - committed,
            moved=self.places.moved(),
            buffers=self.places.buffers(),
            lost_lately=int(self._lost.lately),
            unwritten_lately=int(self._unwritten.lately),
            delivered=self._delivered,
            published=self.places.published(),
        )


def _overdue(answer: Answer | None, asked: float | None, now: float) -> Answer | None:
    """The last answer, unless the next one is so late that the last one is no longer true."""
    if asked is None or now - asked < WAIT:
        return answer
    return Answer(seconds=now - asked, problem=f"it has not answered for {now - asked:.0f} s")


def _longer(seconds: float | None, since: float | None, now: float) -> float | None:
    if since is None or now - since < WAIT:
        return seconds
    return max(seconds or 0.0, now - since)


def _words(error: Exception) -> str:
    return ((error.detail if isinstance(error, MailError) else "") or str(error) or type(error).__name__)[:200]


def _log_failure(failure: Any) -> None:
    log.failure("a look at our health failed: {log_failure.value}", failure=failure)
