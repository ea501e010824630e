"""What waits for a log receiver: its order, its bounds, its way over the disk and back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from twisted.internet.defer import Deferred, fail
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from securegw.clients.syslog_buffer import PIECE, DiskBuffer
from securegw.clients.syslog_queue import DOUBTFUL, MEMORY, SPILL, SyslogQueue
from securegw.workers.work import InlineWorkers


def lines(first: int, last: int) -> list[bytes]:
    return [b"line %06d" % number for number in range(first, last)]


def opened(folder: Path, limit: int = 1 << 20) -> DiskBuffer:
    disk = DiskBuffer(folder / "buffer", limit)
    disk.open()
    return disk


def everything(disk: DiskBuffer) -> list[bytes]:
    found: list[bytes] = []
    while taken := disk.take():
        found += taken
    return found


def test_the_disk_keeps_the_order(tmp_path: Path) -> None:
    disk = opened(tmp_path)
    disk.append(lines(10, 20))
    disk.append(lines(20, 30))
    disk.put_back(lines(5, 10))
    disk.put_back(lines(0, 5))
    assert everything(disk) == lines(0, 30)
    assert (disk.bytes, list(disk.folder.iterdir())) == (0, [])


def test_another_process_finds_it(tmp_path: Path) -> None:
    disk = opened(tmp_path, 10 << 20)
    many = lines(0, 50_000)
    for at in range(0, len(many), 1000):
        assert disk.append(many[at : at + 1000]) == 0
    disk.put_back([b"first"])
    assert len(list(disk.folder.iterdir())) >= len(many) * 12 // PIECE
    assert (tmp_path / "buffer").stat().st_mode & 0o777 == 0o700
    again = opened(tmp_path, 10 << 20)
    assert again.bytes == disk.bytes
    assert everything(again) == [b"first", *many]


def test_what_does_not_fit_is_lost_and_counted(tmp_path: Path) -> None:
    disk = opened(tmp_path, 100)
    assert disk.append(lines(0, 10)) == 2  # twelve bytes each
    assert disk.append([b"x"]) == 0
    assert disk.append([b"xx"]) == 1
    assert everything(disk) == [*lines(0, 8), b"x"]
    assert disk.append(lines(0, 8)) == 0


class Waiting(InlineWorkers):
    """Works when the test says so."""

    def __init__(self) -> None:
        self.jobs: list[tuple[Callable[[], Any], Deferred[Any]]] = []

    def thread(self, function: Any, *args: Any, **kwargs: Any) -> Any:
        done: Deferred[Any] = Deferred()
        self.jobs.append((lambda: function(*args, **kwargs), done))
        return done

    def work(self) -> None:
        [(job, done)], self.jobs = self.jobs, []
        try:
            done.callback(job())
        except OSError:
            done.errback(Failure())


def queue_of(tmp_path: Path, workers: Any = None, limit: int = 1 << 20) -> SyslogQueue:
    clock = Clock()
    queue = SyslogQueue(DiskBuffer(tmp_path / "buffer", limit), workers or InlineWorkers(), clock.seconds, lambda: None)
    queue.clock = clock  # type: ignore[attr-defined]
    queue.open()
    return queue


def all_of(queue: SyslogQueue) -> list[bytes]:
    found: list[bytes] = []
    while taken := queue.take(1000):
        found += taken
    return found


def test_in_memory_and_by_the_disk_the_order_is_the_same(tmp_path: Path) -> None:
    queue = queue_of(tmp_path)
    for line in lines(0, 10):
        queue.put(line)
    queue.spill()
    for line in lines(10, 20):
        queue.put(line)
    queue.spill()
    for line in lines(20, 30):
        queue.put(line)
    assert all_of(queue) == lines(0, 30)
    assert (queue.waiting, queue.on_disk) == (0, 0)


def test_a_lot_goes_to_the_disk_by_itself(tmp_path: Path) -> None:
    queue = queue_of(tmp_path, limit=10 << 20)
    for line in lines(0, 20_000):
        queue.put(line)
    assert queue.on_disk > 20_000 * 12 - 2 * SPILL
    assert queue.waiting * 11 < 2 * SPILL
    assert all_of(queue) == lines(0, 20_000)


def test_what_was_sent_just_before_a_connection_was_lost_comes_again(tmp_path: Path) -> None:
    queue = queue_of(tmp_path)
    for line in lines(0, 4):
        queue.put(line)
    assert all_of(queue) == lines(0, 4)
    queue.clock.advance(DOUBTFUL + 1)  # type: ignore[attr-defined]
    for line in lines(4, 8):
        queue.put(line)
    assert all_of(queue) == lines(4, 8)
    queue.settle()
    queue.put(b"line 000008")
    queue.connection_lost()
    assert all_of(queue) == lines(4, 9)


def test_the_disk_is_slow_and_memory_bounded(tmp_path: Path) -> None:
    workers = Waiting()
    queue = queue_of(tmp_path, workers)
    workers.work()
    big = b"x" * 1000
    for _ in range(MEMORY // 1000 * 2):
        queue.put(big)
    assert 0 < queue.lost < MEMORY // 1000 * 2
    assert queue.waiting <= (MEMORY + SPILL) // 1000 + 2
    assert queue.take(1000) == []  # what is on its way to the disk is older than what is in memory


def test_a_disk_that_fails_loses_what_it_was_given(tmp_path: Path) -> None:
    class Broken(InlineWorkers):
        def thread(self, function: Any, *args: Any, **kwargs: Any) -> Any:
            return fail(OSError(28, "No space left on device"))

    queue = queue_of(tmp_path, Broken())
    for line in lines(0, 10):
        queue.put(line)
    queue.spill()
    assert (queue.lost, queue.waiting) == (10, 0)
    queue.put(b"on we go")
    assert all_of(queue) == [b"on we go"]


def test_what_nobody_took_is_written_down_at_the_end(tmp_path: Path) -> None:
    queue = queue_of(tmp_path)
    for line in lines(0, 10):
        queue.put(line)
    assert len(queue.take(40)) == 4
    queue.connection_lost()
    queue.put(b"line 000010")
    Deferred.fromCoroutine(queue.close())
    assert everything(opened(tmp_path)) == lines(0, 11)


@settings(deadline=None, max_examples=60)
@given(steps=some.lists(some.sampled_from(["put", "take", "spill", "work", "lost"]), max_size=60))
def test_nothing_is_lost_and_the_order_is_kept_whatever_happens(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str]
) -> None:
    workers = Waiting()
    queue = queue_of(tmp_path_factory.mktemp("q"), workers)
    workers.work()
    got: list[bytes] = []
    number = 0
    for step in steps:
        if step == "put":
            queue.put(b"%d" % number)
            number += 1
        elif step == "take":
            got += queue.take(2)
        elif step == "spill":
            queue.spill()
        elif step == "work" and workers.jobs:
            workers.work()
        elif step == "lost":
            queue.connection_lost()
            got.clear()  # as if nobody had read any of it
    while True:
        taken = queue.take(1000)
        got += taken
        if workers.jobs:
            workers.work()
        elif not taken:
            break
    first = int(got[0]) if got else number
    assert [int(line) for line in got] == list(range(first, number))
    assert "lost" not in steps or first == 0
    assert queue.lost == 0
