"""Brings the tables of a database to what this code expects, or refuses one that is ahead of it."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, inspect, text

MIGRATIONS = Path(__file__).parent / "migrations"
NEWEST = "head"
_ADVISORY_LOCK = 0x5EC7E6  # two nodes that start together migrate one after the other


def upgrade(connection: Connection, revision: str = NEWEST) -> None:
    """Run the migrations that are missing up to this revision, in the transaction of the connection."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
    if revision == NEWEST and _is_newest(connection):
        return
    from securegw.store.migrate import migrate

    migrate(connection, revision)


def _is_newest(connection: Connection) -> bool:
    if not inspect(connection).has_table("alembic_version"):
        return False
    newest = max(path.name.partition("_")[0] for path in (MIGRATIONS / "versions").glob("[0-9]*.py"))
    return connection.scalars(text("SELECT version_num FROM alembic_version")).all() == [newest]
