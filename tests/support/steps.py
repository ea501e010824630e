"""What reading BER costs, counted and not timed: steps of the reader, and octets that were cut out or put together.

So a test says the same on a busy machine. How long it takes is measured by ``bench/cms.py``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import attrs
import pytest

from securegw.crypto import ber


@attrs.define
class Work:
    """``steps`` are heads of values that were read."""

    steps: int = 0
    octets: int = 0


@contextmanager
def counted() -> Iterator[Work]:
    """Counts while it lasts."""
    work = Work()
    head, octets = ber._head, ber.Element.octets

    def step(data: bytes, at: int, stop: int) -> tuple[int, int | None, int]:
        work.steps += 1
        return head(data, at, stop)

    def noted(value: bytes) -> bytes:
        work.octets += len(value)
        return value

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ber, "_head", step)
        patch.setattr(ber.Element, "raw", property(lambda one: noted(one.data[one.begin : one.end])))
        patch.setattr(ber.Element, "content", property(lambda one: noted(one.data[one.start : one.stop])))
        patch.setattr(ber.Element, "octets", lambda one: noted(octets(one)))
        yield work
