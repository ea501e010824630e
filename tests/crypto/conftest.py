"""Two people with keys of an authority, and one of nobody's; made once for the run."""

from __future__ import annotations

import pytest

from securegw.crypto.authority import make_authority
from tests.crypto.people import NOW, Authority, Person


@pytest.fixture(scope="session")
def authority() -> Authority:
    return Authority(*make_authority("Test authority", years=20, now=NOW - 86_400 * 3650, kind="p-256"))


@pytest.fixture(scope="session")
def stranger() -> Authority:
    return Authority(*make_authority("Nobody's authority", years=5, now=NOW, kind="p-256"))


@pytest.fixture(scope="session")
def ann(authority: Authority) -> Person:
    return authority.person("ann@inside.test")


@pytest.fixture(scope="session")
def bob(authority: Authority) -> Person:
    return authority.person("bob@outside.test")


@pytest.fixture(scope="session")
def eve(authority: Authority) -> Person:
    return authority.person("eve@evil.test", kind="p-256")


@pytest.fixture
def mail() -> bytes:
    return (
        b"Received: from somewhere\r\n"
        b"From: Ann <ann@inside.test>\r\n"
        b"To: bob@outside.test\r\n"
        b"Subject: the results\r\n"
        b"MIME-Version: 1.0\r\n"
        b"Content-Type: text/plain; charset=utf-8\r\n"
        b"Content-Transfer-Encoding: 7bit\r\n"
        b"\r\n"
        b"The blood count is fine.\r\n"
        b".\r\n"
        b"From here on regards\r\n"
    )
