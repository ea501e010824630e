"""A line of items: one kind of work, what waits for it, and how much of it is under way.

Not who claims them, and not the work.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

import attrs

from securegw.flow.treatment import Arrived

if TYPE_CHECKING:
    from securegw.store.queue import Item

UNDER_WAY = 50
KEPT_READ = 200  # that wait; what was read of a small mail takes more than the mail, so those behind are read again
LARGE = 1 << 20
LARGE_IN_PARTS = 20
HEAVY, LIGHT = 4, 2  # times its size is what a large mail takes in memory while it is treated, and while it is sent

Worker = Callable[["Item", Any], Coroutine[Any, Any, None]]  # the mail is bytes, or Stored where it is large
Held = bytes | Arrived  # a mail in memory, perhaps read already
Waiting = tuple["Item", Held | None]


@attrs.define
class Line:
    """One kind of work: what waits for it and how much is under way.

    Large mails take the gate, ``weight`` times their size each, and nothing of them is held while they wait for it.
    Where work is done part by part (``in_parts``) they pass it by; then a few go at once.
    """

    work: Worker
    most: int = UNDER_WAY
    weight: int = HEAVY
    in_parts: bool = False
    waiting: deque[Waiting] = attrs.field(factory=deque)
    large: deque[Item] = attrs.field(factory=deque)
    under_way: int = 0
    large_under_way: int = 0
    at_the_gate: bool = False

    def add(self, item: Item, raw: Held | None) -> None:
        if item.size > LARGE:
            self.large.append(item)
            return
        if isinstance(raw, Arrived) and len(self.waiting) >= KEPT_READ:
            raw = raw.message.raw
        self.waiting.append((item, raw))

    def next(self) -> Waiting | None:
        """The next small one that may begin now, counted as under way."""
        if self.waiting and self.under_way < self.most:
            self.under_way += 1
            return self.waiting.popleft()
        return None

    def next_large(self) -> Item | None:
        """The next one to go to the gate; one at a time, so that others come between."""
        if not self.large or self.at_the_gate or (self.in_parts and self.large_under_way >= LARGE_IN_PARTS):
            return None
        self.at_the_gate = True
        return self.large[0]

    def admitted(self, item: Item) -> bool:
        """It may begin, if it has not been forgotten meanwhile."""
        self.at_the_gate = False
        if not self.large or self.large[0] is not item:
            return False
        self.large.popleft()
        self.large_under_way += 1
        return True

    def ended(self, item: Item) -> None:
        if item.size > LARGE:
            self.large_under_way -= 1
        else:
            self.under_way -= 1

    @property
    def is_busy(self) -> bool:
        return self.under_way + self.large_under_way > 0

    def forget(self) -> int:
        """What waits is left to whoever claims it next; returns how much memory it held, in bytes."""
        held = sum(item.size for item, raw in self.waiting if raw is not None)
        self.waiting.clear()
        self.large.clear()
        return held
