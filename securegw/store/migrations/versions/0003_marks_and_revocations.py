"""Which mails were opened here, and which certificates of ours were revoked."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    opened()
    revocations()
    lists()


def opened() -> None:
    op.create_table(
        "opened",
        sa.Column("tenant", sa.Integer(), nullable=False),
        sa.Column("key", sa.String(32), nullable=False),
        sa.Column("time", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "key", name="opened_pkey"),
        sa.ForeignKeyConstraint(["tenant"], ["tenant.id"], name="opened_tenant_fkey"),
    )
    op.create_index("opened_time_index", "opened", ["time"])


def revocations() -> None:
    op.create_table(
        "revocation",
        sa.Column("tenant", sa.Integer(), nullable=False),
        sa.Column("authority", sa.Text(), nullable=False),
        sa.Column("serial", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("not_after", sa.Double(), nullable=False),
        sa.Column("time", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "authority", "serial", name="revocation_pkey"),
        sa.ForeignKeyConstraint(["tenant"], ["tenant.id"], name="revocation_tenant_fkey"),
    )


def lists() -> None:
    op.create_table(
        "revocation_list",
        sa.Column("tenant", sa.Integer(), nullable=False),
        sa.Column("authority", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("der", sa.LargeBinary(), nullable=False),
        sa.Column("made", sa.Double(), nullable=False),
        sa.Column("next_update", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "authority", name="revocation_list_pkey"),
        sa.ForeignKeyConstraint(["tenant"], ["tenant.id"], name="revocation_list_tenant_fkey"),
    )
