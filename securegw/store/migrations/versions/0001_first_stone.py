"""The first tables: queue, sessions, people, keys, letters, rules, events, settings - with tenants from the start."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=False)


def time(name: str, *, nullable: bool = False) -> sa.Column[float]:
    return sa.Column(name, sa.Double(), nullable=nullable)


def bytes_of(name: str, *, nullable: bool = False) -> sa.Column[bytes]:
    return sa.Column(name, sa.LargeBinary(), nullable=nullable)


def number(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer(), nullable=False)


def flag(name: str) -> sa.Column[bool]:
    return sa.Column(name, sa.Boolean(), nullable=False)


def tenant_of(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(["tenant"], ["tenant.id"], name=f"{table}_tenant_fkey")


def account_of(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(["account"], ["account.id"], name=f"{table}_account_fkey", ondelete="CASCADE")


def primary(table: str, *columns: str) -> sa.PrimaryKeyConstraint:
    return sa.PrimaryKeyConstraint(*columns, name=f"{table}_pkey")


def upgrade() -> None:
    tenants()
    queue()
    places()
    people()
    keys()
    papers()


def tenants() -> None:
    table = op.create_table(
        "tenant",
        number("id"),
        text("name"),
        primary("tenant", "id"),
        sa.UniqueConstraint("name", name="tenant_name_key"),
    )
    op.bulk_insert(table, [{"id": 1, "name": "main"}])


def queue() -> None:
    op.create_table(
        "session",
        sa.Column("id", SERIAL, nullable=False),
        text("node"),
        time("opened"),
        time("alive_until"),
        primary("session", "id"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "item",
        sa.Column("id", sa.String(16), nullable=False),
        number("tenant"),
        text("kind"),
        text("state"),
        text("direction"),
        text("trace"),
        text("message_id"),
        text("sender"),
        sa.Column("recipients", sa.JSON(), nullable=False),
        sa.Column("source", sa.JSON(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        time("received"),
        time("next_try"),
        number("tries"),
        text("note"),
        sa.Column("session", sa.BigInteger(), nullable=True),
        primary("item", "id"),
    )
    op.create_index("item_state_next_try_received_index", "item", ["state", "next_try", "received"])
    held = sa.text("session IS NOT NULL")
    op.create_index("item_session_index", "item", ["session"], postgresql_where=held, sqlite_where=held)
    op.create_table(
        "body",
        sa.Column("item", sa.String(16), nullable=False),
        number("part"),
        bytes_of("bytes"),
        primary("body", "item", "part"),
    )
    if op.get_bind().dialect.name == "postgresql":
        # Sealed bytes do not get smaller; trying to compress them costs time only.
        op.execute("ALTER TABLE body ALTER COLUMN bytes SET STORAGE EXTERNAL")


def places() -> None:
    op.create_table(
        "domain",
        number("id"),
        number("tenant"),
        text("name"),
        text("route"),
        text("tls"),
        primary("domain", "id"),
        tenant_of("domain"),
        sa.UniqueConstraint("name", name="domain_name_key"),
    )
    op.create_table(
        "route",
        number("tenant"),
        text("pattern"),
        text("hop"),
        text("tls"),
        primary("route", "tenant", "pattern"),
        tenant_of("route"),
    )


def people() -> None:
    op.create_table(
        "user",
        number("tenant"),
        text("key"),
        text("address"),
        text("name"),
        flag("may_sign"),
        flag("may_encrypt"),
        time("created"),
        primary("user", "tenant", "key"),
        tenant_of("user"),
    )
    op.create_table(
        "account",
        sa.Column("id", sa.String(32), nullable=False),
        number("tenant"),
        text("key"),
        text("address"),
        text("name"),
        text("language"),
        bytes_of("public"),
        bytes_of("wrapped"),
        flag("registered"),
        flag("blocked"),
        time("created"),
        time("seen", nullable=True),
        time("terms", nullable=True),
        number("tries"),
        time("locked_until"),
        primary("account", "id"),
        tenant_of("account"),
        sa.UniqueConstraint("tenant", "key", name="account_tenant_key_key"),
    )
    op.create_table(
        "letter",
        sa.Column("id", sa.String(32), nullable=False),
        number("tenant"),
        sa.Column("account", sa.String(32), nullable=False),
        text("sender"),
        text("message_id"),
        time("created"),
        time("first_read", nullable=True),
        time("revoked", nullable=True),
        primary("letter", "id"),
        tenant_of("letter"),
        account_of("letter"),
    )
    op.create_index("letter_account_index", "letter", ["account"])
    op.create_table(
        "websession",
        bytes_of("token_hash"),
        number("tenant"),
        sa.Column("account", sa.String(32), nullable=False),
        bytes_of("sealed"),
        bytes_of("csrf_hash"),
        text("language"),
        time("created"),
        time("seen"),
        primary("websession", "token_hash"),
        tenant_of("websession"),
        account_of("websession"),
    )
    op.create_index("websession_account_index", "websession", ["account"])
    op.create_index("websession_seen_index", "websession", ["seen"])


def keys() -> None:
    op.create_table(
        "held",
        number("id"),
        number("tenant"),
        text("address"),
        text("fingerprint"),
        bytes_of("der"),
        bytes_of("private", nullable=True),
        text("source"),
        text("trust"),
        flag("gcm"),
        time("not_before"),
        time("not_after"),
        time("created"),
        primary("held", "id"),
        tenant_of("held"),
        sa.UniqueConstraint("tenant", "address", "fingerprint", name="held_tenant_address_fingerprint_key"),
    )
    op.create_index("held_tenant_fingerprint_index", "held", ["tenant", "fingerprint"])


def papers() -> None:
    op.create_table(
        "rulebook",
        number("tenant"),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        text("text"),
        text("author"),
        text("note"),
        time("saved"),
        primary("rulebook", "tenant", "version"),
        tenant_of("rulebook"),
    )
    op.create_table(
        "event",
        sa.Column("id", SERIAL, nullable=False),
        number("tenant"),
        time("time"),
        text("kind"),
        text("actor"),
        text("trace"),
        text("item"),
        text("message_id"),
        text("address"),
        sa.Column("detail", sa.JSON(), nullable=False),
        primary("event", "id"),
    )
    op.create_index("event_time_index", "event", ["time"])
    for column in ("trace", "message_id", "address"):
        op.create_index(f"event_tenant_{column}_index", "event", ["tenant", column])
    op.create_table(
        "tries",
        text("key"),
        sa.Column("count", sa.SmallInteger(), nullable=False),
        time("last"),
        primary("tries", "key"),
    )
    op.create_index("tries_last_index", "tries", ["last"])
    op.create_table(
        "setting",
        number("tenant"),
        text("key"),
        sa.Column("value", sa.JSON(), nullable=False),
        primary("setting", "tenant", "key"),
        tenant_of("setting"),
    )
