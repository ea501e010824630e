"""Every test of the store runs on a SQLite file and on PostgreSQL.

The tables are made once for each; a test gets a copy of the file, or the one PostgreSQL database with empty tables.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, delete

from securegw.store import schema
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
def made_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with all tables."""
    file = tmp_path_factory.mktemp("made") / "securegw.db"
    _migrate(f"sqlite:///{file}").close()  # which folds SQLite's journal into the file
    return file


@pytest.fixture(scope="session")
def made_server(postgres: Postgres) -> Iterator[Database]:
    """A PostgreSQL database with all tables."""
    made = _migrate(postgres.url(postgres.database()))
    yield made
    made.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database with all tables and no rows but the first tenant."""
    if request.param == "sqlite":
        file = tmp_path / "securegw.db"
        shutil.copy(request.getfixturevalue("made_file"), file)
        return f"sqlite:///{file}"
    made = request.getfixturevalue("made_server")
    made.write(_empty).result()
    return str(made.url.render_as_string(hide_password=False))


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    """The database with its threads, as the gateway has it."""
    opened = Database(url)
    yield opened
    opened.close()


@pytest.fixture
def sqlite_url(made_file: Path, tmp_path: Path) -> str:
    """For what is about files."""
    file = tmp_path / "securegw.db"
    shutil.copy(made_file, file)
    return f"sqlite:///{file}"


@pytest.fixture
def postgresql_url(made_server: Database) -> str:
    """For what is about a server."""
    made_server.write(_empty).result()
    return made_server.url.render_as_string(hide_password=False)


def _migrate(url: str) -> Database:
    database = Database(url, inline=True)
    database.migrate()
    return database


def _empty(connection: Connection) -> None:
    for table in reversed(schema.metadata.sorted_tables):
        statement = delete(table)
        connection.execute(statement.where(table.c.id != schema.TENANT) if table is schema.tenant else statement)
