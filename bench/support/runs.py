"""One measured run against one server: the load maker beside it, its CPU time before and after, the last mail out."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import attrs

from bench.support.figures import Figure
from bench.support.processes import cpu_seconds, memory
from bench.support.sink_process import SinkProcess


@attrs.frozen
class Load:
    """What one run sends; ``more`` are further arguments of the load maker."""

    sessions: int
    count: int
    size: int = 20_000
    more: tuple[str, ...] = ()


@attrs.frozen
class Server:
    """A server under test: where it listens, the process whose family is counted, and how it becomes quiet."""

    name: str
    port: int
    pid: int
    settle: Callable[[], object] = lambda: None


def generate(port: int, load: Load) -> dict[str, float]:
    """Run the load maker to its end; nothing may have been refused. ``began`` is on the clock all processes share."""
    command = [
        *(sys.executable, "-m", "bench.support.generator", str(port)),
        *(f"--sessions={load.sessions}", f"--count={load.count}", f"--size={load.size}"),
        *load.more,
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    report: dict[str, float] = json.loads(done.stdout)
    assert not report["refused"], f"{report['refused']} mails were refused"
    return report


def accepting(server: Server, load: Load) -> Figure:
    """Until the last 250; then wait until the server is quiet, outside the measured time."""
    before = cpu_seconds(server.pid)
    report = generate(server.port, load)
    used, size = cpu_seconds(server.pid) - before, memory(server.pid)
    server.settle()
    return _figure(load, report["seconds"], used, size, report)


def passing(server: Server, sink: SinkProcess, load: Load) -> Figure:
    """Until the last mail is at the next hop."""
    return passing_by_all([server], sink, load)


def passing_by_all(servers: Sequence[Server], sink: SinkProcess, load: Load) -> Figure:
    """As ``passing``, sessions and mails shared out evenly among the servers; each has a load maker of its own."""
    share = attrs.evolve(load, sessions=load.sessions // len(servers), count=load.count // len(servers))
    whole = attrs.evolve(share, count=share.count * len(servers))
    sink.reset()
    before = sum(cpu_seconds(server.pid) for server in servers)
    with ThreadPoolExecutor(len(servers)) as pool:
        reports = list(pool.map(lambda server: generate(server.port, share), servers))
    ended = sink.wait(whole.count)
    used = sum(cpu_seconds(server.pid) for server in servers) - before
    size = sum(memory(server.pid) for server in servers)
    for server in servers:
        server.settle()
    began = min(report["began"] for report in reports)
    slowest = max(reports, key=lambda report: report["dot_p99"])
    return _figure(whole, ended - began, used, size, slowest)


def at_rate(server: Server, sink: SinkProcess, load: Load) -> Figure:
    """Open loop: ``more`` names the rate; the time of a whole session is what counts."""
    sink.reset()
    before = cpu_seconds(server.pid)
    report = generate(server.port, load)
    sink.wait(load.count)
    used = cpu_seconds(server.pid) - before
    rate = float(next(word.partition("=")[2] for word in load.more if word.startswith("--rate=")))
    return attrs.evolve(
        _figure(load, load.count / rate, used, memory(server.pid), report),
        session_p99_ms=report["session_p99"] * 1000,
    )


def _figure(load: Load, seconds: float, cpu: float, size: int, report: dict[str, float]) -> Figure:
    return Figure(
        per_second=load.count / seconds,
        cpu_ms=cpu * 1000 / load.count,
        memory_mb=size / 1e6,
        dot_p99_ms=report["dot_p99"] * 1000,
    )
