"""Answers of the store that are taken as true for a second: a burst of mails asks once, a change is seen at once.

Not a cache of record: nothing is kept here that the store does not have.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")

SECONDS = 1.0
MOST = 10_000


class Fresh(Generic[T]):
    """Answers by key, each with its time; old ones count as unknown."""

    def __init__(self, now: Callable[[], float], seconds: float = SECONDS) -> None:
        self._now = now
        self._seconds = seconds
        self._answers: dict[str, tuple[float, T]] = {}

    def knows(self, key: str) -> bool:
        """Whether there is an answer that is young enough; a clock that went back makes all of them old."""
        answer = self._answers.get(key)
        return answer is not None and 0 <= self._now() - answer[0] < self._seconds

    def __getitem__(self, key: str) -> T:
        return self._answers[key][1]

    def keep(self, key: str, answer: T) -> T:
        if len(self._answers) >= MOST:
            self._answers.clear()
        self._answers[key] = (self._now(), answer)
        return answer

    def forget(self, key: str) -> None:
        self._answers.pop(key, None)
