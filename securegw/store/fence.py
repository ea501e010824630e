"""The fence: a PostgreSQL server that is not, or no longer, the newest one we have worked with is refused.

Every promotion of a standby begins a new timeline. A primary that was thought dead and comes back still writes, and an
address with several hosts may lead to it; what is stored there is lost (nodes: split brain). So the highest timeline
that we have seen is kept in a file of this machine, asked of the server whenever a connection is made. A connection
made before another one found a newer server is given up. Where the address has several hosts, all are asked, so that
who has met none of them yet finds the newest too. Not for SQLite, and no judge of which server is right: it only
remembers. The operator who really means another server removes the file.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs

from securegw.mail.errors import StoreBusy

FILE = "database-server.json"
# The control file follows a promotion at its next checkpoint only; the log is written on the new timeline at once.
_WHO = """\
SELECT system_identifier::text,
       CASE WHEN pg_is_in_recovery() THEN NULL ELSE pg_walfile_name(pg_current_wal_lsn()) END
FROM pg_control_system()"""


class OldServer(StoreBusy):
    """The message could not be stored now; please try again."""

    reason = "old-server"


@attrs.frozen
class Server:
    """A server as it says who it is: the same ``system`` is a copy of the same data, a higher timeline a later one."""

    system: str
    timeline: int


def who(driver: Any, *, reading: bool) -> Server:
    """Ask over a new connection; a standby may not be written to, and what it says may be old."""
    found = ask(driver)
    if found is None:
        raise OldServer(detail=f"the database server is a standby; {'read' if reading else 'write'} the primary")
    return found


def ask(driver: Any) -> Server | None:
    """Which server it is, None for a standby."""
    system, position = driver.execute(_WHO).fetchone()
    return None if position is None else Server(system, int(position[:8], 16))


class Fence:
    """The newest server seen, by this process or another one of this machine. Without a file: by this process."""

    def __init__(self, file: Path | None = None) -> None:
        self._file = file
        self._newest: Server | None = None
        self._seen: tuple[int, int] | None = None  # which file was read last
        self._lock = threading.Lock()

    def admit(self, server: Server) -> None:
        """Remember the server, or raise OldServer."""
        with self._lock:
            self._look()
            if self._newest is not None:
                self._compare(server, self._newest)
            if server != self._newest:
                self._keep(server)
                self._newest = server

    def choose(self, servers: Sequence[Server | None]) -> int:
        """Which of several servers to work with: the newest primary, of those that have our data; else the first."""
        known = self._newest or next(filter(None, servers), None)
        ours = [server.timeline if server and known and server.system == known.system else -1 for server in servers]
        return ours.index(max(ours))

    def is_newest(self, server: Server) -> bool:
        """Whether a connection to this server may still be used; asked often."""
        with self._lock:
            self._look()
            return server == self._newest

    def _compare(self, server: Server, newest: Server) -> None:
        if server.system != newest.system:
            problem = f"it is {server.system}, and the one we know is {newest.system}"
        elif server.timeline < newest.timeline:
            problem = f"its timeline is {server.timeline}, and we have seen {newest.timeline}"
        else:
            return
        remove = f"; if it is the right one, remove {self._file}" if self._file else ""
        raise OldServer(detail=f"this is not the newest database server: {problem}{remove}")

    def _look(self) -> None:
        """Read the file if it is not the one that we have read or written."""
        if self._file is None:
            return
        try:
            state = self._file.stat()
            if (state.st_ino, state.st_mtime_ns) != self._seen:
                self._newest = Server(**json.loads(self._file.read_text("utf-8")))
                self._seen = (state.st_ino, state.st_mtime_ns)
        except FileNotFoundError:  # never there, or removed by the operator: the next server is the newest
            if self._seen is not None:
                self._newest = self._seen = None
        except (OSError, ValueError, TypeError) as error:
            raise OldServer(detail=f"{self._file} cannot be understood: {error}") from None

    def _keep(self, server: Server) -> None:
        if self._file is None:
            return
        fresh = self._file.with_name(f"{self._file.name}.{os.getpid()}")
        try:
            with fresh.open("w", encoding="utf-8") as file:
                json.dump(attrs.asdict(server), file)
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self._file)
            state = self._file.stat()
        except OSError as error:
            raise StoreBusy(detail=f"{self._file} cannot be written: {error.strerror}") from None
        self._seen = (state.st_ino, state.st_mtime_ns)
