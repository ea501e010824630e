"""A gateway as an administrator runs it: configuration file, database, ``twistd -n securegw --config`` beside the test.

Ready means that its log says so; nobody sleeps and hopes. It is ended by its own id, gently or with SIGKILL.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import queue as queues
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from securegw.commands.main import main as command
from securegw.config import read
from securegw.gateway import Settings
from securegw.store import desk, keystore
from securegw.store.database import Database, place
from securegw.store.items import Item
from tests.support.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
OPEN = re.compile(r"securegw is open: (.*)")
PLACE = re.compile(r"(\w[\w-]*) 127\.0\.0\.1:(\d+)")
SECONDS = 30.0
# Twisted's starter, of the interpreter that runs the tests.
TWISTD = (sys.executable, "-c", "from twisted.scripts.twistd import run; run()")


def admin(config: Path, *words: str) -> None:
    """One ``securegw`` command of the administrator, which must go well."""
    securegw(*words, "--config", str(config))


def securegw(*words: str) -> str:
    """Any ``securegw`` command that must go well; what it printed."""
    with contextlib.redirect_stdout(io.StringIO()) as out:
        code = command(words)
    assert code == 0, f"securegw {' '.join(words)}: exit code {code}"
    return out.getvalue()


@attrs.define
class Process:
    """A started gateway: its output is read all the time, so that it never waits for us."""

    popen: subprocess.Popen[str]
    lines: list[str] = attrs.Factory(list)
    news: queues.Queue[str | None] = attrs.Factory(queues.Queue)

    @classmethod
    def start(cls, words: Sequence[str], folder: Path) -> Process:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
        popen = subprocess.Popen(
            [*TWISTD, *words],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        process = cls(popen)
        threading.Thread(target=process._read, daemon=True).start()
        return process

    def _read(self) -> None:
        assert self.popen.stdout is not None
        for line in self.popen.stdout:
            self.lines.append(line)
            self.news.put(line)
        self.news.put(None)

    def wait_for(self, pattern: re.Pattern[str], seconds: float = SECONDS) -> re.Match[str]:
        """The first line that has it; AssertionError with all that was said otherwise."""
        end = time.monotonic() + seconds
        while True:
            try:
                line = self.news.get(timeout=max(0.0, end - time.monotonic()))
            except queues.Empty:
                line = None
            assert line is not None, (
                f"the gateway never said {pattern.pattern!r}, but:\n{''.join(self.lines)}"
            )
            if found := pattern.search(line):
                return found


@attrs.define
class Gateway:
    """A gateway with its folder; started and stopped as often as a test likes, always on the same ports."""

    folder: Path
    smtp_port: int
    portal_port: int
    process: Process | None = None
    earlier: list[str] = attrs.Factory(list)

    @property
    def config(self) -> Path:
        return self.folder / "securegw.toml"

    @property
    def pid(self) -> int:
        assert self.process is not None, "not started"
        return self.process.popen.pid

    @property
    def log(self) -> str:
        """Everything it has said since it was started for the first time."""
        return "".join([*self.earlier, *(self.process.lines if self.process else ())])

    def start(self) -> float:
        """Start it and wait until all doors are open; the seconds that took it, whatever else the machine did."""
        started = time.monotonic()
        words = ["-n", "--pidfile=", "--no_save", "securegw", "--config", str(self.config)]
        self.process = Process.start(words, self.folder)
        doors = dict(PLACE.findall(self.process.wait_for(OPEN)[1]))
        assert (int(doors["smtp"]), int(doors["portal"])) == (self.smtp_port, self.portal_port)
        return time.monotonic() - started - starved(self.pid)

    def kill(self) -> None:
        """SIGKILL, as a power failure of this one process."""
        self._end(signal.SIGKILL)

    def stop(self) -> float:
        """SIGTERM: it must finish or hand back what is under way, and go; the seconds that took it."""
        return self._end(signal.SIGTERM)

    def _end(self, how: signal.Signals) -> float:
        if self.process is None:
            return 0.0
        process, self.process = self.process, None
        began, before = time.monotonic(), starved(process.popen.pid)
        process.popen.send_signal(how)
        try:
            waited = _wait(process.popen, began + SECONDS, before)
        except subprocess.TimeoutExpired:
            process.popen.kill()
            process.popen.wait(SECONDS)
            raise AssertionError(f"did not end on {how.name}:\n{''.join(process.lines[-50:])}") from None
        finally:
            self.earlier += process.lines
        return time.monotonic() - began - (waited - before)

    def settings(self) -> Settings:
        return read(Settings, self.config.read_text(), str(self.config))

    def ask(self, question: Callable[..., Any], **named: Any) -> Any:
        """A question to the database, beside the running gateway."""
        settings = self.settings()
        database = Database(place(settings.database.url, settings.gateway.directory), inline=True)
        try:
            return database.read(question, **named).result()
        finally:
            database.close()

    def queue(self) -> list[Item]:
        """What lies in the queue."""
        items: list[Item] = self.ask(desk.list_items, limit=100_000)
        return items

    def wait_for_queue(self, content: Callable[[list[Item]], bool], seconds: float = SECONDS) -> list[Item]:
        """The queue as soon as ``content`` says so."""
        end = time.monotonic() + seconds
        while not content(items := self.queue()):
            assert time.monotonic() < end, f"the queue is {items}\n{self.log[-3000:]}"
            time.sleep(0.05)
        return items

    def certificate_of(self, address: str) -> bytes:
        """The newest certificate of a user, DER."""
        return bytes(self.ask(keystore.find, address=address)[0].der)

    def authority(self) -> bytes:
        """The certificate of the internal authority, DER."""
        return bytes(self.ask(keystore.authority).der)

    def retry_all(self) -> None:
        """What the administrator does after a fault: try all that waits now."""
        if items := self.queue():
            admin(self.config, "queue", "retry", *(item.id for item in items))

    def reroute(self, *, inside: int, outside: int) -> None:
        """Other next hops for inside.test and the world."""
        admin(self.config, "domains", "remove", "inside.test")
        admin(self.config, "domains", "add", "inside.test", "--route", f"[127.0.0.1]:{inside}")
        admin(self.config, "routes", "set", "*", f"[127.0.0.1]:{outside}")

    def wait_empty(self, seconds: float) -> None:
        """Until nothing lies in the queue any more."""
        end = time.monotonic() + seconds
        while items := self.queue():
            assert time.monotonic() < end, f"{len(items)} mails are still in the queue: {items[:3]}"
            time.sleep(0.1)


def starved(pid: int) -> float:
    """For how long a process could have gone on and others had the processors; 0 where the kernel does not tell."""
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9
    except (OSError, IndexError):
        return 0.0


def _wait(popen: subprocess.Popen[str], end: float, waited: float) -> float:
    """Until it has ended, or TimeoutExpired; for how long it was starved, as far as that could still be seen."""
    while True:
        try:
            popen.wait(0.02)
        except subprocess.TimeoutExpired:
            if time.monotonic() > end:
                raise
            waited = max(waited, starved(popen.pid))
        else:
            return waited


TEXT = """\
[gateway]
host = "gw.inside.test"
directory = "."
master_key = "master.key"
[smtp]
listen = ["tcp:{smtp}:interface=127.0.0.1"]
certificate = "tls.pem"
key = "tls.key"
[intake]
relay_networks = ["127.0.0.1/32"]
[portal]
listen = ["tcp:{portal}:interface=127.0.0.1"]
url = "https://localhost:{portal}"
certificate = "tls.pem"
key = "tls.key"
organisation = "Inside Hospital"
"""


def configuration(smtp: int, portal: int, more: Mapping[str, Mapping[str, object]]) -> str:
    """The configuration as TOML; ``more`` adds settings by section."""
    lines = TEXT.format(smtp=smtp, portal=portal).splitlines()
    # The disk of a small test machine may have less free than a real gateway insists on.
    more = {**more, "intake": {"free_space": "10 MB", **more.get("intake", {})}}
    for section, settings in more.items():
        rows = [f"{name} = {_toml(value)}" for name, value in settings.items()]
        if f"[{section}]" in lines:
            at = lines.index(f"[{section}]") + 1
            lines[at:at] = rows
        else:
            lines += [f"[{section}]", *rows]
    return "\n".join(lines) + "\n"


def _toml(value: object) -> str:
    if isinstance(value, list):
        return json.dumps(value)
    return str(value) if isinstance(value, (int, float)) else f'"{value}"'


def prepare(
    folder: Path,
    *,
    inside: int,
    outside: int,
    settings: Mapping[str, Mapping[str, object]] | None = None,
    database: str | None = None,
) -> Gateway:
    """Files and database of a gateway for inside.test; next hops are ports on 127.0.0.1.

    ``database`` is the address of an empty one, in place of the file that quickstart makes.
    """
    made, home = folder / "made", f"[127.0.0.1]:{inside}"
    words = ("quickstart", "gw.inside.test", "--dir", str(made), "--domain", "inside.test")
    securegw(*words, "--inside-server", home)
    gateway = Gateway(made, free_port(), free_port())
    more = {**(settings or {}), **({"database": {"url": database}} if database else {})}
    gateway.config.write_text(configuration(gateway.smtp_port, gateway.portal_port, more))
    if database:
        _fill(gateway, home)
    admin(gateway.config, "routes", "set", "*", f"[127.0.0.1]:{outside}")
    return gateway


def _fill(gateway: Gateway, home: str) -> None:
    """What quickstart has put into its own database, in another one."""
    database = Database(gateway.settings().database.url, inline=True)
    database.migrate()
    database.close()
    admin(gateway.config, "domains", "add", "inside.test", "--route", home)
    admin(gateway.config, "keys", "authority", "inside.test mail authority")


@contextlib.contextmanager
def gateway(
    folder: Path, *, inside: int, outside: int, settings: Mapping[str, Mapping[str, object]] | None = None
) -> Iterator[Gateway]:
    """A running gateway for the time of one ``with``."""
    made = prepare(folder, inside=inside, outside=outside, settings=settings)
    try:
        made.start()
        yield made
    finally:
        made.stop()
