"""Drill D1 in its long form: ``python -m tests.support.d1 --mails 2000 --kills 20`` prints the one line of its report.

The mails, the papers and the rules are those of the short form, tests/peers/test_kill.py; here the kills are spread
over the load, each at a random instant. Exit code 1 if a rule of the drill is broken.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import threading
import time
from functools import partial
from pathlib import Path

import txaio

from tests.support.drill import Sums, body_of, count
from tests.support.load import Load, write_drill
from tests.support.running import prepare
from tests.support.sink import sink

txaio.use_twisted()

from tests.peers import test_kill as short  # noqa: E402

SECONDS = 900.0
SETTINGS: dict[str, dict[str, object]] = {
    "delivery": {"first_retry": "1s"},
    "smtp": {"connections_per_minute": 100_000},
}


def drill(folder: Path, mails: int, kills: int, seed: int) -> tuple[Sums, str]:
    """One run with a database of one file: its sums and its line."""
    instants = random.Random(seed)
    with sink(journal=folder / "inside") as inside, sink(journal=folder / "outside") as outside:
        gateway = prepare(folder, inside=inside.port, outside=outside.port, settings=SETTINGS)
        papers = short.give_papers(gateway, folder)
        kinds = short.CLASSES
        drills = [short.write(number, kinds[number % len(kinds)], papers) for number in range(mails)]
        load = Load(gateway.smtp_port, drills, folder / "journal", connections=20, sources=short.INCOMING)
        sender = threading.Thread(target=load.run, daemon=True)
        struck: list[float] = []
        starts: list[float] = []
        try:
            gateway.start()
            began = time.monotonic()
            sender.start()
            for number in range(1, kills + 1):
                load.wait_for(number * mails // (kills + 1), SECONDS)
                time.sleep(instants.uniform(0, 0.5))
                struck.append(time.time())
                gateway.kill()
                starts.append(gateway.start())
            sender.join(SECONDS)
            gateway.wait_empty(SECONDS)
            took = time.monotonic() - began
            root = gateway.authority()
        finally:
            gateway.kill()
    texts = {}
    for number in range(mails):
        plain = write_drill(number, "", short.ANN, [short.ANN], run=short.RUN, subject="")
        texts[plain.id] = body_of(plain.raw)
    sums = count(
        load.outcomes,
        [*inside.arrived, *outside.arrived],
        [],
        struck,
        is_good=partial(short.is_whole, texts, papers, root),
        is_clear=partial(short.is_clear, texts),
    )
    words = f"kills={len(struck)} slowest-start={max(starts, default=0.0):.1f}s seconds={took:.0f}"
    return sums, f"D1: {sums.line()} strange-duplicates={len(sums.strange_doubles)} {words}"


def broken(sums: Sums, kills: int) -> bool:
    """Whether a rule of the drill does not hold (threats 7.0, 7.1)."""
    void = len(sums.accepted) < 0.9 * sums.planned
    wrong = (sums.lost, sums.ghosts, sums.corrupt, sums.clear, sums.wrong_permanent, sums.strange_doubles)
    return void or any(wrong) or sum(sums.doubles.values()) > kills * short.CONNECTIONS


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.support.d1", description="Drill D1: kill -9 under load."
    )
    parser.add_argument("--mails", type=int, default=2000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="securegw-d1-") as folder:
        sums, line = drill(Path(folder), asked.mails, asked.kills, asked.seed)
    print(line)
    return int(broken(sums, asked.kills))


if __name__ == "__main__":
    sys.exit(main())
