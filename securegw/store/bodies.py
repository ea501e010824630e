"""Where sealed bodies lie: small ones in rows, large ones of a database that is a file in files beside it.

SQLite writes a row to its log and then to its file, in pages; a mail of 5 MB costs it five times what writing a file
does. On PostgreSQL all bodies are rows, so that any node can go on with any mail. A file is on the disk before the
transaction that names it commits, and goes after the one that forgets it: a crash between the two leaves a file that
nobody knows, and ``tidy`` removes it.
"""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from sqlalchemy import Connection, select

from securegw.mail.errors import DiskFull, LostClaim, StoreBusy
from securegw.store import schema

IN_FILE = b"file"  # in the place of the first part; no sealed text looks like this
OPTION = "securegw_bodies"
_GOING = "securegw bodies that go"
_LENGTH = struct.Struct(">I")
_FULL = {errno.ENOSPC, errno.EDQUOT}


class Bodies:
    """``folder`` None: everything in rows. A body of more than one part is large."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._is_made = False
        self._known: set[str] | None = None

    def keep(self, bodies: Iterable[tuple[str, Sequence[bytes]]]) -> list[tuple[str, int, bytes]]:
        """The rows for these bodies (item, part, bytes); what is large is on the disk when this returns.

        Raises DiskFull or StoreBusy.
        """
        rows: list[tuple[str, int, bytes]] = []
        written = False
        for id, parts in bodies:
            if self._folder is None or len(parts) < 2:
                rows += [(id, number, part) for number, part in enumerate(parts)]
            else:
                self._write(self._folder, id, parts)
                rows.append((id, 0, IN_FILE))
                written = True
        if written and self._folder is not None:
            _sync_folder(self._folder)
        return rows

    def read(self, id: str, parts: list[bytes]) -> list[bytes]:
        """The parts of a body whose rows these are; LostClaim if its file has gone."""
        if parts != [IN_FILE] or self._folder is None:
            return parts
        try:
            text = (self._folder / id).read_bytes()
        except FileNotFoundError:
            raise LostClaim(detail=f"the body of {id} has gone") from None
        return _cut(text)

    def drop(self, ids: Iterable[str]) -> None:
        """Forget bodies whose rows are gone for good."""
        if self._folder is None:
            return
        known = self._files(self._folder)
        for id in known.intersection(ids):
            (self._folder / id).unlink(missing_ok=True)
            known.discard(id)

    def strangers(self, living: Iterable[str]) -> set[str]:
        """Files of bodies that nobody knows."""
        return self._files(self._folder) - set(living) if self._folder else set()

    def _files(self, folder: Path) -> set[str]:
        if self._known is None:
            self._known = set(os.listdir(folder)) if folder.is_dir() else set()
        return self._known

    def _write(self, folder: Path, id: str, parts: Sequence[bytes]) -> None:
        try:
            if not self._is_made:
                folder.mkdir(mode=0o700, exist_ok=True)
                _sync_folder(folder.parent)  # or a power failure takes the folder, with what has been accepted in it
                self._is_made = True
            descriptor = os.open(folder / id, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                for part in parts:
                    file.write(_LENGTH.pack(len(part)))
                    file.write(part)
                file.flush()
                os.fsync(file.fileno())
        except OSError as problem:
            raise _trouble(problem) from problem
        self._files(folder).add(id)


def of(conn: Connection) -> Bodies:
    """The bodies that belong to the database of this connection."""
    found: Bodies = conn.get_execution_options()[OPTION]
    return found


def begin(conn: Connection) -> None:
    """A transaction begins: what another one was about to drop stays."""
    conn.info[_GOING] = []


def drop_later(conn: Connection, ids: Iterable[str]) -> None:
    """Drop these bodies when this transaction has been committed."""
    conn.info[_GOING] += ids


def committed(conn: Connection) -> None:
    """Drop what may go now. A file that cannot be removed today is found by ``tidy``."""
    with suppress(OSError):
        of(conn).drop(conn.info.pop(_GOING))


def tidy(conn: Connection) -> int:
    """Remove files of bodies that no item has; how many there were. For who is alone with this database."""
    bodies = of(conn)
    strangers = bodies.strangers(conn.scalars(select(schema.item.c.id)))
    bodies.drop(strangers)
    return len(strangers)


def _sync_folder(folder: Path) -> None:
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as problem:
        raise _trouble(problem) from problem


def _trouble(problem: OSError) -> DiskFull | StoreBusy:
    return (DiskFull if problem.errno in _FULL else StoreBusy)(detail=f"body: {problem.strerror}")


def _cut(text: bytes) -> list[bytes]:
    parts, at = [], 0
    while at < len(text):
        (length,) = _LENGTH.unpack_from(text, at)
        at += _LENGTH.size
        parts.append(text[at : at + length])
        at += length
    return parts
