"""Sends mails over kept-open sessions as fast as they are taken, or at a rate; prints what it measured as JSON.

A program of its own, so that it does not share an interpreter with anything it measures:
``python -m bench.support.generator PORT --sessions 10 --count 2000 --size 20000``. It ends by itself.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from pathlib import Path

from tests.support.load import Client, connect, envelope, stuffed


def mail(size: int, sender: str, recipient: str) -> bytes:
    """A text mail of ``size`` bytes that no two lines of which are alike."""
    header = (
        f"From: <{sender}>\r\nTo: <{recipient}>\r\nSubject: figures\r\nDate: Mon, 23 Nov 2026 08:00:00 +0000\r\n"
        "Message-ID: <figures@load.test>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n"
    )
    line = "{:06d} The quick brown fox jumps over the lazy dog and runs into the wood at {:04x}.\r\n"
    body = "".join(line.format(number, number * 7919 % 65536) for number in range(size // 80 + 1))
    return (header + body[: max(0, size - len(header) - 2)] + "\r\n").encode()


class Run:
    """One measured run: shared counters and the latencies of the final dot."""

    def __init__(self, given: argparse.Namespace, body: bytes) -> None:
        self.given = given
        self.opening = envelope(given.sender, [given.recipient])
        self.body = stuffed(body)
        self.left = given.count
        self.dots: list[float] = []
        self.refused = 0

    async def send(self, client: Client) -> None:
        """One mail; the time from its last byte to the reply is noted."""
        client.say(self.opening)
        *_, go = await client.expect(3)
        if not go.startswith(b"354"):
            raise SystemExit(f"refused before the body: {go!r}")
        client.say(self.body)
        started = time.perf_counter()
        [final] = await client.expect()
        self.dots.append(time.perf_counter() - started)
        self.refused += not final.startswith(b"250")

    async def session(self) -> None:
        client = await connect(self.given.port, local=self.given.local)
        while self.left > 0:
            self.left -= 1
            await self.send(client)
        client.transport.close()

    async def saturate(self) -> float:
        """As fast as it goes; the seconds it took."""
        started = time.perf_counter()
        await asyncio.gather(*(self.session() for _ in range(self.given.sessions)))
        return time.perf_counter() - started

    async def one_connection(self) -> float:
        """Connect, send, QUIT; the seconds it took."""
        started = time.perf_counter()
        client = await connect(self.given.port, local=self.given.local)
        await self.send(client)
        client.say(b"QUIT\r\n")
        await client.expect()
        client.transport.close()
        return time.perf_counter() - started

    async def at_rate(self) -> list[float]:
        """Open loop: a new session at each beat whether or not the last one has ended; their whole times."""
        started, tasks = time.perf_counter(), []
        for number in range(self.given.count):
            await asyncio.sleep(max(0.0, started + number / self.given.rate - time.perf_counter()))
            tasks.append(asyncio.ensure_future(self.one_connection()))
        return list(await asyncio.gather(*tasks))


def percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("--sessions", type=int, default=10)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--size", type=int, default=20_000)
    parser.add_argument("--rate", type=float, default=0.0)
    parser.add_argument("--sender", default="ann@inside.test")
    parser.add_argument("--recipient", default="bob@outside.test")
    parser.add_argument("--local", default="127.0.0.1")
    parser.add_argument("--mail", type=Path, help="send this file in place of a text of --size bytes")
    given = parser.parse_args()
    body = given.mail.read_bytes() if given.mail else mail(given.size, given.sender, given.recipient)
    run = Run(given, body)
    report: dict[str, object] = {"count": given.count, "bytes": len(body), "began": time.monotonic()}
    if given.rate:
        whole = asyncio.run(run.at_rate())
        report |= {"session_p50": percentile(whole, 0.5), "session_p99": percentile(whole, 0.99)}
    else:
        report["seconds"] = asyncio.run(run.saturate())
    report |= {
        "dot_p50": percentile(run.dots, 0.5),
        "dot_p99": percentile(run.dots, 0.99),
        "refused": run.refused,
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
