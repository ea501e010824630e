"""OpenSMTPD on the other side of a running gateway, as next hop and as sender."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.peers.conftest import demand
from tests.support import opensmtpd
from tests.support.between import Line, Neighbour, between


@pytest.fixture(scope="module")
def neighbours(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    demand(opensmtpd.missing())
    with between(tmp_path_factory.mktemp("opensmtpd"), opensmtpd.opensmtpd) as line:
        yield line


@pytest.fixture
def line(neighbours: Line) -> Line:
    return neighbours.begin()


class TestOpenSmtpd(Neighbour):
    down = 'result="TempFail"'
