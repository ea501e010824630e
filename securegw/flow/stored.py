"""A large mail that stays in the store while it is sent: read and opened part by part, by each who sends it.

Not the mail in memory, which is quicker where it is small. It is looked through once before it is sent (RFC 5321
2.3.8): what is wrong with it must be known before its first byte is on the wire.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import attrs

from securegw.mail.message import HEADER_LIMIT, WireCheck

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from securegw.workers.work import Work

Each = Callable[[], Iterator[bytes]]


@attrs.frozen(eq=False)
class Stored:
    """``head`` is as much of the beginning as the longest header takes; good if all may go on the wire."""

    head: bytes = attrs.field(repr=False)
    good: bool
    _size: int
    _ascii: bool
    _each: Each
    _workers: Work

    def __len__(self) -> int:
        return self._size

    def isascii(self) -> bool:
        return self._ascii

    def reader(self) -> PartReader:
        """Another one who reads it from the start."""
        return PartReader(self._each(), self._workers)


class PartReader:
    """Part after part; one at a time is asked for."""

    def __init__(self, parts: Iterator[bytes], workers: Work) -> None:
        self._parts = parts
        self._workers = workers

    def next(self) -> Deferred[bytes | None]:
        """The next part, read in a thread; None after the last."""
        return self._workers.disk(next, self._parts, None)


def look_through(each: Each, workers: Work) -> Stored:
    """All of it once, in a thread; ``each`` begins to read it anew."""
    wire, head, size, is_ascii = WireCheck(), b"", 0, True
    for part in each():
        wire.add(part)
        size += len(part)
        is_ascii = is_ascii and part.isascii()
        if len(head) <= HEADER_LIMIT:
            head += part
    return Stored(head, wire.is_good, size, is_ascii, each, workers)
