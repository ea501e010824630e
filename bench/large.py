"""How much memory ten large mails at once take, from their coming to their leaving, by each way.

Not a race: nothing may be refused, and what counts is the most that the gateway and its processes held at any moment.
The peer is the bound that was set for it.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs

from bench.smime import ANN, CAROL, give_papers
from bench.support.figures import drawn, publish
from bench.support.generator import mail
from bench.support.peers import running_gateway
from bench.support.processes import memory
from bench.support.runs import Load, Server, generate
from bench.support.sink_process import SinkProcess, sink_process

MB = 1_000_000
BOUND = 600
LOOK = 0.02
ZOE = "zoe@outside.test"
WORDS = (
    "Ten sessions bring a mail of 50 MB each at the same time, with the settings as they come. Memory is the "
    "proportional set size of the gateway and its processes, looked at every 20 ms from before the first byte to after "
    "the last one has reached the next hop; no mail may be refused. ``python -m bench.large`` repeats this."
)
HEAD = ("way", "mails", "MB each", "at rest MB", "most MB", "bound MB", "seconds")


@attrs.frozen
class Way:
    name: str
    recipient: str
    subject: str = "figures"

    def write(self, size: int, folder: Path) -> Path:
        path = folder / "mail"
        raw = mail(size, ANN, self.recipient)
        path.write_bytes(raw.replace(b"Subject: figures", f"Subject: {self.subject}".encode(), 1))
        return path


WAYS = (
    Way("plain relay", ZOE),
    Way("S/MIME, signed and encrypted", CAROL),
    Way("carrier", ZOE, "[priv] figures"),
)


@contextmanager
def watched(pid: int) -> Iterator[list[int]]:
    """The memory of a family of processes, again and again, until the end of the block."""
    seen, over = [memory(pid)], threading.Event()

    def look() -> None:
        while not over.wait(LOOK):
            seen.append(memory(pid))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


def run(server: Server, sink: SinkProcess, way: Way, count: int, size: int, folder: Path) -> list[str]:
    sink.reset()
    rest = memory(server.pid)
    path = way.write(size, folder)
    more = (f"--sender={ANN}", f"--recipient={way.recipient}", f"--mail={path}")
    with watched(server.pid) as seen:
        began = time.monotonic()
        generate(server.port, Load(sessions=count, count=count, size=size, more=more))
        wait(lambda: sink.wait(count), server)
        seconds = time.monotonic() - began
    figures = (rest / MB, max(seen) / MB, BOUND, seconds)
    return [way.name, str(count), f"{size / MB:.0f}", *(f"{figure:.0f}" for figure in figures)]


def wait(arrived: Callable[[], object], server: Server) -> None:
    arrived()
    server.settle()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10)
    parser.add_argument("--size", type=int, default=50 * MB)
    parser.add_argument("--way", choices=[way.name for way in WAYS], help="this one alone, and no page is written")
    given = parser.parse_args()
    lines = []
    for way in WAYS:
        if given.way not in (None, way.name):
            continue
        with (
            tempfile.TemporaryDirectory(prefix="sg-large-") as place,
            sink_process() as sink,
            running_gateway(sink.port) as (server, gateway),
        ):
            give_papers(gateway, Path(place))
            lines.append(run(server, sink, way, given.count, given.size, Path(place)))
            print(*lines[-1], flush=True)
    if given.way is None:
        table = drawn("Memory for large mails", [HEAD, *lines])
        publish("large", "Many large mails at once", WORDS, table, [dict(zip(HEAD, one, strict=True)) for one in lines])


if __name__ == "__main__":
    main()
