"""Which addresses' keys have changed: prepared answers follow this list."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0030"
down_revision = "0002"


def upgrade() -> None:
    serial = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "keychange",
        sa.Column("id", serial, nullable=False),
        sa.Column("tenant", sa.Integer(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="keychange_pkey"),
        sa.ForeignKeyConstraint(["tenant"], ["tenant.id"], name="keychange_tenant_fkey"),
        sqlite_autoincrement=True,
    )
