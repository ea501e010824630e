"""What a correspondent's program announced, as a list, in place of the one word about AES-GCM."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.add_column("held", sa.Column("announced", sa.Text(), nullable=False, server_default=""))
    op.add_column("held", sa.Column("announced_at", sa.Double(), nullable=False, server_default="0"))
    # When it was announced is not known any more: whatever is announced next counts.
    op.execute("UPDATE held SET announced = 'aes-256-gcm' WHERE gcm")
    op.drop_column("held", "gcm")
