"""Idle TLS sessions: what each of thousands costs in memory, and all of them in CPU, against nginx.

SMTP with TLS from the first byte, greeted and silent, against HTTPS connections that have not asked anything yet. Both
take the same certificate; the client is the same program.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import resource
import shutil
import ssl
import subprocess
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import attrs

from bench.support.figures import Figure, Row, measure, write
from bench.support.processes import cpu_seconds, end, family, memory
from bench.support.runs import Server
from tests.support.ports import free_port, wait_for_port
from tests.support.running import prepare

AT_ONCE = 50
QUIET = 10.0  # seconds in which nobody says anything
SETTINGS: dict[str, object] = {
    "connections": 100_000,
    "connections_per_address": 100_000,
    "connections_per_minute": 1_000_000,
    "command_time": "1h",
    "session_time": "2h",
}
NGINX = """\
daemon off;
worker_processes 1;
worker_rlimit_nofile {files};
pid {folder}/pid;
error_log {folder}/error.log;
events {{ worker_connections {files}; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    client_header_timeout 1h;
    keepalive_timeout 1h;
    server {{
        listen 127.0.0.1:{port} ssl backlog=4096;
        ssl_certificate {certificate};
        ssl_certificate_key {key};
    }}
}}
"""
WORDS = (
    "Sessions are opened, with a handshake each, and then say nothing: how many a second, the CPU for each, and the "
    "memory that all of them add. ``python -m bench.idle`` repeats this."
)


def allow_files() -> int:
    """As many open files as this machine lets us have."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


@contextlib.contextmanager
def gateway(folder: Path) -> Iterator[tuple[Server, Path, Path]]:
    """The gateway with TLS from the first byte, and its certificate."""
    port = free_port()
    settings = {"smtp": {**SETTINGS, "listen_tls": [f"tcp:{port}:backlog=4096:interface=127.0.0.1"]}}
    running = prepare(folder, inside=1, outside=1, settings=settings)
    running.start()
    try:
        yield Server("securegw", port, running.pid), running.folder / "tls.pem", running.folder / "tls.key"
    finally:
        running.stop()


@contextlib.contextmanager
def nginx(folder: Path, certificate: Path, key: Path, files: int) -> Iterator[Server]:
    program = shutil.which("nginx", path="/usr/sbin:/usr/bin")
    assert program, "nginx is not installed"
    port = free_port()
    file = folder / "nginx.conf"
    text = NGINX.format(folder=folder, port=port, certificate=certificate, key=key, files=files - 1000)
    file.write_text(f"user root;\n{text}")
    process = subprocess.Popen([program, "-p", str(folder), "-c", str(file)], text=True)
    try:
        wait_for_port(port, alive=lambda: process.poll() is None)
        yield Server("nginx", port, process.pid)
    finally:
        end(process)


@attrs.define
class Crowd:
    """Sessions that are open and silent."""

    port: int
    context: ssl.SSLContext
    writers: list[asyncio.StreamWriter] = attrs.Factory(list)

    async def come(self, count: int) -> None:
        gate = asyncio.Semaphore(AT_ONCE)

        async def one() -> None:
            async with gate:
                _reader, writer = await asyncio.open_connection("127.0.0.1", self.port, ssl=self.context)
                self.writers.append(writer)

        await asyncio.gather(*(one() for _ in range(count)))

    async def go(self) -> None:
        for writer in self.writers:
            writer.transport.abort()
        self.writers.clear()
        await asyncio.sleep(1)


def idle(server: Server, at_rest: int, count: int) -> Figure:
    """Handshakes a second, what one costs, and the memory that the sessions add to what it took ``at_rest``."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE

    async def run() -> Figure:
        crowd = Crowd(server.port, context)
        await crowd.come(100)
        await crowd.go()
        used, began = cpu_seconds(server.pid), time.monotonic()
        await crowd.come(count)
        took = time.monotonic() - began
        shaken, after = cpu_seconds(server.pid) - used, memory(server.pid)
        still = cpu_seconds(server.pid)
        await asyncio.sleep(QUIET)
        still = cpu_seconds(server.pid) - still
        await crowd.go()
        each = (after - at_rest) / count
        print(f"{server.name}: {each / 1024:.1f} KB a session, idle CPU {100 * still / QUIET:.1f} %", flush=True)
        return Figure(per_second=count / took, cpu_ms=shaken * 1000 / count, memory_mb=each * count / 1e6)

    return asyncio.run(run())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sessions", type=int, default=9000)
    given = parser.parse_args()
    files = allow_files()
    count = min(given.sessions, files - 1500)
    with tempfile.TemporaryDirectory(prefix="sg-idle-") as place:
        folder = Path(place)
        with gateway(folder) as (ours, certificate, key), nginx(folder, certificate, key, files) as peer:
            assert family(peer.pid)
            # What sessions have left behind is used again by the next ones: at rest is before the first.
            servers = {each.name: partial(idle, each, memory(each.pid), count) for each in (peer, ours)}
            rows: list[Row] = measure(f"{count} idle sessions", servers, given.rounds)
    write("idle", "Idle TLS sessions", WORDS, [(rows, "nginx")], unit="session")


if __name__ == "__main__":
    main()
