"""A copy with some of it changed."""

from __future__ import annotations

import attrs
import pytest

from securegw.records import changed


@attrs.frozen(kw_only=True)
class Pair:
    left: int
    right: str = attrs.field(converter=str)
    both: str = attrs.field(init=False, default="")


def test_what_is_not_named_stays() -> None:
    first = Pair(left=1, right="x")
    assert changed(first, left=2) == Pair(left=2, right="x") == attrs.evolve(first, left=2)
    assert first == Pair(left=1, right="x")


def test_a_changed_value_is_converted_as_ever() -> None:
    assert changed(Pair(left=1, right="x"), right=5).right == "5"


def test_what_there_is_not_is_refused() -> None:
    with pytest.raises(TypeError):
        changed(Pair(left=1, right="x"), middle=2)
