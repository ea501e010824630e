"""What a second process of the gateway could give a relayed mail at most: two gateways that share nothing, and one.

Each of the two has a database of its own and half of the sessions, so neither waits for the other but for a processor.
Processes that share a database can only be slower. Postfix relays beside them, for the ratio.
"""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import attrs

from bench.relay import LOADS
from bench.support.figures import Figure, Row, measure, write
from bench.support.peers import relaying_postfix, running_gateway
from bench.support.processes import cpu_seconds, memory
from bench.support.runs import Load, Server, generate, passing
from bench.support.sink_process import SinkProcess, sink_process

WORDS = (
    "Plain mails of 20 KB to the same next hop by one gateway, and by two that share nothing: each has a database and "
    "half of the sessions. What a second process could give is less. ``python -m bench.processes`` repeats this."
)


def passing_by_all(servers: Sequence[Server], sink: SinkProcess, load: Load) -> Figure:
    """As ``passing``, with the sessions and mails shared out among all servers; each has a load maker of its own."""
    share = attrs.evolve(load, sessions=load.sessions // len(servers), count=load.count // len(servers))
    sink.reset()
    before = sum(cpu_seconds(server.pid) for server in servers)
    with ThreadPoolExecutor(len(servers)) as pool:
        reports = list(pool.map(lambda server: generate(server.port, share), servers))
    count = share.count * len(servers)
    ended = sink.wait(count)
    used = sum(cpu_seconds(server.pid) for server in servers) - before
    size = sum(memory(server.pid) for server in servers)
    for server in servers:
        server.settle()
    return Figure(
        per_second=count / (ended - min(report["began"] for report in reports)),
        cpu_ms=used * 1000 / count,
        memory_mb=size / 1e6,
        dot_p99_ms=max(report["dot_p99"] for report in reports) * 1000,
    )


def compare(peer: Server, one: Server, two: Sequence[Server], sink: SinkProcess, rounds: int) -> list[list[Row]]:
    """Both loads, each over all three in turn."""
    return [
        measure(
            name,
            {
                peer.name: partial(passing, peer, sink, load),
                one.name: partial(passing, one, sink, load),
                f"two of {one.name}": partial(passing_by_all, two, sink, load),
            },
            rounds,
        )
        for name, load in LOADS.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    with contextlib.ExitStack() as stack:
        sink = stack.enter_context(sink_process())
        peer = stack.enter_context(relaying_postfix(sink.port))
        one, *two = [stack.enter_context(running_gateway(sink.port))[0] for _ in range(3)]
        groups = compare(peer, one, two, sink, rounds)
    write("processes", "One process and two", WORDS, [(rows, peer.name) for rows in groups])


if __name__ == "__main__":
    main()
