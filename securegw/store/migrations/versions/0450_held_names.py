"""The names in the subjects of certificates, by which partners are searched for."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from cryptography import x509
from cryptography.x509.oid import NameOID

revision = "0450"
down_revision = "0300"

STEP = 500
NAMES = (NameOID.COMMON_NAME, NameOID.GIVEN_NAME, NameOID.SURNAME)


def upgrade() -> None:
    op.add_column("held", sa.Column("names", sa.Text(), nullable=False, server_default=""))
    fill(op.get_bind())
    op.create_index("held_names_index", "held", ["tenant", "address", "names"])


def fill(connection: sa.Connection) -> None:
    """Names of what is there already; what cannot be read has none."""
    held = sa.table("held", sa.column("id"), sa.column("address"), sa.column("der"), sa.column("names"))
    some = sa.select(held.c.id, held.c.der).where(held.c.address != "").order_by(held.c.id).limit(STEP)
    change = sa.update(held).where(held.c.id == sa.bindparam("of")).values(names=sa.bindparam("new"))
    last = 0
    while rows := connection.execute(some.where(held.c.id > last)).all():
        last = rows[-1].id
        connection.execute(change, [{"of": row.id, "new": names(row.der)} for row in rows])


def names(der: object) -> str:
    try:
        subject = x509.load_der_x509_certificate(bytes(der)).subject  # type: ignore[call-overload]
        found = [subject.get_attributes_for_oid(oid) for oid in NAMES]
        texts = ["".join(each if each.isprintable() else " " for each in str(one[0].value)) for one in found if one]
    except (TypeError, ValueError):
        return ""
    folded = (" ".join(each.lower().split()) for each in texts)
    return "\n".join(dict.fromkeys(name for name in folded if name))[:300]
