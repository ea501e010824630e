"""The database: one transaction at a time for writers, many threads for readers.

A step is a plain function ``(connection, argument)`` of this room; ``write`` runs it in a transaction that it shares
with whoever else waits, and the future resolves after COMMIT has returned. A question is a plain function too; it
sees one moment and changes nothing. Not an object mapper.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

import attrs
from sqlalchemy import URL, Connection
from sqlalchemy.exc import DBAPIError

from securegw.config import number, setting, text
from securegw.mail.errors import StoreBusy
from securegw.store import bodies
from securegw.store.checkpoint import Checkpointer
from securegw.store.deadline import Deadline, lost_at_once
from securegw.store.engine import database_url, in_memory, reading_engine, writing_engine
from securegw.store.fence import Fence
from securegw.store.troubles import DatabaseTaken, lost_connection, translate
from securegw.store.upgrade import upgrade
from securegw.store.writer import Request, Writer

P = ParamSpec("P")
A = TypeVar("A")
T = TypeVar("T")

DEADLINE_SECONDS = 20.0


@attrs.frozen
class DatabaseSettings:
    """Where the queue, the people and the keys are kept."""

    url: str = setting(
        text,
        default="sqlite:///securegw.db",
        help="sqlite:///FILE (relative to the data directory) or postgresql://USER@HOST/NAME.",
    )
    readers: int = setting(number(1, 64), default=4, help="Threads that read from the database.")


def place(url: str, directory: Path) -> str:
    """The address with a relative SQLite file put below the data directory."""
    parsed = database_url(url)
    if parsed.get_backend_name() != "sqlite" or in_memory(parsed):
        return url
    return parsed.set(database=str(directory / str(parsed.database))).render_as_string(hide_password=False)


def folder_of_bodies(url: URL) -> Path | None:
    """Where large bodies lie; None for a server, and for a database in memory."""
    if url.get_backend_name() != "sqlite" or in_memory(url):
        return None
    return Path(f"{url.database}.bodies")


class Apart(Protocol):
    """Has requests run by another process, which writes for this one (``apart``)."""

    def future(self) -> Future[Any]: ...

    def ask(self, wish: Request) -> None: ...


class Database:
    """Writes and reads. ``inline`` does both at once in the caller's thread, for tests and commands.

    ``fence`` is the file that remembers the newest database server seen by this machine, ``coming`` a folder for large
    bodies while they come, where they are no files afterwards.
    """

    def __init__(
        self,
        url: str,
        *,
        inline: bool = False,
        readers: int = 4,
        fence: Path | None = None,
        coming: Path | None = None,
    ) -> None:
        self.url = database_url(url)
        if in_memory(self.url) and not inline:
            raise ValueError("a database in memory is for tests: it needs inline=True")
        self._deadline = Deadline(DEADLINE_SECONDS)
        self.bodies = bodies.Bodies(folder_of_bodies(self.url), coming)
        newest, own = Fence(fence), {bodies.OPTION: self.bodies}
        apart = not inline and self.url.get_backend_name() == "sqlite"
        self._writing = writing_engine(self.url, newest, checkpoints=not apart).execution_options(**own)
        in_one = in_memory(self.url)
        self._reading = self._writing if in_one else reading_engine(self.url, readers, newest).execution_options(**own)
        self._checkpointer = Checkpointer(str(self.url.database)) if apart else None
        self._writer = Writer(self._writing, self._deadline, self._checkpointer)
        self._readers = None if inline else ThreadPoolExecutor(readers, thread_name_prefix="securegw-reader")
        self._one_at_a_time = threading.RLock()
        self._lock_file: int | None = None
        self._apart: Apart | None = None
        if not inline:
            self._writer.start()

    def migrate(self) -> None:
        """Make or upgrade the tables; raises NewerSchema if they are ahead of this code."""
        self.write(upgrade).result()

    @property
    def is_file(self) -> bool:
        """Whether another process on this machine can write for this one."""
        return self.url.get_backend_name() == "sqlite" and not in_memory(self.url)

    def hand_over(self, apart: Apart) -> None:
        """From here on another process writes; this one has written what it was asked to."""
        self._writer.close()
        if self._checkpointer is not None:
            self._checkpointer.close()
        self._writing.dispose()
        self._apart = apart

    def write(self, step: Callable[Concatenate[Connection, P], T], *args: P.args, **named: P.kwargs) -> Future[T]:
        """Run the step in the next transaction."""
        return self._ask(step, args, named, many=False)

    def write_many(self, step: Callable[[Connection, list[A]], list[T]], argument: A) -> Future[T]:
        """Run the step in the next transaction, in one call for all arguments that wait for the same step."""
        return self._ask(step, (argument,), {}, many=True)

    def read(self, question: Callable[Concatenate[Connection, P], T], *args: P.args, **named: P.kwargs) -> Future[T]:
        """Ask the question in a reading thread."""

        def asked(connection: Connection) -> T:
            return question(connection, *args, **named)

        if self._readers is not None:
            try:
                return self._readers.submit(self._answer, asked)
            except RuntimeError as error:  # shut down
                return _failed(StoreBusy(detail=str(error)))
        future: Future[T] = Future()
        with self._one_at_a_time:
            try:
                result = self._answer(asked)
            except Exception as error:
                return _failed(error)
        future.set_result(result)
        return future

    def tidy(self) -> int:
        """Remove what a crash has left; only for the process that has the ``lock``. How many bodies there were."""
        return self.write(bodies.tidy).result() if self.alone else 0

    def lock(self) -> None:
        """Keep other gateway processes away from an SQLite file until ``close`` (PostgreSQL has sessions for that)."""
        if not self.is_file or self._lock_file is not None:
            return
        path = f"{self.url.database}.lock"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            owner = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip()
            os.close(descriptor)
            raise DatabaseTaken(f"{self.url.database} is in use by the process {owner or '(unknown)'}") from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, b"%d\n" % os.getpid(), 0)
        self._lock_file = descriptor

    @property
    def alone(self) -> bool:
        """True if nobody else can be at work in this database: whatever is found claimed in it is of a dead process."""
        return self._lock_file is not None

    def close(self) -> None:
        """Finish what waits, then close all connections and give the lock back."""
        self._writer.close()
        if self._checkpointer is not None:
            self._checkpointer.close()
        if self._readers is not None:
            self._readers.shutdown(wait=True)
        self._deadline.close()
        self._writing.dispose()
        self._reading.dispose()
        if self._lock_file is not None:
            os.close(self._lock_file)
            self._lock_file = None

    def _ask(
        self, step: Callable[..., Any], arguments: tuple[Any, ...], named: dict[str, Any], *, many: bool
    ) -> Future[Any]:
        if self._apart is not None:
            request = Request(step, arguments, named, many, self._apart.future())
            self._apart.ask(request)
            return request.future
        request = Request(step, arguments, named, many)
        if self._readers is not None:
            self._writer.ask(request)
        else:
            with self._one_at_a_time:
                self._writer.serve([request])
        return request.future

    def _answer(self, asked: Callable[[Connection], T]) -> T:
        try:
            began = time.monotonic()
            try:
                return self._ask_once(asked)
            except DBAPIError as error:
                if not (lost_connection(error) and lost_at_once(began)):
                    raise
            return self._ask_once(asked)  # over a new connection
        except Exception as error:
            told = translate(error)
            if told is error:
                raise
            raise told from error

    def _ask_once(self, asked: Callable[[Connection], T]) -> T:
        with self._reading.connect() as connection, self._deadline.over(connection):
            return asked(connection)


def _failed(error: Exception) -> Future[Any]:
    future: Future[Any] = Future()
    future.set_exception(error)
    return future
