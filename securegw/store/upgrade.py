"""Brings the tables of a database to what this code expects, or refuses one that is ahead of it.

The migrations are Alembic's, shipped in the package and run from here: no ``alembic.ini``, no command.
"""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from securegw.store.troubles import NewerSchema

_ADVISORY_LOCK = 0x5EC7E6  # two nodes that start together migrate one after the other


def upgrade(connection: Connection, revision: str = "head") -> None:
    """Run the migrations that are missing up to this revision, in the transaction of the connection."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.attributes["connection"] = connection
    _refuse_newer(connection, ScriptDirectory.from_config(config))
    command.upgrade(config, revision)


def _refuse_newer(connection: Connection, scripts: ScriptDirectory) -> None:
    known = {script.revision for script in scripts.walk_revisions()}
    unknown = set(MigrationContext.configure(connection).get_current_heads()) - known
    if unknown:
        raise NewerSchema(
            f"the database has the schema {', '.join(sorted(unknown))}, this program knows up to "
            f"{scripts.get_current_head()}; run the newer securegw, or restore the backup from before the upgrade"
        )
