"""The load maker of the fault drills: sends mails over many connections and keeps an honest journal.

Each mail has an id and the hash of its body in its header; ``try`` is written and flushed to the disk before it is
sent, the outcome after the final reply: the code, or ``unknown`` when the connection was lost after the final
dot. What was not accepted is tried again with the same id, as a real server would.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import random
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import attrs

TRIES = 20
PAUSE, LONGEST = 0.1, 2.0


@attrs.frozen
class Drill:
    """One mail to send; ``kind`` names what must become of it."""

    id: str
    kind: str
    sender: str
    recipients: tuple[str, ...]
    raw: bytes


@attrs.define
class Outcome:
    """What the sender of a drill knows: ``accepted`` recipients, and whether a reply was ever lost."""

    drill: Drill
    accepted: set[str] = attrs.Factory(set)
    unknown: bool = False
    replies: list[str] = attrs.Factory(list)
    when: float = 0.0


def write_drill(
    number: int,
    kind: str,
    sender: str,
    recipients: Iterable[str],
    *,
    run: str,
    subject: str,
    size: int = 2000,
) -> Drill:
    """A text mail of about ``size`` bytes, the same for the same run and number."""
    name = f"{run}-{number}"
    source = random.Random(name)
    words = [f"{source.getrandbits(40):010x}" for _ in range(size // 11)]
    lines = [" ".join(words[at : at + 6]) for at in range(0, len(words), 6)]
    body = "".join(f"{line}\r\n" for line in [f"drill {name}", *lines]).encode()
    to = tuple(recipients)
    header = (
        f"From: <{sender}>\r\nTo: {', '.join(f'<{address}>' for address in to)}\r\nSubject: {subject} {name}\r\n"
        f"Date: Mon, 23 Nov 2026 08:00:00 +0000\r\nMessage-ID: <{name}@load.test>\r\n"
        f"X-Drill-Id: {name}\r\nX-Drill-Hash: {hashlib.sha256(body).hexdigest()}\r\n"
        "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n"
    )
    return Drill(name, kind, sender, to, header.encode() + body)


class Lost(ConnectionError):
    """The connection ended before the replies were there."""


class Client(asyncio.Protocol):
    """One client connection; ``expect`` gives the next replies in order, each as its last line."""

    def __init__(self) -> None:
        self._rest = b""
        self._replies: list[bytes] = []
        self._wanted = 0
        self._waiter: asyncio.Future[None] | None = None
        self._lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\r\n")
        self._replies += [line for line in lines if line[3:4] != b"-"]
        self._wake()

    def connection_lost(self, error: Exception | None) -> None:
        self._lost = True
        self._wake()

    def _wake(self) -> None:
        ready = self._lost or len(self._replies) >= self._wanted
        if ready and self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def say(self, data: bytes) -> None:
        self.transport.write(data)  # type: ignore[attr-defined]

    async def expect(self, count: int = 1) -> list[bytes]:
        self._wanted = count
        if len(self._replies) < count and not self._lost:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        if len(self._replies) < count:
            raise Lost("connection lost")
        taken, self._replies = self._replies[:count], self._replies[count:]
        return taken


async def connect(port: int, *, local: str | None = None, host: str = "127.0.0.1") -> Client:
    """An open session, greeted."""
    loop = asyncio.get_running_loop()
    _, client = await loop.create_connection(Client, host, port, local_addr=(local, 0) if local else None)
    client.say(b"EHLO load.test\r\n")
    banner, hello = await client.expect(2)
    if not banner.startswith(b"220") or not hello.startswith(b"250"):
        client.transport.close()
        raise Lost(f"not welcome: {banner!r}")
    return client


def envelope(sender: str, recipients: Sequence[str]) -> bytes:
    """MAIL, RCPT and DATA in one write (RFC 2920)."""
    rcpt = "".join(f"RCPT TO:<{address}>\r\n" for address in recipients)
    return f"MAIL FROM:<{sender}>\r\n{rcpt}DATA\r\n".encode()


def stuffed(raw: bytes) -> bytes:
    """The mail as it goes over the wire, with its final dot (RFC 5321 4.5.2)."""
    lines = raw.replace(b"\r\n.", b"\r\n..")
    return (b"." + lines if lines.startswith(b".") else lines) + b".\r\n"


class Load:
    """Sends drills to one port over ``connections`` connections at once; ``run()`` in a thread of the caller.

    ``sources`` names the local address from which a kind of mail comes; ``longest`` is the longest pause of tries.
    """

    def __init__(
        self,
        port: int,
        drills: Iterable[Drill],
        journal: Path,
        *,
        connections: int = 20,
        sources: Mapping[str, str] | None = None,
        longest: float = LONGEST,
    ) -> None:
        self.port = port
        self.outcomes = {drill.id: Outcome(drill) for drill in drills}
        self.connections = connections
        self.sources = dict(sources or {})
        self.longest = longest
        self.tries = round(TRIES * LONGEST / longest)  # as patient in all, however short its pauses
        self._done = 0
        self._news = threading.Condition()
        self._journal = journal.open("ab", buffering=0)

    def run(self) -> None:
        asyncio.run(self._run())

    def wait_for(self, count: int, seconds: float = 120.0) -> None:
        """Until so many mails have got their last reply."""
        with self._news:
            assert self._news.wait_for(lambda: self._done >= count, seconds), f"{self._done} of {count} mails"

    def _note_done(self) -> None:
        with self._news:
            self._done += 1
            self._news.notify_all()

    def counts(self) -> dict[str, int]:
        values = self.outcomes.values()
        return {
            "planned": len(values),
            "accepted": sum(bool(one.accepted) for one in values),
            "unknown": sum(one.unknown for one in values),
        }

    async def _run(self) -> None:
        waiting: asyncio.Queue[Outcome] = asyncio.Queue()
        for one in self.outcomes.values():
            waiting.put_nowait(one)
        await asyncio.gather(*(self._worker(waiting) for _ in range(self.connections)))
        self._journal.close()

    async def _worker(self, waiting: asyncio.Queue[Outcome]) -> None:
        clients: dict[str | None, Client] = {}
        while not waiting.empty():
            one, pause = waiting.get_nowait(), PAUSE
            for _ in range(self.tries):
                if await self._try(clients, one):
                    break
                await asyncio.sleep(pause)
                pause = min(2 * pause, self.longest)
            self._note_done()
        for client in clients.values():
            client.transport.close()

    async def _try(self, clients: dict[str | None, Client], one: Outcome) -> bool:
        source = self.sources.get(one.drill.kind)
        try:
            client = clients.get(source) or await connect(self.port, local=source)
            clients[source] = client
            return await self._send(client, one)
        except (OSError, Lost):
            clients.pop(source, None)
            return False

    async def _send(self, client: Client, one: Outcome) -> bool:
        open_ = [address for address in one.drill.recipients if address not in one.accepted]
        self._write(one, "try")
        client.say(envelope(one.drill.sender, open_))
        _, *answers, go = await client.expect(len(open_) + 2)
        if not go.startswith(b"354"):
            client.say(b"RSET\r\n")
            await client.expect()
            return self._record(one, go, [])
        client.say(stuffed(one.drill.raw))
        try:
            [final] = await client.expect()
        except Lost:
            one.unknown = True
            self._write(one, "unknown")
            raise
        good = [address for address, answer in zip(open_, answers, strict=True) if answer.startswith(b"250")]
        return self._record(one, final, good)

    def _record(self, one: Outcome, reply: bytes, recipients: list[str]) -> bool:
        text = reply.decode("ascii", "replace")
        one.replies.append(text)
        self._write(one, text[:3])
        if reply.startswith(b"250"):
            one.accepted.update(recipients)
            one.when = time.time()
        return reply.startswith(b"5") or one.accepted.issuperset(one.drill.recipients)

    def _write(self, one: Outcome, word: str) -> None:
        self._journal.write(f"{time.time():.6f} {one.drill.id} {word}\n".encode())
        with contextlib.suppress(OSError):
            os.fsync(self._journal.fileno())


class Patient(Load):
    """Says one thing after the other, as one who reads each reply, and knows how long the longest one took.

    After a 452 to MAIL the 503 to DATA would say nothing about the mail.
    """

    longest_reply = 0.0

    async def _send(self, client: Client, one: Outcome) -> bool:
        lines = [f"MAIL FROM:<{one.drill.sender}>", *(f"RCPT TO:<{to}>" for to in one.drill.recipients), "DATA"]
        for line, good in zip(lines, [b"250"] * (len(lines) - 1) + [b"354"], strict=True):
            if not (reply := await self._ask(client, f"{line}\r\n".encode())).startswith(good):
                await self._ask(client, b"RSET\r\n")
                return self._record(one, reply, [])
        self._write(one, "try")
        try:
            final = await self._ask(client, stuffed(one.drill.raw))
        except Lost:
            one.unknown = True
            raise
        return self._record(one, final, list(one.drill.recipients))

    async def _ask(self, client: Client, words: bytes) -> bytes:
        began = time.monotonic()
        client.say(words)
        [reply] = await client.expect()
        self.longest_reply = max(self.longest_reply, time.monotonic() - began)
        return reply

    def refusals(self) -> list[str]:
        """What was said to be tried again later."""
        return [reply for one in self.outcomes.values() for reply in tuple(one.replies) if reply.startswith("45")]
