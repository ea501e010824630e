"""What commands open: the configuration, the database beside the running gateway, the master key.

The gateway's lock is not taken: a command is one more reader and writer of the same database, and the gateway sees
what it changed within a second. Every change is written together with the event that tells of it.
"""

from __future__ import annotations

import getpass
import os
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

import attrs
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.exc import ArgumentError

from securegw.crypto import seal
from securegw.store import database, events, fence
from securegw.store.database import Database
from securegw.store.engine import database_url, in_memory

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Callable, Iterable, Iterator

    from sqlalchemy import Connection

    from securegw.crypto.seal import MasterKey
    from securegw.gateway import Settings

P = ParamSpec("P")
T = TypeVar("T")

DEFAULT_CONFIG = "securegw.toml"


class Refusal(Exception):
    """A command cannot do what was asked; a line for the administrator, or one for each mistake."""

    def __init__(self, *lines: str) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines


def add_config(parser: ArgumentParser) -> None:
    """The option that all commands with a configuration have."""
    parser.add_argument(
        "--config", metavar="FILE", type=Path, default=Path(os.environ.get("SECUREGW_CONFIG", DEFAULT_CONFIG)),
        help="the gateway's configuration (default $SECUREGW_CONFIG, else ./securegw.toml)",
    )


def read_settings(file: Path) -> Settings:
    """The whole configuration; raises ``Mistakes`` with all of them."""
    from securegw import config, gateway

    return config.read(gateway.Settings, read_text(file), str(file))


def read_bytes(file: Path) -> bytes:
    """A file the administrator named."""
    return file.read_bytes()


def read_text(file: Path) -> str:
    """A text file the administrator named, in UTF-8."""
    try:
        return file.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise Refusal(f"{file}: not UTF-8 text (byte {error.start})") from error


def write_secret(file: Path, content: bytes) -> None:
    """Write a new file that only its owner reads; never over one that is there."""
    write_new(file, content, mode=0o600)


def write_new(file: Path, content: bytes, *, mode: int = 0o644) -> None:
    """Write a new file; never over one that is there."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as opened:
        opened.write(content)


def master_key(settings: Settings) -> MasterKey:
    """The key under which the store's secrets are sealed."""
    return seal.load_master_key(settings.gateway.master_key)


@attrs.frozen
class Store:
    """The open database as a command uses it: one question, or one change with its event."""

    settings: Settings
    database: Database

    def ask(self, question: Callable[Concatenate[Connection, P], T], *args: P.args, **named: P.kwargs) -> T:
        """Read."""
        return self.database.read(question, *args, **named).result()

    def change(
        self, told_as: events.Event | Iterable[events.Event], step: Callable[Concatenate[Connection, P], T],
        *args: P.args, **named: P.kwargs,
    ) -> T:
        """Write a change and the events that tell of it in one transaction."""
        told_events = [told_as] if isinstance(told_as, events.Event) else list(told_as)

        def both(connection: Connection) -> T:
            result = step(connection, *args, **named)
            events.record_many(connection, told_events)
            return result

        return self.database.write(both).result()

    def note(self, event: events.Event) -> None:
        """Write an event that stands by itself."""
        self.database.write(events.record, event).result()


@contextmanager
def open_store(file: Path) -> Iterator[Store]:
    """The database that the configuration names; it must be there, with the tables that this code knows."""
    settings = read_settings(file)
    with open_database(settings) as opened:
        opened.read(check_schema).result()
        yield Store(settings, opened)


@contextmanager
def open_database(settings: Settings, *, new: bool = False) -> Iterator[Database]:
    """The database, closed at the end. ``new``: it may be made now."""
    url = database_place(settings)
    file = sqlite_file(url)
    if file is not None and not new and not file.exists():
        raise Refusal(f"{file}: there is no database yet; start the gateway once, or run: securegw quickstart")
    opened = Database(url, inline=True, fence=settings.gateway.directory / fence.FILE)
    try:
        yield opened
    finally:
        opened.close()


def database_place(settings: Settings) -> str:
    """The database's address with its file in the data directory."""
    try:
        return database.place(settings.database.url, settings.gateway.directory)
    except (ArgumentError, ValueError) as error:
        raise Refusal(f"database.url: {error}") from None


def sqlite_file(url: str) -> Path | None:
    """The file of a SQLite database, None for another kind."""
    parsed = database_url(url)
    return None if parsed.get_backend_name() != "sqlite" or in_memory(parsed) else Path(str(parsed.database))


def check_schema(connection: Connection) -> None:
    """Refuse tables of another version: a command never migrates beneath a running gateway."""
    there = set(MigrationContext.configure(connection).get_current_heads())
    known = set(ScriptDirectory(str(Path(database.__file__).parent / "migrations")).get_heads())
    if there != known:
        raise Refusal("the database is of another version of securegw; start this version's gateway once to upgrade it")


def told(
    kind: str, *, address: str = "", item: str = "", trace: str = "", message_id: str = "", **detail: Any
) -> events.Event:
    """The event of something an administrator did by a command."""
    return events.Event(
        time=time.time(), kind=kind, actor=actor(), trace=trace, item=item, message_id=message_id,
        address=address, detail=detail,
    )


def actor() -> str:
    """Who runs the command, as events tell it; behind sudo the person, not root."""
    return f"command:{os.environ.get('SUDO_USER') or _login_name()}"


def _login_name() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return str(os.getuid())
