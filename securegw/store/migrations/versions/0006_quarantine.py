"""Which held mails a rule keeps for an administrator."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.create_table(
        "quarantine",
        sa.Column("item", sa.String(16), nullable=False),
        sa.Column("tenant", sa.Integer(), nullable=False),
        sa.Column("time", sa.Double(), nullable=False),
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("told", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("item", name="quarantine_pkey"),
    )
    op.create_index("quarantine_tenant_time_index", "quarantine", ["tenant", "time"])
