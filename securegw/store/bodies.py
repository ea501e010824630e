"""Where sealed bodies lie: small ones in rows, large ones of a database that is a file in files beside it.

SQLite writes a row to its log and then to its file, in pages; a mail of 5 MB costs it five times what writing a file
does. On PostgreSQL all bodies are rows, so that any node can go on with any mail. A file is on the disk before the
transaction that names it commits, and goes after the one that forgets it: a crash between the two leaves a file that
nobody knows, and ``tidy`` removes it.

The file of a body may also be written while the body comes (``begin``): then nothing of it waits in memory, and the
transaction only names it. Where bodies are rows it is a file without a name, which nobody has to sweep: it is copied
into the rows.
"""

from __future__ import annotations

import errno
import os
import struct
import tempfile
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import BinaryIO, cast

import attrs
from sqlalchemy import Connection, select

from securegw.mail.errors import DiskFull, LostClaim, StoreBusy
from securegw.store import schema

IN_FILE = b"file"  # in the row, perhaps with the first part behind it; no sealed text looks like this
OPTION = "securegw_bodies"
_GOING = "securegw bodies that go"
_LENGTH = struct.Struct(">I")
_FULL = {errno.ENOSPC, errno.EDQUOT}


@attrs.frozen
class Filed:
    """A body whose file is on the disk already; its first part came last. ``parts`` if the file has no name."""

    top: bytes
    parts: FiledParts | None = None


Body = Sequence[bytes] | Filed


class BodyFile:
    """A file that gets its parts one by one; nobody knows it before a row names it. Raises DiskFull or StoreBusy."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = self._open()

    def _open(self) -> BinaryIO:
        try:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        except OSError as problem:
            raise _trouble(problem) from problem
        return os.fdopen(descriptor, "wb")

    def add(self, part: bytes) -> None:
        try:
            self._file.write(_LENGTH.pack(len(part)))
            self._file.write(part)
        except OSError as problem:
            raise _trouble(problem) from problem

    def end(self, top: bytes) -> Filed:
        """All parts are there: on the disk, when this returns."""
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
        except OSError as problem:
            raise _trouble(problem) from problem
        return Filed(top)

    def drop(self) -> None:
        """It is not needed; also after ``end``."""
        with suppress(OSError):
            self._file.close()
        with suppress(OSError):
            self._path.unlink(missing_ok=True)


class NamelessFile(BodyFile):
    """One that ends with this process, whatever happens; ``path`` is its folder."""

    def _open(self) -> BinaryIO:
        try:
            return cast(BinaryIO, tempfile.TemporaryFile(dir=self._path))
        except OSError as problem:
            raise _trouble(problem) from problem

    def end(self, top: bytes) -> Filed:
        try:
            self._file.flush()
        except OSError as problem:
            raise _trouble(problem) from problem
        return Filed(top, FiledParts(top, self._file))

    def drop(self) -> None:
        with suppress(OSError):
            self._file.close()


class FiledParts(Collection[bytes]):
    """The parts of a body that lies in a file, read one by one; each time from the start."""

    def __init__(self, top: bytes, file: BinaryIO) -> None:
        self._top = top
        self._file = file
        self._count = sum(1 for _ in self._lengths()) + bool(top)

    def __len__(self) -> int:
        return self._count

    def __contains__(self, part: object) -> bool:
        return any(part == each for each in self)

    def __iter__(self) -> Iterator[bytes]:
        if self._top:
            yield self._top
        for at, length in self._lengths():
            yield os.pread(self._file.fileno(), length, at)

    def close(self) -> None:
        self._file.close()

    def _lengths(self) -> Iterator[tuple[int, int]]:
        at = 0
        while head := os.pread(self._file.fileno(), _LENGTH.size, at):
            (length,) = _LENGTH.unpack(head)
            yield at + _LENGTH.size, length
            at += _LENGTH.size + length


class Bodies:
    """``folder`` None: everything in rows. A body of more than one part is large.

    ``coming`` is where bodies that become rows may lie while they come.
    """

    def __init__(self, folder: Path | None, coming: Path | None = None) -> None:
        self._folder = folder
        self._coming = coming
        self._is_made = False
        self._known: set[str] | None = None

    @property
    def are_files(self) -> bool:
        return self._folder is not None

    @property
    def can_come(self) -> bool:
        """Whether there is a file for a body while it comes."""
        return self._folder is not None or self._coming is not None

    def begin(self, id: str) -> BodyFile:
        """A file for a body that is still coming, or is written before its transaction begins."""
        if self._folder is None:
            assert self._coming is not None, "there is no folder"
            return NamelessFile(self._coming)
        self._make(self._folder)
        return BodyFile(self._folder / id)

    def keep(self, bodies: Iterable[tuple[str, Body]]) -> list[tuple[str, int, bytes]]:
        """The rows for these bodies (item, part, bytes); what is large is on the disk when this returns.

        Raises DiskFull or StoreBusy.
        """
        rows: list[tuple[str, int, bytes]] = []
        written: list[str] = []
        for id, body in bodies:
            if isinstance(body, Filed) and body.parts is None:
                rows.append((id, 0, IN_FILE + body.top))
                written.append(id)
            elif isinstance(body, Filed):
                rows += [(id, number, part) for number, part in enumerate(body.parts or ())]
            elif self._folder is None or len(body) < 2:
                rows += [(id, number, part) for number, part in enumerate(body)]
            else:
                self.write(id, body)
                rows.append((id, 0, IN_FILE))
                written.append(id)
        if written and self._folder is not None:
            _sync_folder(self._folder)
            self._files(self._folder).update(written)
        return rows

    def open(self, id: str, parts: list[bytes]) -> Sequence[bytes] | FiledParts:
        """The parts of a body whose rows these are; LostClaim if its file has gone."""
        if len(parts) != 1 or not parts[0].startswith(IN_FILE):
            return parts
        return self.find(id, Filed(parts[0][len(IN_FILE) :]))

    def find(self, id: str, filed: Filed) -> FiledParts:
        """The parts of a body that lies in a file."""
        if filed.parts is not None:
            return filed.parts
        assert self._folder is not None, "bodies are rows here"
        try:
            return FiledParts(filed.top, (self._folder / id).open("rb", buffering=0))
        except FileNotFoundError:
            raise LostClaim(detail=f"the body of {id} has gone") from None

    def read(self, id: str, parts: list[bytes]) -> list[bytes]:
        """The same, all of them at once."""
        found = self.open(id, parts)
        if not isinstance(found, FiledParts):
            return parts
        with closing(found):
            return list(found)

    def drop(self, ids: Iterable[str]) -> None:
        """Forget bodies whose rows are gone for good."""
        if self._folder is None:
            return
        known = self._files(self._folder)
        for id in known.intersection(ids):
            (self._folder / id).unlink(missing_ok=True)
            known.discard(id)

    def remove(self, ids: Iterable[str]) -> None:
        """Remove files that no row names."""
        if self._folder is not None:
            for id in ids:
                (self._folder / id).unlink(missing_ok=True)

    def strangers(self, living: Iterable[str]) -> set[str]:
        """Files of bodies that nobody knows."""
        return self._files(self._folder) - set(living) if self._folder else set()

    def _files(self, folder: Path) -> set[str]:
        if self._known is None:
            self._known = set(os.listdir(folder)) if folder.is_dir() else set()
        return self._known

    def _make(self, folder: Path) -> None:
        if self._is_made:
            return
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as problem:
            raise _trouble(problem) from problem
        _sync_folder(folder.parent)  # or a power failure takes the folder, with what has been accepted in it
        self._is_made = True

    def write(self, id: str, parts: Sequence[bytes]) -> None:
        """All parts of a body into its file."""
        file = self.begin(id)
        try:
            for part in parts:
                file.add(part)
            file.end(b"")
        except BaseException:
            file.drop()
            raise


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


def drop_unknown(conn: Connection, ids: Sequence[str]) -> None:
    """Remove the files of those of these bodies that no item has."""
    living = conn.scalars(select(schema.item.c.id).where(schema.item.c.id.in_(ids)))
    with suppress(OSError):
        of(conn).remove(set(ids) - set(living))


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
