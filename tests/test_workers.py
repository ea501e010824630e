"""Workers: threads and processes, and what becomes of work that never ends."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from securegw.mail.errors import WorkerLost
from securegw.workers import Workers, WorkersSettings


def add(a: int, b: int) -> int:
    return a + b


def fail() -> None:
    raise KeyError("x")


def take(size: int) -> int:
    return len(bytearray(size))


def die() -> None:
    os._exit(1)


class WorkersTest(TestCase):
    def setUp(self) -> None:
        self.workers = self.hired(processes=1)

    def hired(self, *, processes: int, seconds: int = 60, memory: int = 1 << 30, largest: int = 0) -> Workers:
        settings = WorkersSettings(threads=1, processes=processes, seconds=seconds, memory=memory)
        workers = Workers(reactor, settings, largest=largest)
        workers.start()
        self.addCleanup(workers.stop)
        return workers

    async def _ways(self) -> None:
        self.assertEqual(await self.workers.thread(add, 1, 2), 3)
        self.assertEqual(await self.workers.process(add, 1, 2), 3)
        with self.assertRaises(KeyError):
            await self.workers.thread(fail)
        with self.assertRaises(KeyError):
            await self.workers.process(fail)

    async def _dies(self) -> None:
        with self.assertRaises(WorkerLost):
            await self.workers.process(die)
        self.assertEqual(await self.workers.process(add, 2, 2), 4)

    async def _hangs(self) -> None:
        workers = self.hired(processes=1, seconds=1)
        with self.assertRaises(WorkerLost):
            await workers.process(time.sleep, 60)
        workers.settings = self.workers.settings  # the next one gets the time that a slow machine needs to begin
        self.assertEqual(await workers.process(add, 2, 2), 4)

    async def _takes(self, memory: int, largest: int, fits: int, too_much: int) -> None:
        from securegw.flow.claims import is_poison  # not above: a worker imports this file too

        workers = self.hired(processes=1, memory=memory, largest=largest)
        self.assertEqual(await workers.process(take, fits), fits)
        with self.assertRaises(MemoryError) as caught:
            await workers.process(take, too_much)
        self.assertTrue(is_poison(caught.exception))
        self.assertEqual(await workers.process(take, fits), fits)

    def test_a_process_has_so_much_memory_and_no_more(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._takes(400 << 20, 0, 200 << 20, 400 << 20))

    def test_ten_times_the_largest_mail_always_fits(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._takes(1 << 20, 60 << 20, 400 << 20, 600 << 20))

    async def _neighbours(self, workers: Workers) -> None:
        """Three poisonous pieces of work and what was asked for behind them."""
        bad = [workers.process(die), workers.process(time.sleep, 60), workers.process(die)]
        good = [workers.process(add, number, 1) for number in range(3)]
        for each in bad:
            with self.assertRaises(WorkerLost):
                await each
        self.assertEqual([await each for each in good], [1, 2, 3])

    def test_only_the_work_that_is_to_blame_is_lost(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._neighbours(self.hired(processes=1, seconds=4)))

    def test_side_by_side_too(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._neighbours(self.hired(processes=2, seconds=4)))

    async def _stopped(self) -> None:
        workers = self.hired(processes=1)
        waiting = [workers.process(time.sleep, 60), workers.process(add, 1, 1)]
        workers.stop()
        for each in waiting:
            with self.assertRaises(WorkerLost):
                await each

    def test_who_stops_loses_what_waits(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._stopped())

    def test_results_and_errors_come_back(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._ways())

    def test_a_process_that_dies_is_lost_and_replaced(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._dies())

    def test_a_process_that_hangs_is_lost_and_replaced(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._hangs())


ORPHAN = """
import os, sys
from twisted.internet import reactor
from securegw.workers import Workers, WorkersSettings

if __name__ == "__main__":
    workers = Workers(reactor, WorkersSettings())
    workers.process(os.getpid).addCallback(lambda pid: print(pid, flush=True))
    reactor.run()
"""


def test_a_worker_does_not_outlive_its_gateway(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(ORPHAN)
    parent = subprocess.Popen([sys.executable, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert parent.stdout is not None
    worker = int(parent.stdout.readline())
    seen = os.pidfd_open(worker)
    parent.kill()
    parent.wait()
    gone, _, _ = select.select([seen], [], [], 10)  # a pidfd is readable once its process has ended
    assert gone
