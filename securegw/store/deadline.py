"""A deadline for talks with a database server that has frozen.

``statement_timeout`` and ``tcp_user_timeout`` do not end a commit that waits for a missing standby, or a query on a
stopped server whose kernel still acknowledges; cancelling such a commit would even report success. Shutting the
socket down does end it, and the transaction is then reported as not stored. SQLite needs none of this.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from sqlalchemy import Connection

SOON = 5.0


class Deadline:
    """Watches the transactions that are open now; a thread of its own looks at them, once there is one."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._open: dict[int, float] = {}  # duplicate of the socket's descriptor -> when time is up
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @contextmanager
    def over(self, connection: Connection) -> Iterator[None]:
        """End the connection if this block takes too long."""
        if connection.dialect.name == "sqlite":
            yield
            return
        # A duplicate, so that the number cannot come to mean another file while we watch it.
        descriptor = os.dup(connection.connection.dbapi_connection.fileno())  # type: ignore[union-attr]
        with self._lock:
            self._open[descriptor] = self._clock() + self._seconds
            self._watch()
        try:
            yield
        finally:
            with self._lock:
                self._open.pop(descriptor)
                os.close(descriptor)

    def close(self) -> None:
        """Watch no more."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def look(self) -> int:
        """Shut down what is overdue; how many there were."""
        now = self._clock()
        with self._lock:
            overdue = [descriptor for descriptor, until in self._open.items() if until <= now]
            for descriptor in overdue:
                _shut_down(descriptor)
        return len(overdue)

    def _watch(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._look_again, name="securegw-deadline", daemon=True)
            self._thread.start()

    def _look_again(self) -> None:
        while not self._stop.wait(min(1.0, self._seconds / 4)):
            self.look()


def lost_at_once(began: float) -> bool:
    """Whether a connection that is lost now may be replaced: who has waited for a deadline does not wait for another.

    With both it would be more than the half minute after which a sender hears from us (D10).
    """
    return time.monotonic() - began < SOON


def _shut_down(descriptor: int) -> None:
    with suppress(OSError), socket.socket(fileno=os.dup(descriptor)) as talk:
        talk.shutdown(socket.SHUT_RDWR)
