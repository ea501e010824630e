"""A next hop for tests: an SMTP server in a thread of its own that keeps what it gets and says when.

Written apart from the gateway's own SMTP on purpose: two programs that share a mistake agree with each other.
It follows RFC 5321 as a receiver, with PIPELINING, 8BITMIME, SMTPUTF8, (if wanted) CHUNKING and (given a context)
STARTTLS.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs

END = b"\r\n.\r\n"
Answers = Callable[[str, str], bytes | None]


@attrs.frozen
class Arrived:
    """One mail that got a 250: when (Unix time), from whom, for whom, what, and whether TLS covered it."""

    time: float
    sender: str
    recipients: tuple[str, ...]
    raw: bytes
    tls: bool


class Sink:
    """Listens from construction on; ``answers(verb, argument)`` may put its own reply in place of the good one.

    ``journal`` is a file to which every mail's line is appended and flushed to the disk before the 250.
    """

    def __init__(
        self,
        *,
        answers: Answers = lambda verb, argument: None,
        context: ssl.SSLContext | None = None,
        journal: Path | None = None,
        keep: bool = True,
        chunking: bool = False,
    ) -> None:
        self.answers = answers
        self.context = context
        self.keep = keep
        self.chunking = chunking
        self.count = 0
        self.last = 0.0
        self.arrived: list[Arrived] = []
        self._journal = journal.open("ab", buffering=0) if journal else None
        self._news = threading.Condition()
        self._loop = asyncio.new_event_loop()
        self._server = self._loop.run_until_complete(
            self._loop.create_server(lambda: _Session(self), "127.0.0.1", 0)
        )
        self.port: int = self._server.sockets[0].getsockname()[1]
        self._thread = threading.Thread(target=self._loop.run_forever, name="sink", daemon=True)
        self._thread.start()

    def note(self, mail: Arrived) -> None:
        """Keep one mail; called by a session before it says 250."""
        if self._journal is not None:
            line = f"{mail.time:.6f} {','.join(mail.recipients)} {len(mail.raw)}\n"
            self._journal.write(line.encode())
            os.fsync(self._journal.fileno())
        with self._news:
            self.count += 1
            self.last = time.monotonic()
            if self.keep:
                self.arrived.append(mail)
            self._news.notify_all()

    def wait(self, until: Callable[[list[Arrived]], bool], seconds: float = 30.0) -> list[Arrived]:
        """What has arrived, as soon as ``until`` is content with it; AssertionError after ``seconds``."""
        with self._news:
            good = self._news.wait_for(lambda: until(self.arrived), seconds)
            assert good, f"the sink waited {seconds} s in vain; it has {len(self.arrived)} mails"
            return list(self.arrived)

    def wait_count(self, count: int, seconds: float) -> float:
        """The monotonic time at which mail number ``count`` arrived, give or take later ones."""
        with self._news:
            good = self._news.wait_for(lambda: self.count >= count, seconds)
            assert good, f"the sink waited {seconds} s in vain; it counted {self.count} of {count}"
            return self.last

    def sent_to(self, address: str, seconds: float = 30.0) -> Arrived:
        """The first mail for this address."""
        found = self.wait(lambda mails: any(address in mail.recipients for mail in mails), seconds)
        return next(mail for mail in found if address in mail.recipients)

    def forget(self) -> None:
        """Begin again with nothing."""
        with self._news:
            self.arrived.clear()
            self.count = 0

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self._finish(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()
        if self._journal is not None:
            self._journal.close()

    async def _finish(self) -> None:
        self._server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)


class _Session(asyncio.Protocol):
    def __init__(self, sink: Sink) -> None:
        self.sink = sink
        self.buffer = bytearray()
        self.searched = 0
        self.in_body = False
        self.chunk: int | None = None  # bytes that are still to come, of a text in one chunk
        self.secure = False
        self.sender = ""
        self.recipients: list[str] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        if not self.secure:
            self.say(self.sink.answers("connect", "") or b"220 sink.test ESMTP\r\n")

    def say(self, reply: bytes) -> None:
        self.transport.write(reply)  # type: ignore[attr-defined]
        if reply.startswith(b"421"):
            self.transport.close()

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while self._chunk() if self.chunk is not None else self._body() if self.in_body else self._line():
            pass

    def _line(self) -> bool:
        at = self.buffer.find(b"\n")
        if at < 0:
            return False
        line = bytes(self.buffer[:at]).rstrip(b"\r").decode("utf-8", "replace")
        del self.buffer[: at + 1]
        verb, _, argument = line.partition(" ")
        self._command(verb.upper(), argument)
        return True

    def _command(self, verb: str, argument: str) -> None:
        if verb == "BDAT" and self.sink.chunking:  # its octets come whatever is answered (RFC 3030 2)
            self.chunk = int(argument.split(maxsplit=1)[0])
            return
        own = self.sink.answers(verb, argument)
        if own is not None:
            self.say(own)
            return
        action = getattr(self, f"do_{verb.lower()}", None)
        self.say(action(argument) if action else b"500 5.5.1 what\r\n")
        if verb == "STARTTLS" and self.sink.context is not None:
            self._encrypt()

    def do_ehlo(self, argument: str) -> bytes:
        words = [b"sink.test", b"PIPELINING", b"8BITMIME", b"SMTPUTF8", b"SIZE 200000000"]
        if self.sink.context is not None and not self.secure:
            words.append(b"STARTTLS")
        if self.sink.chunking:
            words.append(b"CHUNKING")
        return b"".join(b"250-%b\r\n" % word for word in words[:-1]) + b"250 %b\r\n" % words[-1]

    def do_helo(self, argument: str) -> bytes:
        return b"250 sink.test\r\n"

    def do_starttls(self, argument: str) -> bytes:
        return b"220 go ahead\r\n" if self.sink.context is not None else b"502 5.5.1 no\r\n"

    def do_mail(self, argument: str) -> bytes:
        self.sender, self.recipients = _path(argument), []
        return b"250 2.1.0 ok\r\n"

    def do_rcpt(self, argument: str) -> bytes:
        self.recipients.append(_path(argument))
        return b"250 2.1.5 ok\r\n"

    def do_data(self, argument: str) -> bytes:
        if not self.recipients:
            return b"503 5.5.1 no recipient\r\n"
        self.in_body, self.searched = True, 0
        self.buffer[:0] = b"\r\n"
        return b"354 go on\r\n"

    def do_rset(self, argument: str) -> bytes:
        self.sender, self.recipients = "", []
        return b"250 2.0.0 ok\r\n"

    def do_noop(self, argument: str) -> bytes:
        return b"250 2.0.0 ok\r\n"

    def do_quit(self, argument: str) -> bytes:
        self.transport.close()
        return b"221 2.0.0 bye\r\n"

    def _body(self) -> bool:
        at = self.buffer.find(END, max(0, self.searched - len(END)))
        if at < 0:
            self.searched = len(self.buffer)
            return False
        raw = bytes(self.buffer[2 : at + 2]).replace(b"\r\n..", b"\r\n.")
        del self.buffer[: at + len(END)]
        self.in_body = False
        self.say(self._take(raw[1:] if raw.startswith(b"..") else raw))
        return True

    def _chunk(self) -> bool:
        """A text in one chunk, the only way in which we are sent one."""
        if self.chunk is None or len(self.buffer) < self.chunk:
            return False
        raw = bytes(self.buffer[: self.chunk])
        del self.buffer[: self.chunk]
        self.chunk = None
        own = self.sink.answers("BDAT", str(len(raw)))
        self.say(own or (self._take(raw) if self.recipients else b"503 5.5.1 no recipient\r\n"))
        return True

    def _take(self, raw: bytes) -> bytes:
        own = self.sink.answers(".", ",".join(self.recipients))
        if own is not None:
            return own
        self.sink.note(Arrived(time.time(), self.sender, tuple(self.recipients), raw, self.secure))
        return b"250 2.0.0 kept\r\n"

    def _encrypt(self) -> None:
        self.secure = True
        transport = self.transport
        transport.pause_reading()  # type: ignore[attr-defined]

        async def upgrade() -> None:
            loop = asyncio.get_running_loop()
            assert self.sink.context is not None
            with contextlib.suppress(OSError):
                self.transport = await loop.start_tls(  # type: ignore[assignment]
                    transport,
                    self,
                    self.sink.context,
                    server_side=True,  # type: ignore[arg-type]
                )

        self._upgrade = asyncio.ensure_future(upgrade())


def _path(argument: str) -> str:
    return argument[argument.find("<") + 1 : argument.rfind(">")]


@contextlib.contextmanager
def sink(**settings: object) -> Iterator[Sink]:
    """A sink for the time of one ``with``."""
    server = Sink(**settings)  # type: ignore[arg-type]
    try:
        yield server
    finally:
        server.close()
