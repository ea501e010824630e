"""What a second process of the gateway could give a relayed mail at most: two gateways that share nothing, and one.

Each of the two has a database of its own and half of the sessions, so neither waits for the other but for a processor.
Processes that share a database also wait for each other's commits. Postfix relays beside them, for the ratio.
"""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Sequence
from functools import partial

from bench.relay import LOADS
from bench.support.figures import Row, measure, write
from bench.support.peers import relaying_postfix, running_gateway
from bench.support.runs import Server, passing, passing_by_all
from bench.support.sink_process import SinkProcess, sink_process

WORDS = (
    "Plain mails of 20 KB to the same next hop by one gateway, and by two that share nothing: each has a database and "
    "half of the sessions, so that neither waits for the other. ``python -m bench.processes`` repeats this."
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
