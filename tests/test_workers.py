"""Workers: threads and processes, and what becomes of work that never ends."""

from __future__ import annotations

import binascii
import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from securegw.flow.contents import look_inside
from securegw.mail.errors import WorkerLost
from securegw.workers.hand import AHEAD, Ended, Hand, Job
from securegw.workers.parcels import (
    LARGE,
    MOST_KEPT,
    Arrivals,
    BadParcel,
    Lasting,
    pack,
    pack_answer,
    unpack,
    unpack_warily,
)
from securegw.workers.work import SLICE, Workers, WorkersSettings


def add(a: int, b: int) -> int:
    return a + b


def fail() -> None:
    raise KeyError("x")


def take(size: int) -> int:
    return len(bytearray(size))


def die() -> None:
    os._exit(1)


def double(raw: bytes) -> bytes:
    return raw + raw


def tell(lasting: tuple[bytes, ...], _: object = None) -> tuple[bytes, ...]:
    return lasting


def complain() -> None:
    raise binascii.Error("odd")


def lose() -> None:
    raise WorkerLost(detail="in detail")


class Trap:
    """What a worker that was taken over could answer: a value that calls something where it is read."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> object:
        return os.mkdir, (self.path,)


TOUCH = b"""Content-Type: text/plain\r\nContent-Disposition: attachment; filename=a.txt\r\n\r\nx\r\n"""


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

    async def _soon(self) -> None:
        """In order, a few at a time; who fails does not stop those behind him."""
        done: list[int] = []
        ended: Deferred[None] = Deferred()
        count = 3 * SLICE
        for number in range(count):
            self.workers.soon(done.append, number)
        self.workers.soon(fail)
        self.workers.soon(ended.callback, None)
        self.assertEqual(done, [])
        reactor.callLater(0, lambda: self.assertLess(len(done), count))
        await ended
        self.assertEqual(done, list(range(count)))
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)

    def test_what_is_done_soon(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._soon())

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

    async def _ahead(self) -> None:
        """Sent ahead to a process that dies, but not begun: nobody's fault."""
        workers = self.hired(processes=1)
        bad = workers.process(die)
        good = [workers.process(add, number, 1) for number in range(2 * AHEAD)]
        with self.assertRaises(WorkerLost):
            await bad
        self.assertEqual([await each for each in good], list(range(1, 2 * AHEAD + 1)))

    def test_what_waits_behind_one_that_dies_is_done_by_the_next_process(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._ahead())

    async def _large(self) -> None:
        for size in (1, LARGE - 1, LARGE, 5 << 20):
            self.assertEqual(await self.workers.process(double, b"x" * size), b"x" * 2 * size)

    def test_large_texts_come_back_whole(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._large())

    async def _trap(self) -> None:
        path = os.path.join(self.mktemp(), "made")
        with self.assertRaises(WorkerLost):
            await self.workers.process(Trap, path)
        self.assertFalse(os.path.exists(path))
        self.assertEqual(await self.workers.process(add, 2, 2), 4)

    def test_an_answer_that_would_call_something_is_not_read(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._trap())

    async def _errors(self) -> None:
        with self.assertRaisesRegex(RuntimeError, "odd"):
            await self.workers.process(complain)
        with self.assertRaises(WorkerLost) as caught:
            await self.workers.process(lose)
        self.assertEqual(caught.exception.detail, "in detail")

    def test_errors_of_strange_rooms_are_told_in_words(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._errors())

    async def _rooms(self) -> None:
        found = await self.workers.process(look_inside, TOUCH, ())
        self.assertEqual(found.findings.attachments, ("a.txt",))

    def test_a_room_that_has_a_log_works_in_a_process_too(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._rooms())

    async def _lasts(self) -> None:
        """More of them than a process keeps, and one process after another."""
        every = [Lasting((b"root", str(number).encode())) for number in range(MOST_KEPT + 2)]
        for each in (*every, *every, every[0], every[0]):
            self.assertEqual(await self.workers.process(tell, each), tuple(each))
        with self.assertRaises(WorkerLost):
            await self.workers.process(die)
        self.assertEqual(await self.workers.process(tell, every[0]), tuple(every[0]))
        with self.assertRaises((AttributeError, TypeError)):
            await self.workers.process(tell, Lasting((b"new",)), lambda: None)
        self.assertEqual(await self.workers.process(tell, Lasting((b"new",))), (b"new",))

    def test_what_lasts_is_the_same_in_each_process(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._lasts())

    async def _apart(self) -> None:
        strangers, own = await self.workers.process(os.getpid), await self.workers.own_process(os.getpid)
        self.assertEqual(len({strangers, own, os.getpid()}), 3)

    def test_what_our_users_send_is_never_where_strangers_are(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._apart())

    def test_results_and_errors_come_back(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._ways())

    def test_a_process_that_dies_is_lost_and_replaced(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._dies())

    def test_a_process_that_hangs_is_lost_and_replaced(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._hangs())


ORPHAN = """
import os, sys
from twisted.internet import reactor
from securegw.workers.work import Workers, WorkersSettings

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


class Bystander:
    """A process that does not die at once."""

    killed = False

    def kill(self) -> None:
        self.killed = True


@attrs.define
class Bench:
    """A hand whose process is the test."""

    clock: Clock
    hand: Hand
    theirs: socket.socket
    answered: list[Job]
    ended: list[Ended]

    def answer(self) -> None:
        for piece in pack_answer((True, None)):
            self.theirs.sendall(piece)

    def leave(self) -> None:
        self.theirs.close()
        while not self.ended:
            self.hand.doRead()


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    clock = Clock()
    for name in ("addReader", "removeReader", "addWriter", "removeWriter"):
        setattr(clock, name, lambda _: None)
    answered: list[Job] = []
    ended: list[Ended] = []
    hand = Hand(clock, lambda: 20, 1 << 30, lambda _hand, job, _text, _behind: answered.append(job), ended.append)
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    hand._process, hand._socket = Bystander(), ours
    yield Bench(clock, hand, theirs, answered, ended)
    hand._let_go()
    theirs.close()


def jobs(count: int) -> list[Job]:
    return [Job((add, (1, 1), {})) for _ in range(count)]


def test_the_first_that_is_not_answered_is_to_blame(bench: Bench) -> None:
    first, second, third = jobs(3)
    for job in (first, second, third):
        bench.hand.give(job)
    bench.answer()  # ready
    bench.answer()
    bench.leave()
    assert bench.answered == [first]
    [ended] = bench.ended
    assert ended.began and ended.guilty is second
    assert list(ended.jobs) == [second, third]


def test_who_answers_while_he_is_being_killed_is_not_to_blame_and_nobody_else(bench: Bench) -> None:
    first, second = jobs(2)
    for job in (first, second):
        bench.hand.give(job)
    bench.answer()
    bench.hand.doRead()
    bench.clock.advance(20)
    assert bench.hand._process.killed
    bench.answer()
    bench.leave()
    assert bench.answered == [first]
    [ended] = bench.ended
    assert ended.guilty is None
    assert list(ended.jobs) == [second]


def test_who_has_answered_in_time_is_not_killed_because_nobody_looked(bench: Bench) -> None:
    [job] = jobs(1)
    bench.hand.give(job)
    bench.answer()
    bench.hand.doRead()
    bench.answer()
    bench.clock.advance(20)
    assert bench.answered == [job]
    assert not bench.hand._process.killed


def test_the_time_of_each_begins_when_the_one_before_it_is_answered(bench: Bench) -> None:
    for job in jobs(3):
        bench.hand.give(job)
    bench.answer()
    bench.hand.doRead()
    for _ in range(2):
        bench.clock.advance(19)
        bench.answer()
        bench.hand.doRead()
    bench.clock.advance(19)
    assert not bench.hand._process.killed
    bench.clock.advance(1)
    assert bench.hand._process.killed


def test_a_slow_start_is_no_mails_fault(bench: Bench) -> None:
    [job] = jobs(1)
    bench.hand._watch(60)  # as it is begun
    bench.hand.give(job)
    bench.clock.advance(59)
    assert not bench.hand._process.killed
    bench.clock.advance(1)
    assert bench.hand._process.killed
    bench.leave()
    assert not bench.ended[0].began


def test_a_hand_is_not_given_more_than_it_may_have_before_it(bench: Bench) -> None:
    for job in jobs(AHEAD - 1):
        bench.hand.give(job)
    assert bench.hand.has_room
    bench.hand.give(jobs(1)[0])
    assert not bench.hand.has_room


@pytest.mark.parametrize("step", [1, 7, 100, 1 << 20])
def test_parcels_are_put_together_from_pieces_of_any_length(step: int) -> None:
    values = [None, (True, b"x" * 10), {"a": [b"y" * LARGE, b"z" * (LARGE + 1)]}]
    wire = b"".join(piece for value in values for piece in pack_answer(value))
    arrivals, found = Arrivals(), []
    for at in range(0, len(wire), step):
        for text, behind in arrivals.feed(memoryview(wire)[at : at + step]):
            found.append(unpack(text, b"".join(behind), {}))
    assert found == values


@pytest.mark.parametrize("value", [Trap("x"), os.getcwd, os.path, Path("x"), print, type, Clock])
def test_of_what_a_process_answers_nothing_but_values_is_read(value: object) -> None:
    with pytest.raises((BadParcel, TypeError)):
        [text, *behind] = pack_answer(value)
        unpack_warily(text[16:], b"".join(behind))


@pytest.mark.parametrize("text", [b"", b"\x80", b"nonsense", b"\x80\x05\x95\xff\xff\xff\xff\xff\xff\xff\xff"])
def test_what_is_no_parcel_is_told_as_such(text: bytes) -> None:
    with pytest.raises(BadParcel):
        unpack_warily(text, b"")


def test_what_lasts_crosses_once() -> None:
    roots, places, kept = Lasting((b"r" * 1000, b"s" * 1000)), {}, {}
    sizes = []
    for _ in range(2):
        [text] = pack((tell, (roots,), {}), places)
        sizes.append(len(text))
        assert unpack(text[16:], b"", kept)[1] == (tuple(roots),)
    assert sizes[0] > 2000 and sizes[1] < 200


def test_a_parcel_without_end_is_none() -> None:
    with pytest.raises(BadParcel):
        list(Arrivals().feed(memoryview(b"\xff" * 16)))
