"""Relay to the next hop: how many mails a second come out, and how long a session takes, against Postfix.

Both take mail durably, decide where it goes and send it to the same sink. The mails are plain: no rule asks for more.
The sink offers CHUNKING, as Postfix, Exim and Exchange do, and ours uses it; so it is measured without that as well.

A run is long enough to tell what a server sustains. After a minute of rest the first 2,000 mails through Postfix are
half as quick again as those behind the first ten thousand: its queue is files, and the file system has to keep up.
"""

from __future__ import annotations

import argparse
from functools import partial

import attrs

from bench.support.figures import Row, measure, write
from bench.support.peers import relaying_postfix, running_gateway
from bench.support.runs import Load, Server, at_rate, passing
from bench.support.sink_process import SinkProcess, sink_process

LOADS = {
    "10 sessions, 20 KB": Load(sessions=10, count=10_000),
    "50 sessions, 20 KB": Load(sessions=50, count=10_000),
}
RATES = {
    f"open loop, {rate} new sessions a second, 20 KB": Load(sessions=0, count=rate * 10, more=(f"--rate={rate}",))
    for rate in (50, 200)
}
WORDS = (
    "Relaying: mails a second until the last of 10,000 has reached the next hop, plain, 20 KB each; and, in the open "
    "loop, the time from connect to QUIT while mails go in and out. ``python -m bench.relay`` repeats this."
)


def compare(servers: list[Server], sink: SinkProcess, rounds: int) -> list[list[Row]]:
    """All loads, each over all servers in turn."""
    kinds = [(passing, LOADS), (at_rate, RATES)]
    return [
        measure(name, {server.name: partial(kind, server, sink, load) for server in servers}, rounds)
        for kind, loads in kinds
        for name, load in loads.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    with (
        sink_process() as sink,
        relaying_postfix(sink.port) as postfix,
        running_gateway(sink.port) as (ours, _),
        running_gateway(sink.port, relay={"chunking": False}) as (with_data, _),
    ):
        groups = compare([postfix, ours, attrs.evolve(with_data, name="securegw (DATA)")], sink, rounds)
    write("relay", "Relaying mail", WORDS, [(rows, postfix.name) for rows in groups])


if __name__ == "__main__":
    main()
