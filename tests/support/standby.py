"""A second PostgreSQL that follows the first one, until it is promoted."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from tests.support.postgres import OWNER, Postgres, own_server


class Standby(Postgres):
    """Started as a copy of ``primary``."""

    primary: Postgres

    def start(self) -> None:
        place = str(self.folder / "data")
        self.run("pg_basebackup", "-h", str(self.primary.folder), "-U", OWNER, "-D", place, "-R", "-c", "fast", "-N")
        self.serve()

    def promote(self) -> None:
        self.run("pg_ctl", "-D", str(self.folder / "data"), "-w", "promote")


@contextlib.contextmanager
def primary_and_standby() -> Iterator[tuple[Postgres, Standby]]:
    """Two running servers with the same data."""

    def follow(programs: Path, folder: Path) -> Standby:
        made = Standby(programs, folder)
        made.primary = first
        return made

    with own_server(Postgres) as first, own_server(follow) as second:
        yield first, second


