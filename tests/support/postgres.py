"""A PostgreSQL of our own: made by initdb in a temporary folder, reached by its Unix socket, stopped at the end.

PostgreSQL does not run as root, so as root its programs are run as the user ``postgres``. Without them the test is
skipped by name; under CI their absence is a failure.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import attrs
import pytest

OWNER = "postgres"
SETTINGS = {
    "listen_addresses": "",
    "fsync": "off",  # the cluster ends with the tests
    "shared_buffers": "32MB",
    "max_connections": "60",
    "autovacuum": "off",
}


def programs() -> Path | None:
    """The folder of the newest installed server, or None."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[4]))
    return found[-1].parent if found else None


@attrs.define
class Postgres:
    """A running server."""

    programs: Path
    folder: Path
    numbers: Iterator[int] = attrs.field(factory=lambda: itertools.count(1))

    def url(self, name: str) -> str:
        return f"postgresql+psycopg://{OWNER}@/{name}?host={self.folder}"

    def database(self, template: str = "template0") -> str:
        """The name of a new database, empty or like the template."""
        name = f"test_{next(self.numbers)}"
        self.psql(f"CREATE DATABASE {name} TEMPLATE {template} ENCODING 'UTF8'")
        return name

    def psql(self, sql: str, database: str = "postgres") -> str:
        """Run one statement as the superuser, on a connection of its own."""
        options = ["-h", str(self.folder), "-U", OWNER, "-d", database, "-qAtX", "-v", "ON_ERROR_STOP=1", "-c", sql]
        return self.run("psql", *options).strip()

    def start(self) -> None:
        data = self.folder / "data"
        self.run("initdb", "-D", str(data), "-U", OWNER, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
        self.serve()

    def serve(self) -> None:
        """Start it, for the first time or again."""
        data, log = self.folder / "data", self.folder / "log"
        settings = " ".join(f"-c {name}='{value}'" for name, value in SETTINGS.items())
        self.run("pg_ctl", "-D", str(data), "-l", str(log), "-w", "-o", f"-k {self.folder} {settings}", "start")

    def stop(self) -> None:
        self.run("pg_ctl", "-D", str(self.folder / "data"), "-w", "-m", "immediate", "stop")

    def run(self, program: str, *arguments: str) -> str:
        command = [*_as_owner(), str(self.programs / program), *arguments]
        # pg_ctl's server inherits the pipe, so its words go to the log file and nothing is captured.
        quiet = subprocess.DEVNULL if program == "pg_ctl" else subprocess.PIPE
        done = subprocess.run(
            command, cwd="/", stdin=subprocess.DEVNULL, stdout=quiet, stderr=quiet, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, f"{program}: {done.stderr or ''}{done.stdout or ''}"
        return done.stdout or ""


Server = TypeVar("Server", bound=Postgres)


def _as_owner() -> list[str]:
    return ["runuser", "-u", OWNER, "--"] if os.geteuid() == 0 else []


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """The server, for the whole run of the tests."""
    with own_server(Postgres) as server:
        yield server


@contextlib.contextmanager
def own_server(kind: Callable[[Path, Path], Server]) -> Iterator[Server]:
    """A server for the time of one ``with``."""
    found = programs()
    if found is None:
        words = "PostgreSQL is not installed (/usr/lib/postgresql)"
        if os.environ.get("CI"):
            pytest.fail(words)
        pytest.skip(words)
    folder = Path(tempfile.mkdtemp(prefix="securegw-postgres-"))
    if os.geteuid() == 0:
        shutil.chown(folder, OWNER)
    server = kind(found, folder)
    try:
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
