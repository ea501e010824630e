"""Runs the migrations, which are Alembic's, shipped in the package: no ``alembic.ini``, no command.

Not loaded where nothing is to be migrated (``upgrade``): Alembic takes 11 MB.
"""

from __future__ import annotations

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from securegw.store.troubles import NewerSchema
from securegw.store.upgrade import MIGRATIONS


def migrate(connection: Connection, revision: str) -> None:
    """Run the migrations that are missing up to this revision, in the transaction of the connection."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
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
