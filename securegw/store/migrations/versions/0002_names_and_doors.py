"""Who may sign in to send, which addresses exist inside, and what a domain and a route ask of the other side."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    logins()
    recipients()
    domains()
    routes()


def logins() -> None:
    op.create_table(
        "login",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Integer(), nullable=False),
        sa.Column("secret", sa.Text(), nullable=False),
        sa.Column("senders", sa.JSON(), nullable=False),
        sa.Column("created", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="login_pkey"),
        sa.ForeignKeyConstraint(["tenant"], ["tenant.id"], name="login_tenant_fkey"),
    )


def recipients() -> None:
    op.create_table(
        "recipient",
        sa.Column("tenant", sa.Integer(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("created", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "key", name="recipient_pkey"),
        sa.ForeignKeyConstraint(["tenant"], ["tenant.id"], name="recipient_tenant_fkey"),
    )


def domains() -> None:
    op.add_column("domain", sa.Column("recipients", sa.Text(), nullable=False, server_default="any"))
    op.add_column("domain", fingerprints())


def routes() -> None:
    op.add_column("route", sa.Column("login", sa.Text(), nullable=False, server_default=""))
    op.add_column("route", sa.Column("secret", sa.LargeBinary(), nullable=True))
    op.add_column("route", fingerprints())


def fingerprints() -> sa.Column[list[str]]:
    return sa.Column("fingerprints", sa.JSON(), nullable=False, server_default="[]")
