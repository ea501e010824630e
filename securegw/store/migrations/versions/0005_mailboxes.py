"""Archive mailboxes: what is sealed for them, and who has one open."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

SERIAL = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    mailboxes()
    mails()
    parts()
    leases()


def mailboxes() -> None:
    op.create_table(
        "mailbox",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("tenant", sa.Integer(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("unpack", sa.Boolean(), nullable=False),
        sa.Column("public", sa.LargeBinary(), nullable=False),
        sa.Column("wrapped", sa.LargeBinary(), nullable=False),
        sa.Column("created", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="mailbox_pkey"),
        sa.UniqueConstraint("key", name="mailbox_key_key"),
        sa.ForeignKeyConstraint(["tenant"], ["tenant.id"], name="mailbox_tenant_fkey"),
    )


def mails() -> None:
    op.create_table(
        "kept",
        sa.Column("number", SERIAL, nullable=False),
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("mailbox", sa.String(32), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("parts", sa.Integer(), nullable=False),
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.Column("received", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("number", name="kept_pkey"),
        sa.UniqueConstraint("id", name="kept_id_key"),
        sa.ForeignKeyConstraint(["mailbox"], ["mailbox.id"], name="kept_mailbox_fkey", ondelete="CASCADE"),
        sqlite_autoincrement=True,
    )
    op.create_index("kept_mailbox_number_index", "kept", ["mailbox", "number"])


def parts() -> None:
    op.create_table(
        "kept_part",
        sa.Column("mail", sa.String(32), nullable=False),
        sa.Column("part", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("bytes", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("mail", "part", name="kept_part_pkey"),
        sa.ForeignKeyConstraint(["mail"], ["kept.id"], name="kept_part_mail_fkey", ondelete="CASCADE"),
    )


def leases() -> None:
    op.create_table(
        "lease",
        sa.Column("mailbox", sa.String(32), nullable=False),
        sa.Column("session", sa.BigInteger(), nullable=False),
        sa.Column("token", sa.String(32), nullable=False),
        sa.Column("taken", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("mailbox", name="lease_pkey"),
        sa.ForeignKeyConstraint(["mailbox"], ["mailbox.id"], name="lease_mailbox_fkey", ondelete="CASCADE"),
    )
