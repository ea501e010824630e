"""Fetches all mails of mailboxes over POP3S, each mailbox in a process of its own; prints what it measured as JSON.

``python -m bench.support.fetcher PORT PID BOX=PASSWORD...``. Each process signs in, waits until all have, and then says
RETR for one mail after the other. What comes is counted and its end looked for; the CPU time of the server's process
PID and its children is read before and after. It ends by itself.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import socket
import ssl
import time
from multiprocessing.synchronize import Barrier
from typing import Any

from bench.support.processes import cpu_seconds

END = b"\r\n.\r\n"
SECONDS = 120.0


class Session:
    """One session over TLS."""

    def __init__(self, port: int) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        plain = socket.create_connection(("127.0.0.1", port), timeout=SECONDS)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.wire = context.wrap_socket(plain)
        self.buffer = bytearray(1 << 20)
        self.line()

    def line(self) -> bytes:
        """A reply of one line; nothing may come behind it."""
        got = b""
        while not got.endswith(b"\r\n"):
            got += self.wire.recv(4096)
        assert got.startswith(b"+OK"), got
        return got

    def ask(self, command: str) -> bytes:
        self.wire.sendall(f"{command}\r\n".encode())
        return self.line()

    def fetch(self, number: int) -> int:
        """A mail; the length of the whole reply."""
        self.wire.sendall(b"RETR %d\r\n" % number)
        length, view = 0, memoryview(self.buffer)
        while not (length > 5 and self.buffer[length - 5 : length] == END):
            got = self.wire.recv_into(view[length:])
            assert got, "the server has gone"
            length += got
        assert self.buffer.startswith(b"+OK"), bytes(self.buffer[:100])
        return length


def fetch_all(port: int, password: str, box: str, ready: Barrier, reports: Any) -> None:
    session = Session(port)
    session.ask(f"USER {box}")
    began = time.perf_counter()
    session.ask(f"PASS {password}")
    signed_in = time.perf_counter() - began
    count = int(session.ask("STAT").split()[1])
    for _ in range(2):  # all have signed in; the server's CPU time has been read
        ready.wait(SECONDS)
    began, size, times = time.monotonic(), 0, []
    for number in range(1, count + 1):
        started = time.perf_counter()
        size += session.fetch(number)
        times.append(time.perf_counter() - started)
    ended = time.monotonic()
    session.ask("QUIT")
    reports.put({"count": count, "bytes": size, "began": began, "ended": ended, "times": times, "sign_in": signed_in})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("pid", type=int, help="the server's process")
    parser.add_argument("boxes", nargs="+", metavar="BOX=PASSWORD", help="one for each session")
    given = parser.parse_args()
    boxes = [word.split("=", 1) for word in given.boxes]
    forking = multiprocessing.get_context("fork")
    ready, reports = forking.Barrier(len(boxes) + 1), forking.Queue()
    sessions = [
        forking.Process(target=fetch_all, args=(given.port, password, box, ready, reports))
        for box, password in boxes
    ]
    for session in sessions:
        session.start()
    ready.wait(SECONDS)
    before = cpu_seconds(given.pid)
    ready.wait(SECONDS)
    found = [reports.get(timeout=SECONDS) for _ in sessions]
    used = cpu_seconds(given.pid) - before
    for session in sessions:
        session.join()
    times = sorted(value for each in found for value in each["times"])
    print(
        json.dumps(
            {
                "count": sum(each["count"] for each in found),
                "bytes": sum(each["bytes"] for each in found),
                "seconds": max(each["ended"] for each in found) - min(each["began"] for each in found),
                "cpu": used,
                "p50": times[len(times) // 2],
                "p99": times[int(len(times) * 0.99)],
                "sign_in": max(each["sign_in"] for each in found),
            }
        )
    )


if __name__ == "__main__":
    main()
