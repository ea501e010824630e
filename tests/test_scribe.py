"""The scribe: groups that a process does, and what becomes of them when it goes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import attrs
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.trial.unittest import TestCase

from securegw.gateway.rooms import scribe_of
from securegw.mail.errors import LostClaim, StoreBusy
from securegw.store import domains, queue
from securegw.store.database import Database
from securegw.workers import hand
from securegw.workers.scribe import Answer, Scribe
from tests.support.running import ROOT

MEMORY = 1 << 30
Told = tuple[list[tuple[bool, Any]], Exception | None]


@attrs.define(eq=False)
class Wish:
    parcel: tuple[Any, ...]
    future: Answer[Any] = attrs.field(factory=Answer)

    @property
    def done(self) -> Deferred[Any]:
        return self.future.deferred


class Hanging:
    """Cannot cross."""

    def __reduce__(self) -> object:
        raise TypeError("this cannot be packed")


def serve(place: str, asked: Sequence[tuple[Any, ...]]) -> Told:
    """What the words of the wishes say; each answer tells the size of its group and the process."""
    if not asked:
        Path(place).write_text("closed")
    words = [word for (word, *_) in asked]
    if "die" in words:
        os.kill(os.getpid(), signal.SIGKILL)
    if "break" in words:
        raise LostClaim(detail="the whole group")
    away = StoreBusy(detail="away") if "away" in words else None
    return [_answer(word, len(asked)) for word in words], away


def leave(*_: object) -> None:
    """In place of what runs in a worker process."""
    os._exit(1)


def _answer(word: str, size: int) -> tuple[bool, Any]:
    return (False, ValueError(word)) if word in ("bad", "away") else (True, (word, size, os.getpid()))


def _folder(test: TestCase) -> Path:
    """Not one of trial's own, which stay in the tree."""
    folder = tempfile.TemporaryDirectory()
    test.addCleanup(folder.cleanup)
    return Path(folder.name)


class ScribeTest(TestCase):
    def setUp(self) -> None:
        self.place = str(_folder(self) / "place")
        self.scribe = Scribe(reactor, serve, self.place, MEMORY, lambda why: StoreBusy(detail=why))
        self.addCleanup(lambda: Deferred.fromCoroutine(self.scribe.close()))


    def ask(self, *words: object) -> list[Deferred[Any]]:
        wishes = [Wish((word,)) for word in words]
        for wish in wishes:
            self.scribe.ask(wish)
        return [wish.done for wish in wishes]

    async def fails(self, done: Deferred[Any], kind: type[Exception], words: str = "") -> None:
        with self.assertRaises(kind) as caught:
            await done
        self.assertIn(words, getattr(caught.exception, "detail", "") or str(caught.exception))

    async def _in_one_go(self) -> None:
        one, bad, two = self.ask("one", "bad", "two")
        await self.fails(bad, ValueError, "bad")
        self.assertEqual([(await done)[:2] for done in (one, two)], [("one", 3), ("two", 3)])

    async def _grows(self) -> None:
        """While two groups are with the process, whoever comes waits for the third one: together."""
        first = self.ask("1")
        await self._turn()
        second = self.ask("2")
        await self._turn()
        others = self.ask("3")
        await self._turn()
        others += self.ask("4", "5")
        found = await gatherResults([*first, *second, *others])
        self.assertEqual([size for _, size, _ in found], [1, 1, 3, 3, 3])
        self.assertEqual([word for word, _, _ in found], ["1", "2", "3", "4", "5"])

    def _turn(self) -> Deferred[None]:
        """The reactor has looked at its connections."""
        turn: Deferred[None] = Deferred()
        reactor.callLater(0, reactor.callLater, 0, turn.callback, None)
        return turn

    async def _dies(self) -> None:
        """Nobody knows what became of what it had begun; what was sent ahead is done by the next one."""
        [(_, _, before)] = await gatherResults(self.ask("1"))
        lost = self.ask("die", "also")
        await self._turn()
        ahead = self.ask("2")
        for done in lost:
            await self.fails(done, StoreBusy, "has ended")
        word, _, after = await ahead[0]
        self.assertEqual(word, "2")
        self.assertNotEqual(before, after)

    async def _cannot_cross(self) -> None:
        good, odd, also = self.ask("1", Hanging(), "2")
        await self.fails(odd, TypeError, "packed")
        self.assertEqual([(await good)[0], (await also)[0]], ["1", "2"])

    async def _told_to_go(self) -> None:
        """systemd tells all processes of a unit at once; the gateway still has something to write."""
        [(_, _, before)] = await gatherResults(self.ask("1"))
        os.kill(before, signal.SIGTERM)
        [(_, _, after)] = await gatherResults(self.ask("2"))
        self.assertEqual(before, after)

    async def _breaks(self) -> None:
        for done in self.ask("break", "1"):
            await self.fails(done, LostClaim, "the whole group")
        self.assertEqual((await self.ask("2")[0])[0], "2")

    async def _away(self) -> None:
        """Who waits behind those whom the database kept waiting does not wait as long once more (D10)."""
        away = self.ask("away")
        await self._turn()
        sent = self.ask("1")
        await self._turn()
        behind = self.ask("2", "3")
        await self._turn()
        await self.fails(away[0], ValueError)
        for done in behind:
            await self.fails(done, StoreBusy, "away")
        self.assertEqual((await sent[0])[0], "1")

    async def _closes(self) -> None:
        waiting = self.ask("1", "2")
        closed = Deferred.fromCoroutine(self.scribe.close())
        await self.fails(self.ask("late")[0], StoreBusy, "closed")
        await closed
        self.assertEqual([(await done)[0] for done in waiting], ["1", "2"])
        self.assertEqual(Path(self.place).read_text(), "closed")

    async def _cannot_begin(self) -> None:
        """A process that dies before it has begun to work: nor would the next one begin."""
        self.patch(hand, "serve", leave)
        for done in self.ask("1", "2"):
            await self.fails(done, StoreBusy, "has ended")


def _as_test(body: Callable[[ScribeTest], Coroutine[Any, Any, None]]) -> Callable[[ScribeTest], Deferred[None]]:
    return lambda self: Deferred.fromCoroutine(body(self))


for _name in ("in_one_go", "grows", "dies", "cannot_cross", "told_to_go", "breaks", "away", "closes", "cannot_begin"):
    setattr(ScribeTest, f"test_{_name}", _as_test(getattr(ScribeTest, f"_{_name}")))


class WritingApart(TestCase):
    """A database whose writer is a process, through the doors that all rooms use."""

    def setUp(self) -> None:
        self.file = _folder(self) / "queue.db"
        self.database = Database(f"sqlite:///{self.file}")
        self.database.migrate()
        self.scribe = scribe_of(reactor, self.database, MEMORY)
        self.addCleanup(self._close)

    def _close(self) -> Deferred[None]:
        assert self.scribe is not None
        closed = Deferred.fromCoroutine(self.scribe.close())
        return closed.addCallback(lambda _: self.database.close())

    def write(self, step: Any, *arguments: Any) -> Deferred[Any]:
        future = self.database.write(step, *arguments)
        assert isinstance(future, Answer)
        return future.deferred

    async def _writes(self) -> None:
        await self.write(domains.add_domain, domains.Domain(name="inside.test", route="[127.0.0.1]:25"))
        found = self.database.read(domains.list_domains).result()
        self.assertEqual([domain.name for domain in found], ["inside.test"])

    def test_what_is_written_there_is_read_here(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._writes())

    async def _alone(self) -> None:
        lost = queue.Failed(id="0" * 16, session=1, note="", next_try=None)
        good = self.write(domains.add_domain, domains.Domain(name="inside.test", route="[127.0.0.1]:25"))
        bad = self.write(queue.failed_treatment, lost)
        also = self.write(domains.add_domain, domains.Domain(name="other.test", route="[127.0.0.1]:25"))
        with self.assertRaises(LostClaim):
            await bad
        await gatherResults([good, also])
        self.assertEqual(len(self.database.read(domains.list_domains).result()), 2)

    def test_a_step_that_fails_does_not_fail_its_neighbours(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._alone())


def test_a_process_that_only_writes_loads_no_reactor() -> None:
    """15 MB, in a gateway that stands in 150."""
    script = "import sys, securegw.workers.servant, securegw.store.apart, securegw.store.queue; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert "sqlalchemy" in loaded and loaded.isdisjoint({"twisted", "alembic", "cryptography"})
