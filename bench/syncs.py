"""How often the disk is waited for: calls of fsync and fdatasync for each accepted mail, as strace counts them.

Not a measure of speed: who is traced is slow.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import attrs

from bench.support.figures import drawn, publish
from bench.support.peers import holding_postfix, running_gateway
from bench.support.processes import family
from bench.support.runs import Load, Server, generate

LOADS = {f"{sessions} sessions, 20 KB": Load(sessions=sessions, count=2000) for sessions in (1, 10, 50)}
CALLS = "fsync,fdatasync,sync_file_range,msync"
WORDS = (
    "Accepting 20 KB mails, each on hold (durable, but not sent on): system calls that wait for the disk, counted by "
    "strace in all threads and processes of the server. ``python -m bench.syncs`` repeats this."
)


@attrs.frozen
class Counted:
    """One load over one server."""

    load: str
    server: str
    mails: int
    syncs: int


@contextlib.contextmanager
def traced(server: Server, report: Path) -> Iterator[None]:
    """strace looks on, and has written its sums when this ends."""
    there = family(server.pid)
    looked_at = [word for pid in there for word in ("-p", str(pid))]
    command = ["strace", "-f", "-c", "-e", f"trace={CALLS}", "-o", str(report), *looked_at]
    tracer = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert tracer.stderr is not None
        for _ in there:
            assert "attached" in tracer.stderr.readline()
        yield
    finally:
        tracer.send_signal(signal.SIGINT)
        tracer.communicate(timeout=30)


def syncs(report: Path) -> int:
    """The calls in a summary of ``strace -c``: seconds, calls and name stand at known places."""
    rows = [line.split() for line in report.read_text().splitlines()]
    return sum(int(row[3]) for row in rows if row and row[-1] in CALLS.split(","))


def count(server: Server, name: str, load: Load, report: Path) -> Counted:
    with traced(server, report):
        generate(server.port, load)
        time.sleep(1)  # what is written a little later is counted too
    server.settle()
    return Counted(name, server.name, load.count, syncs(report))


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    counted: list[Counted] = []
    with (
        tempfile.TemporaryDirectory() as place,
        holding_postfix() as postfix,
        running_gateway(1, intake={"hold": True}) as (ours, _),
    ):
        held = Server(ours.name, ours.port, ours.pid)  # its queue stays where it is
        for name, load in LOADS.items():
            for server in (postfix, held):
                counted.append(count(server, name, load, Path(place, "report")))
                print(counted[-1], flush=True)
    rows = [[each.load, each.server, str(each.syncs), f"{each.syncs / each.mails:.2f}"] for each in counted]
    table = drawn("Syncs for a mail", [["load", "server", "syncs", "for each mail"], *rows])
    publish("syncs", "Waiting for the disk", WORDS, table, [attrs.asdict(each) for each in counted])


if __name__ == "__main__":
    main()
