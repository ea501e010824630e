"""Hours: whether the wall clock can be believed, when something is to end because it is old.

Not a clock: everything that happens is noted in wall time. Beside it runs a clock that nobody can set; when the two
have gone apart by more than an hour, somebody has moved the hands, and nothing ends by its age until they agree
again or the gateway is started anew (threats, drill D8).
"""

from __future__ import annotations

import time
from collections.abc import Callable

import attrs
import txaio

log = txaio.make_logger()

APART = 3600.0
TELL_EVERY = 3600.0


def boot_time() -> float:
    """Seconds since the machine was started, its sleep included where the system can tell."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


@attrs.define(eq=False)
class Hours:
    """Compares the wall clock with a steady one, from the moment at which it is made."""

    wall: Callable[[], float]
    steady: Callable[[], float] = boot_time
    began: float = attrs.field(init=False)
    told: float | None = attrs.field(init=False, default=None)

    def __attrs_post_init__(self) -> None:
        self.began = self.wall() - self.steady()

    @property
    def moved(self) -> float:
        """Seconds by which the wall clock was put forward, negative if it was put back."""
        return self.wall() - self.steady() - self.began

    def agree(self) -> bool:
        """Whether age counts now. Says so in the log where it does not."""
        if abs(self.moved) <= APART:
            self.told = None
            return True
        if self.told is None or self.steady() - self.told >= TELL_EVERY:
            self.told = self.steady()
            log.error("the clock was moved by {by} seconds: nothing expires until it is right", by=round(self.moved))
        return False
