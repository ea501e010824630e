"""A deep queue: accepting and delivering beside 100,000 mails that wait, against an empty queue; and the restart.

Both gateways are ours and the same but for their queues; the mails that wait were put there by the store's own step
and are due tomorrow. The restart is from SIGKILL, with mails that are due at once, until all doors are open.
"""

from __future__ import annotations

import argparse
import contextlib
import socket
import statistics
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from sqlalchemy import Connection

from bench.support.figures import Row, measure, write
from bench.support.peers import QUIET
from bench.support.runs import Load, Server, accepting, passing
from bench.support.sink_process import SinkProcess, sink_process
from securegw.store import desk
from tests.support.filling import fill
from tests.support.load import Drill, write_drill
from tests.support.running import Gateway, gateway

EMPTY, DEEP = "empty queue", "deep queue"
DAY = 86_400.0
SETTINGS: dict[str, dict[str, object]] = {
    "smtp": {"connections_per_address": 10_000, "connections_per_minute": 1_000_000},
    "intake": {"queue_limit": 1_000_000},
}
WORDS = (
    "The gateway with an empty queue and with {queued} waiting mails of {size} bytes, in turn: mails a second until "
    "the last 250, and until the last mail has reached the next hop. After SIGKILL with {due} mails that are due, all "
    "doors are open again in {restart:.1f} s (median of {times}, the slowest {slowest:.1f} s). "
    "``python -m bench.queue`` repeats this."
)


@contextlib.contextmanager
def dead_hop() -> Iterator[int]:
    """A hop that lets everybody connect and never says a word: what goes there stays in the queue."""
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listening:
        port: int = listening.getsockname()[1]
        yield port


def waiting(count: int, size: int) -> Iterator[Drill]:
    """Mails for many people at many domains."""
    for number in range(count):
        to = [f"p{number}@d{number % 1000}.outside.test"]
        yield write_drill(number, "plain", "otto@inside.test", to, run="deep", subject="news", size=size)


@contextlib.contextmanager
def filled(hop: int, count: int, size: int, due: float) -> Iterator[tuple[Server, Gateway]]:
    """A running gateway whose queue holds so many mails, due at that time."""
    with (
        tempfile.TemporaryDirectory(prefix="sg-bench-") as place,
        gateway(Path(place), inside=hop, outside=hop, settings=SETTINGS) as running,
    ):
        began = time.monotonic()
        fill(running, waiting(count, size), next_try=due)
        print(f"{count} mails were put into the queue in {time.monotonic() - began:.0f} s", flush=True)
        name = DEEP if count else EMPTY
        yield Server(name, running.smtp_port, running.pid, partial(until_length, running, count)), running


def until_length(running: Gateway, count: int) -> None:
    """Until nothing but the mails for tomorrow waits; counted by the database, which may hold very many."""
    end = time.monotonic() + QUIET
    while running.ask(length) > count:
        assert time.monotonic() < end, running.log[-2000:]
        time.sleep(0.1)


def length(connection: Connection) -> int:
    counts = desk.counts(connection)
    return counts.accepted + counts.ready + counts.held + counts.parked


def compare(servers: list[Server], sink: SinkProcess, load: Load, rounds: int) -> list[list[Row]]:
    accepted = {server.name: partial(accepting, server, load) for server in servers}
    delivered = {server.name: partial(passing, server, sink, load) for server in servers}
    sessions = f"{load.sessions} sessions, {load.size // 1000} KB"
    return [
        measure(f"accepted, {sessions}", accepted, rounds),
        measure(f"delivered, {sessions}", delivered, rounds),
    ]


def restarts(due: int, size: int, times: int) -> list[float]:
    """The seconds of each start after a SIGKILL."""
    with dead_hop() as hop, filled(hop, due, size, 0.0) as (_, running):
        taken = []
        for _ in range(times):
            running.kill()
            taken.append(running.start())
            print(f"open after {taken[-1]:.2f} s with {due} queued", flush=True)
        running.kill()  # its deliveries would wait for the dead hop
        return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--queued", type=int, default=100_000, help="mails that wait in the deep queue")
    parser.add_argument("--size", type=int, default=2000, help="bytes of each of them")
    parser.add_argument("--count", type=int, default=2000, help="mails of one measured run")
    parser.add_argument("--due", type=int, default=10_000, help="mails that are due when it is restarted")
    parser.add_argument("--restarts", type=int, default=5)
    given = parser.parse_args()
    tomorrow = time.time() + DAY
    taken = restarts(given.due, given.size, given.restarts)
    with (
        sink_process() as sink,
        filled(sink.port, 0, given.size, tomorrow) as (empty, _),
        filled(sink.port, given.queued, given.size, tomorrow) as (deep, _),
    ):
        groups = compare([empty, deep], sink, Load(sessions=10, count=given.count), given.rounds)
    words = WORDS.format(
        queued=given.queued, size=given.size, due=given.due, restart=statistics.median(taken), times=len(taken),
        slowest=max(taken),
    )  # fmt: skip
    write("queue", "A deep queue", words, [(rows, EMPTY) for rows in groups])


if __name__ == "__main__":
    main()
