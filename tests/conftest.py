"""What all tests share: Twisted is told to txaio first, a world is closed at its end, files run beside each other."""

from __future__ import annotations

from collections.abc import Iterator

import hypothesis
import pytest
import txaio

txaio.use_twisted()

# The same examples every time and everywhere, however slow the machine is.
hypothesis.settings.register_profile(
    "same",
    derandomize=True,
    deadline=None,
    database=None,
    print_blob=True,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("same")


@pytest.fixture
def world() -> Iterator[object]:
    from tests.support.world import World

    made = World()
    yield made
    made.close()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Two processes for many files; none for files that are named, where the first result comes sooner."""
    return 0 if any(".py" in word for word in config.args) else 2


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long files first: the short ones fill the end, so that both processes are ready at about the same time."""
    items.sort(key=lambda item: item.path.parent.name != "peers")
