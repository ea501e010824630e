"""Every test of the store runs on a SQLite file and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from securegw.store.database import Database
from tests.support.postgres import Postgres, postgres

__all__ = ["postgres"]


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database without tables."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/securegw.db"
    server = request.getfixturevalue("postgres")
    return str(server.url(server.database()))


@pytest.fixture(scope="session")
def template(postgres: Postgres) -> str:
    """A PostgreSQL database with all tables, to be copied."""
    name = postgres.database()
    database = Database(postgres.url(name), inline=True)
    database.migrate()
    database.close()
    return name


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database with all tables."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path}/securegw.db"
        database = Database(url, inline=True)
        database.migrate()
        database.close()
        return url
    server = request.getfixturevalue("postgres")
    return str(server.url(server.database(request.getfixturevalue("template"))))


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    """The database with its threads, as the gateway has it."""
    opened = Database(url)
    yield opened
    opened.close()
