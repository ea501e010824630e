"""Peers that only keep a server waiting: one byte every so often, or a TLS handshake that never comes.

They live in a thread of their own until ``close``; who is turned away by the server is only counted.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import Future
from typing import Any

PAUSE = 0.2
Peer = Callable[[str], Coroutine[Any, Any, None]]


class Slow:
    """Opens slow connections to the ports of one server, from many addresses of the loopback."""

    def __init__(self, addresses: tuple[str, ...]) -> None:
        self.open = 0
        self._news = threading.Condition()
        self._peers: list[Future[None]] = []
        self._addresses = itertools.cycle(addresses)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="slow", daemon=True)
        self._thread.start()
        self._context = ssl.create_default_context()
        self._context.check_hostname = False
        self._context.verify_mode = ssl.CERT_NONE

    def talk(self, count: int, port: int, *, says: bytes, tls: bool = False) -> None:
        """So many sessions that are greeted, if they are, and then say this byte by byte, for ever."""
        self._begin(count, lambda address: self._talk(address, port, says, tls))

    def shake(self, count: int, port: int, *, after: tuple[bytes, ...] = ()) -> None:
        """So many sessions that say these lines, each after a reply, and then owe the server a TLS handshake."""
        self._begin(count, lambda address: self._shake(address, port, after))

    def leave(self) -> None:
        """All of them go."""
        asyncio.run_coroutine_threadsafe(self._finish(), self._loop).result(20)

    def close(self) -> None:
        self.leave()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(20)
        self._loop.close()

    def _begin(self, count: int, peer: Peer) -> None:
        """Returns when all of them are connected."""
        wanted = self.open + count
        # Kept, because the loop itself does not keep a task that only waits to read.
        self._peers += [asyncio.run_coroutine_threadsafe(self._stay(peer), self._loop) for _ in range(count)]
        with self._news:
            assert self._news.wait_for(lambda: self.open >= wanted, 20), (
                f"{self.open} of {wanted} are connected"
            )

    def _count(self, change: int) -> None:
        with self._news:
            self.open += change
            self._news.notify_all()

    async def _stay(self, peer: Peer) -> None:
        with contextlib.suppress(OSError):
            await peer(next(self._addresses))

    async def _talk(self, address: str, port: int, says: bytes, tls: bool) -> None:
        async with self._connected(address, port, self._context if tls else None) as (_, writer):
            for byte in itertools.cycle(says):
                writer.write(bytes((byte,)))
                await writer.drain()
                await asyncio.sleep(PAUSE)

    async def _shake(self, address: str, port: int, after: tuple[bytes, ...]) -> None:
        async with self._connected(address, port, None) as (reader, writer):
            for line in after:
                while (reply := await reader.readline()) and reply[3:4] != b" ":
                    pass
                writer.write(line)
            while await reader.read(1000):
                pass

    @contextlib.asynccontextmanager
    async def _connected(
        self, address: str, port: int, context: ssl.SSLContext | None
    ) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1",
            port,
            ssl=context,
            server_hostname="localhost" if context else None,
            local_addr=(address, 0),
        )
        self._count(1)
        try:
            yield reader, writer
        finally:
            self._count(-1)
            writer.close()

    async def _finish(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)


@contextlib.contextmanager
def slow_peers(*addresses: str) -> Iterator[Slow]:
    peers = Slow(addresses)
    try:
        yield peers
    finally:
        peers.close()
