from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, select, text

from securegw.crypto import authority
from securegw.crypto.certificate import found_by
from securegw.store import domains, keystore, logins, queue, recipients, schema, settings
from securegw.store.database import Database
from securegw.store.domains import Domain, Route
from securegw.store.troubles import NewerSchema
from securegw.store.upgrade import upgrade
from tests.store.samples import BOB, claim, node
from tests.support.running import ROOT


def test_an_empty_database_gets_the_tables_of_the_schema(empty_url: str) -> None:
    def differences(connection: Connection) -> list[object]:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return list(compare_metadata(context, schema.metadata))

    database = Database(empty_url)
    database.migrate()
    assert database.read(differences).result() == []
    tenants = database.read(lambda conn: conn.execute(select(schema.tenant)).all()).result()
    assert [tuple(row) for row in tenants] == [(schema.TENANT, "main")]
    database.close()


def test_a_second_migration_changes_nothing(database: Database) -> None:
    database.write(settings.put, "a", 1).result()
    database.migrate()
    assert database.read(settings.get, "a").result() == 1


def test_what_is_up_to_date_takes_no_alembic(tmp_path: Path) -> None:
    """11 MB that a gateway would keep for ever."""
    script = (
        "import sys; from securegw.store.database import Database\n"
        f"database = Database('sqlite:///{tmp_path}/x.db'); database.migrate(); print('alembic' in sys.modules)"
    )
    command = [sys.executable, "-c", script]
    told = [
        subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout for _ in range(2)
    ]
    assert told == ["True\n", "False\n"]


def test_a_newer_schema_is_refused(database: Database) -> None:
    database.write(lambda conn: conn.execute(text("UPDATE alembic_version SET version_num = '9999'")) and None).result()
    with pytest.raises(NewerSchema, match="9999"):
        database.migrate()
    found = database.read(lambda conn: conn.scalar(text("SELECT version_num FROM alembic_version"))).result()
    assert found == "9999"


def test_nodes_that_start_together_migrate_once(empty_url: str) -> None:
    nodes = [Database(empty_url) for _ in range(3)]
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(Database.migrate, nodes))
    for each in nodes:
        each.write(settings.put, "a", 1).result()
        each.close()


def test_a_migration_that_fails_leaves_nothing(empty_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from alembic.operations import Operations

    def fail(*_arguments: object, **_named: object) -> None:
        raise ArithmeticError("half way")

    database = Database(empty_url, inline=True)
    with monkeypatch.context() as patch:
        patch.setattr(Operations, "create_index", fail)
        with pytest.raises(ArithmeticError):
            database.migrate()
    database.migrate()
    assert database.read(settings.everything).result() == {}
    database.close()


FIRST_ROWS = (
    "INSERT INTO domain (id, tenant, name, route, tls) VALUES (1, 1, 'inside.test', '[10.0.0.1]:25', 'encrypt')",
    "INSERT INTO route (tenant, pattern, hop, tls) VALUES (1, '*', 'relay.test', 'may')",
    "INSERT INTO item (id, tenant, kind, state, direction, trace, message_id, sender, recipients, source, size,"
    " received, next_try, tries, note) VALUES ('00000000000000ab', 1, 'accepted', 'waiting', '', 't', '<1@x>',"
    " 'ann@inside.test', '[{\"address\": \"bob@outside.test\"}]', '{}', 6, 1, 0, 0, '')",
    "INSERT INTO held (tenant, address, fingerprint, der, source, trust, gcm, not_before, not_after, created) VALUES"
    " (1, 'bob@outside.test', 'f1', 'der', 'harvested', 'unknown', TRUE, 1, 2, 1),"
    " (1, 'eve@outside.test', 'f2', 'der', 'harvested', 'unknown', FALSE, 1, 2, 1)",
    "INSERT INTO body (item, part, bytes) VALUES ('00000000000000ab', 0, 'sealed')",
)


def test_certificates_that_are_there_get_the_names_in_them(database: Database) -> None:
    key, root = authority.make_authority("CA", years=1, now=0.0)
    _, der = authority.issue(key, root, address=BOB, name="Bob  MÜLLER", kind="p-256", days=300, now=0.0)
    row: dict[str, Any] = {
        "source": "imported", "trust": "unknown", "not_before": 0.0, "not_after": 9e9, "created": 0.0,
    }  # fmt: skip
    for address, raw in ((BOB, der), ("eve@outside.test", b"nonsense"), ("", root)):
        database.write(keystore.add, keystore.Held(address=address, der=raw, fingerprint=address, **row)).result()
    module = import_module("securegw.store.migrations.versions.0009_held_names")
    database.write(lambda conn: module.fill(conn)).result()
    filled = [database.read(keystore.find, each).result()[0].names for each in (BOB, "eve@outside.test", "")]
    assert filled == ["bob müller", "", ""]
    assert filled[0] == found_by(der)  # as it is written down from now on


def test_a_database_of_the_first_schema_is_upgraded_with_its_rows(empty_url: str) -> None:
    def rows_of_then(connection: Connection) -> None:
        for statement in FIRST_ROWS:
            connection.exec_driver_sql(statement)

    database = Database(empty_url)
    database.write(upgrade, "0001").result()
    database.write(rows_of_then).result()
    database.migrate()
    assert database.read(domains.list_domains).result() == [Domain("inside.test", "[10.0.0.1]:25", "encrypt", 1, 1)]
    assert database.read(domains.list_routes).result() == [Route("*", "relay.test")]
    [item] = claim(database, node(database))
    assert item.recipients == (queue.Recipient(BOB),)
    assert database.read(logins.list_logins).result() == []
    assert database.read(recipients.count).result() == 0
    [bob], [eve] = (database.read(keystore.find, address).result() for address in (BOB, "eve@outside.test"))
    assert (bob.announced, eve.announced) == ("aes-256-gcm", "")
    assert bob.names == ""  # what stands there is no certificate
    database.close()
