"""Levels, states and what a table of them amounts to."""

from __future__ import annotations

import pytest

from securegw.health.table import Check, Levels, State, Table, worst


@pytest.mark.parametrize(
    ("levels", "value", "state"),
    [
        (Levels(10, 20), 9, State.OK),
        (Levels(10, 20), 10, State.WARNING),
        (Levels(10, 20), 20, State.CRITICAL),
        (Levels(30, 7), 31, State.OK),
        (Levels(30, 7), 30, State.WARNING),
        (Levels(30, 7), 7, State.CRITICAL),
        (Levels(30, 7), -1, State.CRITICAL),
    ],
)
def test_levels(levels: Levels, value: float, state: State) -> None:
    assert levels.judge(value) is state


def test_a_known_fault_is_worse_than_what_nobody_knows() -> None:
    assert worst(State.OK, State.UNKNOWN, State.WARNING) is State.UNKNOWN
    assert worst(State.UNKNOWN, State.CRITICAL) is State.CRITICAL
    assert worst() is State.OK


def test_the_table_says_the_gravest_first() -> None:
    table = Table(
        0.0, (Check("a", State.WARNING, "so so"), Check("b", State.OK, "well"), Check("c", State.CRITICAL, "!"))
    )
    assert (table.state, table.words) == (State.CRITICAL, "c: !; a: so so")


def test_a_table_without_checks_is_not_well() -> None:
    assert Table(0.0).state is State.UNKNOWN


def test_a_doubted_table_keeps_its_rows_and_believes_none() -> None:
    doubted = Table(0.0, (Check("a", State.OK, "well", 3),)).doubted("asleep")
    assert (doubted["a"].state, doubted["a"].words, doubted["a"].value) == (State.UNKNOWN, "asleep", 3)
