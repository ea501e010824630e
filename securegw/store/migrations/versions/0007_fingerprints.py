"""Marks of passages of opened mails, and who has read which of them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.create_table(
        "passage",
        sa.Column("tenant", sa.Integer(), nullable=False),
        sa.Column("mark", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("source", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("time", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "mark", "source", name="passage_pkey"),
        sa.ForeignKeyConstraint(["tenant"], ["tenant.id"], name="passage_tenant_fkey"),
    )
    op.create_index("passage_time_index", "passage", ["time"])
    op.create_table(
        "reading",
        sa.Column("tenant", sa.Integer(), nullable=False),
        sa.Column("reader", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("source", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("time", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "reader", "source", name="reading_pkey"),
        sa.ForeignKeyConstraint(["tenant"], ["tenant.id"], name="reading_tenant_fkey"),
    )
    op.create_index("reading_time_index", "reading", ["time"])
