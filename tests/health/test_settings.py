"""Levels as they stand in the configuration."""

from __future__ import annotations

from pathlib import Path

import pytest

from securegw import config
from securegw.config.kinds import Unfit
from securegw.health.settings import COUNT, HealthSettings, every, levels
from securegw.health.table import Levels


def test_levels_are_two_values_of_their_kind() -> None:
    assert levels(COUNT).read([10, 20], Path()) == Levels(10, 20)
    assert levels(config.duration).read(["1m", "1h"], Path()) == Levels(60, 3600)
    assert levels(config.size, falling=True).read(["2 GB", "1 GB"], Path()) == Levels(2 << 30, 1 << 30)


@pytest.mark.parametrize("value", [[10], [10, 20, 30], [20, 10], [10, 10], ["x", "y"], 10, "10", []])
def test_what_are_no_rising_levels(value: object) -> None:
    with pytest.raises(Unfit):
        levels(COUNT).read(value, Path())


def test_falling_levels_fall() -> None:
    with pytest.raises(Unfit, match="falling"):
        levels(COUNT, falling=True).read([7, 30], Path())


def test_all_defaults_are_levels() -> None:
    assert HealthSettings().space.falling
    assert not HealthSettings().queue.falling
    assert HealthSettings().tls == Levels(30, 7)


@pytest.mark.parametrize("value", ["0s", "1m", 0, "often"])
def test_looking_all_the_time_or_hardly_ever(value: object) -> None:
    with pytest.raises(Unfit):
        every.read(value, Path())
