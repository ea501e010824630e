"""Which addresses' keys have changed: prepared answers follow this list. OpenPGP keys, and their names."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    changes()
    pgp_keys()


def changes() -> None:
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


def pgp_keys() -> None:
    op.create_table(
        "pgpkey",
        sa.Column("tenant", sa.Integer(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.Column("subkeys", sa.JSON(), nullable=False),
        sa.Column("user_ids", sa.JSON(), nullable=False),
        sa.Column("addresses", sa.JSON(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("bits", sa.Integer(), nullable=False),
        sa.Column("created", sa.Double(), nullable=False),
        sa.Column("expires", sa.Double(), nullable=True),
        sa.Column("added", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "fingerprint", name="pgpkey_pkey"),
        sa.ForeignKeyConstraint(["tenant"], ["tenant.id"], name="pgpkey_tenant_fkey"),
    )
    op.create_table(
        "pgpname",
        sa.Column("tenant", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "name", "fingerprint", name="pgpname_pkey"),
        sa.ForeignKeyConstraint(["tenant"], ["tenant.id"], name="pgpname_tenant_fkey"),
    )
