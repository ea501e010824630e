"""Workers: threads and processes, and what becomes of work that never ends."""

from __future__ import annotations

import os
import time

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from securegw.mail.errors import WorkerLost
from securegw.workers import Workers, WorkersSettings


def add(a: int, b: int) -> int:
    return a + b


def fail() -> None:
    raise KeyError("x")


def die() -> None:
    os._exit(1)


class WorkersTest(TestCase):
    def setUp(self) -> None:
        self.workers = Workers(reactor, WorkersSettings(threads=1, processes=1, seconds=2))
        self.workers.start()
        self.addCleanup(self.workers.stop)

    async def _ways(self) -> None:
        self.assertEqual(await self.workers.thread(add, 1, 2), 3)
        self.assertEqual(await self.workers.process(add, 1, 2), 3)
        with self.assertRaises(KeyError):
            await self.workers.thread(fail)
        with self.assertRaises(KeyError):
            await self.workers.process(fail)

    async def _troubles(self) -> None:
        with self.assertRaises(WorkerLost):
            await self.workers.process(die)
        with self.assertRaises(WorkerLost):
            await self.workers.process(time.sleep, 60)
        self.assertEqual(await self.workers.process(add, 2, 2), 4)

    def test_results_and_errors_come_back(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._ways())

    def test_a_process_that_dies_or_hangs_is_lost_and_replaced(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._troubles())
