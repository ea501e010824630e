"""The tables of what rules look for and keep: passages of opened mails, who has read them, mails in quarantine.

Beside those of ``schema``, of whose metadata they are a part.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Double, ForeignKey, Index, Integer, String, Table, Text

from securegw.store.schema import metadata

passage = Table(
    "passage",
    metadata,
    Column("tenant", Integer, ForeignKey("tenant.id"), primary_key=True, nullable=False),
    Column("mark", BigInteger, primary_key=True, autoincrement=False),
    Column("source", BigInteger, primary_key=True, autoincrement=False),
    Column("time", Double, nullable=False, index=True),
)

reading = Table(
    "reading",
    metadata,
    Column("tenant", Integer, ForeignKey("tenant.id"), primary_key=True, nullable=False),
    Column("reader", BigInteger, primary_key=True, autoincrement=False),
    Column("source", BigInteger, primary_key=True, autoincrement=False),
    Column("time", Double, nullable=False, index=True),
)

# Held mails that a rule keeps; like the queue without foreign keys, for it is written in the same statements' commit.
quarantine = Table(
    "quarantine",
    metadata,
    Column("item", String(16), primary_key=True),
    Column("tenant", Integer, nullable=False),
    Column("time", Double, nullable=False),
    Column("rule", Text, nullable=False),
    Column("told", Boolean, nullable=False),
    Index(None, "tenant", "time"),
)
