"""SQLite's write-ahead log, brought into the database by a thread of its own, so that no sender waits for it.

A checkpoint inside a commit makes that one commit wait for a thousand pages. Here a second connection copies them
while the writer goes on; only the few pages that came meanwhile are left to the writer, between two groups, after
which the log begins anew (https://sqlite.org/wal.html, section 3.2). What fails here is tried again after the next
commit: the log holds everything until then. Not for PostgreSQL, which has a checkpointer.
"""

from __future__ import annotations

import sqlite3
import threading
from contextlib import suppress

from sqlalchemy import Connection

PAUSE_SECONDS = 0.25
LONG_LOG = 4000  # pages of 4 kB
_PASSIVE = "PRAGMA wal_checkpoint(PASSIVE)"


class Checkpointer:
    """Watches over the log of one file. ``written`` is called by the writer, all else is the thread's."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._news = threading.Event()
        self._closing = threading.Event()
        self._long = False
        self._connection: sqlite3.Connection | None = None
        self._thread = threading.Thread(target=self._work, name="securegw-checkpoint", daemon=True)
        self._thread.start()

    def written(self, connection: Connection) -> None:
        """A group has been committed and its callers told; ``connection`` is the writer's, outside a transaction."""
        if self._long:
            self._long = False
            driver = connection.connection.dbapi_connection
            assert isinstance(driver, sqlite3.Connection)
            with suppress(sqlite3.Error):
                driver.execute(_PASSIVE)
        self._news.set()

    def close(self) -> None:
        """End the thread; what is still in the log is brought home by SQLite when the last connection closes."""
        self._closing.set()
        self._news.set()
        self._thread.join()
        if self._connection is not None:
            self._connection.close()

    def _work(self) -> None:
        while self._news.wait() and not self._closing.wait(PAUSE_SECONDS):
            self._news.clear()
            if self._closing.is_set():  # it may have been the news of the end that was just forgotten
                return
            with suppress(sqlite3.Error):
                self._long = self._copy() >= LONG_LOG

    def _copy(self) -> int:
        """Bring what is in the log into the database; how many pages the log has."""
        if self._connection is None:  # not before the writer has made the file
            self._connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
            self._connection.execute("PRAGMA synchronous=FULL")
        _busy, in_log, _copied = self._connection.execute(_PASSIVE).fetchone()
        return int(in_log)
