"""A buffer of log lines on the disk: first in, first out, bounded, in pieces that are read and removed whole.

Every call reads or writes files, so it is made in a thread, one at a time. Lines have no line feeds in them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

PIECE = 256 << 10


class DiskBuffer:
    """Lines in numbered files of a folder; a later number is younger."""

    def __init__(self, folder: Path, limit: int) -> None:
        self.folder = folder
        self.limit = limit
        self.bytes = 0
        self.pieces: list[int] = []

    def open(self) -> None:
        """Find what an earlier process has left."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.pieces = sorted(int(path.name) for path in self.folder.iterdir() if path.name.lstrip("-").isdecimal())
        self.bytes = sum(self._path(piece).stat().st_size for piece in self.pieces)

    def append(self, lines: Sequence[bytes]) -> int:
        """Add lines behind all others; those for which there is no room are lost. How many those are."""
        fitting, size = 0, 0
        for line in lines:
            if self.bytes + size + len(line) + 1 > self.limit:
                break
            size += len(line) + 1
            fitting += 1
        if fitting:
            self._write(self._last(), lines[:fitting])
        return len(lines) - fitting

    def put_back(self, lines: Sequence[bytes]) -> None:
        """Add lines before all others: they were taken and are not wanted yet. There is always room for them."""
        if lines:
            self._write(self.pieces[0] - 1 if self.pieces else 0, lines)

    def take(self) -> list[bytes]:
        """Take the oldest lines, some hundred kilobytes; none if there are none."""
        if not self.pieces:
            return []
        path = self._path(self.pieces[0])
        raw = path.read_bytes()
        path.unlink()
        del self.pieces[0]
        self.bytes -= len(raw)
        return [line for line in raw.split(b"\n") if line]

    def _last(self) -> int:
        """The file that is written to: the youngest, or a new one when that is full."""
        if not self.pieces:
            return 0
        last = self.pieces[-1]
        return last if self._path(last).stat().st_size < PIECE else last + 1

    def _write(self, piece: int, lines: Iterable[bytes]) -> None:
        raw = b"".join(line + b"\n" for line in lines)
        descriptor = os.open(self._path(piece), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            before = os.fstat(descriptor).st_size
            if os.write(descriptor, raw) < len(raw):
                os.ftruncate(descriptor, before)
                raise OSError(f"{self.folder}: only a part of the lines could be written")
        finally:
            os.close(descriptor)
        self.bytes += len(raw)
        if piece not in self.pieces:
            self.pieces = sorted([*self.pieces, piece])

    def _path(self, piece: int) -> Path:
        return self.folder / str(piece)
