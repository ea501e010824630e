"""Ids: sorted by time, and never the same one twice."""

from __future__ import annotations

import re
import time

import pytest

from securegw.ids import new_id


def test_ids_of_one_process_are_all_different() -> None:
    made = [new_id() for _ in range(10_000)]
    assert len(set(made)) == len(made)
    assert all(re.fullmatch("[0-9a-f]{16}", each) for each in made)


def test_what_is_made_later_sorts_later(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([1_800_000_000_000_000_000, 1_800_000_000_001_000_000, 1_900_000_000_000_000_000])
    monkeypatch.setattr(time, "time_ns", lambda: next(clock))
    made = [new_id(), new_id(), new_id()]
    assert made == sorted(made)


def test_a_clock_before_the_epoch_still_makes_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: 0)
    assert re.fullmatch("[0-9a-f]{16}", new_id())
