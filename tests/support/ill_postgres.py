"""A PostgreSQL that falls ill when it is told to: stopped, frozen, without room for clients, killed in a commit.

Its databases belong to a role that is no superuser, because superusers are let in whatever the limits are.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs

from tests.support.postgres import Postgres, own_server

ROLE = "gateway"
SECONDS = 20.0


@attrs.define
class IllPostgres(Postgres):
    """Healthy until one of its methods is used; each trouble lasts for one ``with``."""

    def url(self, name: str) -> str:
        return f"postgresql+psycopg://{ROLE}@/{name}?host={self.folder}"

    def database(self, template: str = "template0") -> str:
        name = super().database(template)
        self.psql(f"ALTER DATABASE {name} OWNER TO {ROLE}")
        return name

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        self.stop()
        try:
            yield
        finally:
            self.serve()

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """The kernel still takes connections and bytes for it; nobody answers."""
        family = self.family()
        for pid in family:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in family:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    @contextlib.contextmanager
    def crowded(self) -> Iterator[None]:
        """Nobody is let in, and who is inside is sent away."""
        self.psql(f"ALTER ROLE {ROLE} CONNECTION LIMIT 0")
        self.psql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{ROLE}'")
        try:
            yield
        finally:
            self.psql(f"ALTER ROLE {ROLE} CONNECTION LIMIT -1")

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Commits wait for a synchronous standby that is not there."""
        self.psql("ALTER SYSTEM SET synchronous_standby_names = 'missing'")
        self.psql("SELECT pg_reload_conf()")
        try:
            yield
        finally:
            self.until(lambda: self.psql("ALTER SYSTEM RESET synchronous_standby_names") == "")
            self.psql("SELECT pg_reload_conf()")

    @contextlib.contextmanager
    def killed_in_commit(self) -> Iterator[None]:
        """The server process of a commit that waits is killed: all others are ended too, and the server recovers."""
        with self.alone():
            waiting = self.until(
                lambda: self.psql("SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep' LIMIT 1")
            )
            os.kill(int(waiting), signal.SIGKILL)
            yield

    def family(self) -> list[int]:
        """The postmaster and its children."""
        master = int((self.folder / "data" / "postmaster.pid").read_text().split()[0])
        return [master, *map(int, Path(f"/proc/{master}/task/{master}/children").read_text().split())]

    def until(self, asked: Callable[[], object]) -> str:
        """The first answer that is one; the server may be recovering meanwhile."""
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            with contextlib.suppress(AssertionError):
                if answer := asked():
                    return str(answer)
            time.sleep(0.02)
        raise AssertionError("the server never came to that")


@contextlib.contextmanager
def ill_postgres() -> Iterator[IllPostgres]:
    with own_server(IllPostgres) as server:
        server.psql(f"CREATE ROLE {ROLE} LOGIN")
        yield server
