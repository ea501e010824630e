"""The names in the subjects of certificates, by which partners are searched for.

The store does not know cryptography, so the few bytes that matter are found here by hand: X.690 8.1, RFC 5280 4.1.
"""

from __future__ import annotations

from collections.abc import Iterator

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

STEP = 500
MOST = 300
NAMES = (b"\x55\x04\x03", b"\x55\x04\x2a", b"\x55\x04\x04")  # common name, given name, surname
TEXTS = {0x0C: "utf-8", 0x13: "ascii", 0x14: "latin-1", 0x16: "ascii", 0x1E: "utf-16-be"}


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


def names(der: bytes) -> str:
    try:
        found = dict(_subject(der))
    except (IndexError, TypeError, ValueError):
        return ""
    folded = (" ".join(found[kind].lower().split()) for kind in NAMES if kind in found)
    return "\n".join(dict.fromkeys(name for name in folded if name))[:MOST]


def _subject(der: bytes) -> Iterator[tuple[bytes, str]]:
    """Kind and text of each name in the subject, those first of a kind last."""
    ((_, certificate),) = _elements(der)
    _, inner = next(_elements(certificate))
    fields = [value for tag, value in _elements(inner) if tag != 0xA0]
    kinds = [pair for _, one in _elements(fields[4]) for _, pair in _elements(one)]
    for pair in reversed(kinds):
        (_, kind), (tag, value) = _elements(pair)
        if tag in TEXTS:
            text = value.decode(TEXTS[tag])
            yield kind, "".join(letter if letter.isprintable() else " " for letter in text)


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Tag and content of the elements that follow each other."""
    at = 0
    while at < len(data):
        tag, length, at = data[at], data[at + 1], at + 2
        if length >= 0x80:
            size = length & 0x7F
            length, at = int.from_bytes(data[at : at + size], "big"), at + size
        if not 0 <= length <= len(data) - at:
            raise ValueError("it is cut off")
        yield tag, data[at : at + length]
        at += length
