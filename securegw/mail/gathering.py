"""Gathers the pieces of a large text into one, without a moment at which there are both.

``join`` has to hold all pieces before it can begin, so a large text that is made piece by piece would be in memory
twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from io import BytesIO
from itertools import chain
from typing import TypeAlias

STEP = 1 << 20

Piece: TypeAlias = bytes | memoryview


def gathered(pieces: Iterable[Piece]) -> bytes:
    """All pieces as one text. Each is forgotten before the next is made, and the whole is not copied in the end."""
    whole = BytesIO()
    for piece in pieces:
        whole.write(piece)
    return whole.getvalue()


def spliced(text: bytes, start: int, end: int, new: bytes) -> bytes:
    """The text with something else from here to there; copied once, in steps between which others may run."""
    view = memoryview(text)
    return gathered(chain(steps(view[:start]), (new,), steps(view[end:])))


def steps(text: bytes | memoryview, step: int = STEP) -> Iterator[memoryview]:
    """A large text in pieces of this size, none of them a copy."""
    view = memoryview(text)
    for at in range(0, len(view), step):
        yield view[at : at + step]
