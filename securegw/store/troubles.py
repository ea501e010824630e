"""What can go wrong with the database, in the words of the one tree of errors.

Not for mistakes in a statement: those pass as they are, so that a test sees them.
"""

from __future__ import annotations

import sqlite3

from sqlalchemy.exc import DBAPIError, DisconnectionError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from securegw.mail.errors import DiskFull, Later, StoreBusy

# Class 53 of PostgreSQL's error codes is "insufficient resources"; 53100 is the disk (Appendix A of its manual).
_POSTGRESQL_DISK_FULL = "53100"
# Serialization failure and deadlock: two transactions were in each other's way, and the server has undone this one.
_POSTGRESQL_UNDONE = frozenset({"40001", "40P01"})


class AlreadyThere(Later):
    """Somebody has written the same row in the meantime; read it, then try again."""

    reason = "already-there"


class NewerSchema(Exception):
    """The database was written by a newer securegw; this one would not understand it."""


class DatabaseTaken(Exception):
    """Another process works with this database file."""


def is_trouble(error: BaseException) -> bool:
    """True if the database failed, not the statement."""
    if getattr(getattr(error, "orig", None), "sqlite_errorcode", None) == sqlite3.SQLITE_ERROR:
        return False  # SQLite's word for nonsense in SQL
    return isinstance(error, (OperationalError, InterfaceError, DisconnectionError, PoolTimeout))


def lost_connection(error: BaseException) -> bool:
    """True if the server is gone, so that trying the next thing at once is of no use."""
    return isinstance(error, DBAPIError) and error.connection_invalidated


def was_undone(error: BaseException) -> bool:
    """True if the server has taken the whole transaction back for another one's sake: it may be tried again at once."""
    return getattr(getattr(error, "orig", None), "sqlstate", None) in _POSTGRESQL_UNDONE


def translate(error: BaseException) -> BaseException:
    """The error that the waiting caller gets; only failures of the database are reworded."""
    if not is_trouble(error):
        return error
    cause = getattr(error, "orig", None)
    words = f"{type(cause or error).__name__}: {cause or error}"
    return DiskFull(detail=words) if _disk_full(cause) else StoreBusy(detail=words)


def _disk_full(cause: BaseException | None) -> bool:
    if isinstance(cause, sqlite3.Error):
        return getattr(cause, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
    return getattr(cause, "sqlstate", None) == _POSTGRESQL_DISK_FULL
