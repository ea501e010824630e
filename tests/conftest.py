"""What all tests share: Twisted is told to txaio first, and a world is closed after its test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import txaio

txaio.use_twisted()


@pytest.fixture
def world() -> Iterator[object]:
    from tests.support.world import World

    made = World()
    yield made
    made.close()
