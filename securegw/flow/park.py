"""Letters that a browser has posted and nobody has opened yet: sealed, for half an hour, within bounds.

Nothing here can be read without the recipient's password; still it is thrown away after its time (portal.md: /open
changes nothing, it only parks).
"""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from securegw.mail.errors import DiskFull

if TYPE_CHECKING:
    from collections.abc import Callable

    from securegw.crypto.carrier import Packed

LIFE = 30 * 60.0
ROOM = 500 << 20


@attrs.frozen
class Parked:
    """A parked letter: what its head says, how large it is and until when it stays (Unix time)."""

    packed: Packed
    size: int
    until: float


class Park:
    """Keeps sealed letters in files with random names below a folder of their own."""

    def __init__(self, folder: Path, now: Callable[[], float]) -> None:
        self.folder = folder
        self.now = now
        self.parked: dict[str, Parked] = {}

    def clear(self) -> None:
        """Throw away what an earlier process has left."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for left in self.folder.iterdir():
            left.unlink()

    def put(self, packed: Packed) -> str:
        """Park a letter whose seal has been checked; returns its random id."""
        self.prune()
        size = len(packed.sealed)
        if sum(parked.size for parked in self.parked.values()) + size > ROOM:
            raise DiskFull
        identity = secrets.token_urlsafe(16)
        (self.folder / identity).write_bytes(packed.sealed)
        self.parked[identity] = Parked(attrs.evolve(packed, sealed=b""), size, self.now() + LIFE)
        return identity

    def look(self, identity: str) -> Parked | None:
        """What is parked under an id, without its sealed bytes."""
        self.prune()
        return self.parked.get(identity)

    def keep(self, identity: str) -> None:
        """Somebody reads it: its time begins again."""
        parked = self.parked.get(identity)
        if parked is not None:
            self.parked[identity] = attrs.evolve(parked, until=self.now() + LIFE)

    def sealed(self, identity: str) -> bytes:
        """The sealed bytes of a parked letter; the id must be one that `look` knows."""
        return (self.folder / identity).read_bytes()

    def prune(self) -> None:
        """Throw away what is too old."""
        for identity in [i for i, parked in self.parked.items() if parked.until <= self.now()]:
            del self.parked[identity]
            (self.folder / identity).unlink(missing_ok=True)
