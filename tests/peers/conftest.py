"""Real peers: missing ones are a named skip on a developer's machine and a failure in CI."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

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


@pytest.fixture
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


@pytest.fixture
def inside() -> Iterator[Sink]:
    """The inside server, as a sink."""
    with sink() as server:
        yield server


@pytest.fixture
def outside() -> Iterator[Sink]:
    """The next hop to the world, as a sink."""
    with sink() as server:
        yield server


@pytest.fixture
def running(tmp_path: Path, inside: Sink, outside: Sink) -> Iterator[Gateway]:
    """A gateway between the two sinks."""
    gateway = prepare(tmp_path, inside=inside.port, outside=outside.port)
    try:
        gateway.start()
        yield gateway
    finally:
        gateway.stop()
