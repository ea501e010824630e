"""The rules and the workshop know the same methods: the two rooms cannot see each other."""

from __future__ import annotations

from securegw.crypto.methods import METHODS
from securegw.policy.actions import METHODS as NAMES


def test_the_rules_name_the_methods_that_there_are() -> None:
    assert set(NAMES) == set(METHODS)
