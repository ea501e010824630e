"""Accept and queue: how many mails a second get their 250 after they are durable, against Postfix that holds them.

Both put everything on hold: they do what they must before their 250 and nothing after it. The gateway starts afresh
in each round, as a queue that grows would change what is measured.
"""

from __future__ import annotations

import argparse
from functools import partial

from bench.support.figures import Figure, Row, measure, write
from bench.support.peers import holding_postfix, running_gateway
from bench.support.runs import Load, Server, accepting, generate

LOADS = {
    "10 sessions, 20 KB": Load(sessions=10, count=2000),
    "50 sessions, 20 KB": Load(sessions=50, count=2000),
    "10 sessions, 5 MB": Load(sessions=10, count=60, size=5_000_000),
}
WORDS = (
    "Accepting: mails a second until the last 250, each given only after the mail is on stable storage. Both put "
    "everything on hold (``[intake] hold``). "
    "``python -m bench.accept`` repeats this."
)
WARM = Load(sessions=2, count=20, size=2_000)


def fresh_gateway(load: Load) -> Figure:
    """One round of a gateway with an empty queue, warmed by a few mails."""
    with running_gateway(1, intake={"hold": True}) as (server, gateway):
        generate(server.port, WARM)
        figure = accepting(Server(server.name, server.port, server.pid), load)
        gateway.kill()  # its queue goes with it
        return figure


def compare(postfix: Server, name: str, load: Load, rounds: int) -> list[Row]:
    servers = {postfix.name: partial(accepting, postfix, load), "securegw": partial(fresh_gateway, load)}
    return measure(name, servers, rounds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    with holding_postfix() as postfix:
        groups = [(compare(postfix, name, load, rounds), postfix.name) for name, load in LOADS.items()]
    write("accept", "Accepting mail", WORDS, groups)


if __name__ == "__main__":
    main()
