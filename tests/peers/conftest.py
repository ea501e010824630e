"""Real peers: missing ones are a named skip on a developer's machine and a failure in CI."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator

import attrs
import pytest

from tests.support import postfix as postfixes
from tests.support.running import Gateway, prepare
from tests.support.sink import Sink, sink


def demand(problem: str | None) -> None:
    """Skip with these words, or fail where all peers must be there."""
    if problem is None:
        return
    if os.environ.get("CI"):
        pytest.fail(f"CI must have this peer: {problem}")
    pytest.skip(problem)


@pytest.fixture(scope="session")
def program() -> Callable[[str], str]:
    """Finds a program of the system."""

    def find(name: str) -> str:
        found = shutil.which(name)
        demand(None if found else f"{name} is not installed")
        assert found is not None
        return found

    return find


@pytest.fixture(scope="session")
def postfix_here() -> None:
    demand(postfixes.missing())


@attrs.frozen
class Middle:
    """A running gateway between two sinks: the inside server and the next hop to the world."""

    gateway: Gateway
    inside: Sink
    outside: Sink


@pytest.fixture(scope="module")
def middle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Middle]:
    """One for all tests of a file: each of them begins with empty sinks and an empty queue."""
    with sink() as inside, sink() as outside:
        gateway = prepare(tmp_path_factory.mktemp("gateway"), inside=inside.port, outside=outside.port)
        try:
            gateway.start()
            yield Middle(gateway, inside, outside)
        finally:
            gateway.stop()


@pytest.fixture
def running(middle: Middle) -> Gateway:
    middle.gateway.wait_empty(30)
    middle.inside.forget()
    middle.outside.forget()
    return middle.gateway


@pytest.fixture
def inside(middle: Middle, running: Gateway) -> Sink:
    return middle.inside


@pytest.fixture
def outside(middle: Middle, running: Gateway) -> Sink:
    return middle.outside
