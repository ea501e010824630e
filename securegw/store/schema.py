"""The tables: every row that belongs to an organisation says to which tenant.

Not the migrations: those are frozen texts in ``migrations/versions``, and a test compares both. The tables of the
queue have no foreign keys, because three statements of one file write them and they are written most.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

TENANT = 1  # the tenant made by the first migration

metadata = MetaData(
    naming_convention={
        "ix": "%(table_name)s_%(column_0_N_name)s_index",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
        "pk": "%(table_name)s_pkey",
    }
)

Serial = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts up only INTEGER PRIMARY KEY


def _tenant(*, primary_key: bool = False) -> Column[int]:
    return Column("tenant", Integer, ForeignKey("tenant.id"), primary_key=primary_key, nullable=False)


def _time(name: str, *, nullable: bool = False) -> Column[float]:
    return Column(name, Double, nullable=nullable)


def _fingerprints() -> Column[list[str]]:
    return Column("fingerprints", JSON, nullable=False, server_default="[]")


tenant = Table(
    "tenant",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
)

domain = Table(
    "domain",
    metadata,
    Column("id", Integer, primary_key=True),
    _tenant(),
    Column("name", Text, nullable=False, unique=True),
    Column("route", Text, nullable=False),
    Column("tls", Text, nullable=False),
    Column("recipients", Text, nullable=False, server_default="any"),
    _fingerprints(),
)

# Without its tenant in the key: who signs in says a name and nothing else.
login = Table(
    "login",
    metadata,
    Column("name", Text, primary_key=True),
    _tenant(),
    Column("secret", Text, nullable=False),
    Column("senders", JSON, nullable=False),
    _time("created"),
)

recipient = Table(
    "recipient",
    metadata,
    _tenant(primary_key=True),
    Column("key", Text, primary_key=True),
    _time("created"),
)

route = Table(
    "route",
    metadata,
    _tenant(primary_key=True),
    Column("pattern", Text, primary_key=True),
    Column("hop", Text, nullable=False),
    Column("tls", Text, nullable=False),
    Column("login", Text, nullable=False, server_default=""),
    Column("secret", LargeBinary),
    _fingerprints(),
)

# AUTOINCREMENT: the number of a dead session must never come back, or its items would look held.
session = Table(
    "session",
    metadata,
    Column("id", Serial, primary_key=True),
    Column("node", Text, nullable=False),
    _time("opened"),
    _time("alive_until"),
    sqlite_autoincrement=True,
)

item = Table(
    "item",
    metadata,
    Column("id", String(16), primary_key=True),
    Column("tenant", Integer, nullable=False),
    Column("kind", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("direction", Text, nullable=False),
    Column("trace", Text, nullable=False),
    Column("message_id", Text, nullable=False),
    Column("sender", Text, nullable=False),
    Column("recipients", JSON, nullable=False),
    Column("source", JSON, nullable=False),
    Column("size", BigInteger, nullable=False),
    _time("received"),
    _time("next_try"),
    Column("tries", Integer, nullable=False),
    Column("note", Text, nullable=False),
    Column("session", BigInteger),
    Index(None, "state", "next_try", "received"),
    Index(
        "item_session_index",
        "session",
        postgresql_where=text("session IS NOT NULL"),
        sqlite_where=text("session IS NOT NULL"),
    ),
)

body = Table(
    "body",
    metadata,
    Column("item", String(16), primary_key=True),
    Column("part", Integer, primary_key=True),
    Column("bytes", LargeBinary, nullable=False),
)

user = Table(
    "user",
    metadata,
    _tenant(primary_key=True),
    Column("key", Text, primary_key=True),
    Column("address", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("may_sign", Boolean, nullable=False),
    Column("may_encrypt", Boolean, nullable=False),
    _time("created"),
)

account = Table(
    "account",
    metadata,
    Column("id", String(32), primary_key=True),
    _tenant(),
    Column("key", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("language", Text, nullable=False),
    Column("public", LargeBinary, nullable=False),
    Column("wrapped", LargeBinary, nullable=False),
    Column("registered", Boolean, nullable=False),
    Column("blocked", Boolean, nullable=False),
    _time("created"),
    _time("seen", nullable=True),
    _time("terms", nullable=True),
    Column("tries", Integer, nullable=False),
    _time("locked_until"),
    UniqueConstraint("tenant", "key"),
)

letter = Table(
    "letter",
    metadata,
    Column("id", String(32), primary_key=True),
    _tenant(),
    Column("account", String(32), ForeignKey("account.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("sender", Text, nullable=False),
    Column("message_id", Text, nullable=False),
    _time("created"),
    _time("first_read", nullable=True),
    _time("revoked", nullable=True),
)

websession = Table(
    "websession",
    metadata,
    Column("token_hash", LargeBinary, primary_key=True),
    _tenant(),
    Column("account", String(32), ForeignKey("account.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("sealed", LargeBinary, nullable=False),
    Column("csrf_hash", LargeBinary, nullable=False),
    Column("language", Text, nullable=False),
    _time("created"),
    Column("seen", Double, nullable=False, index=True),
)

# Without its tenant in the key: who fetches mail says an address and nothing else.
mailbox = Table(
    "mailbox",
    metadata,
    Column("id", String(32), primary_key=True),
    _tenant(),
    Column("key", Text, nullable=False, unique=True),
    Column("address", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("active", Boolean, nullable=False),
    Column("unpack", Boolean, nullable=False),
    Column("public", LargeBinary, nullable=False),
    Column("wrapped", LargeBinary, nullable=False),
    _time("created"),
)

# The number is the order of arrival; AUTOINCREMENT, so that no number comes back.
kept = Table(
    "kept",
    metadata,
    Column("number", Serial, primary_key=True),
    Column("id", String(32), nullable=False, unique=True),
    Column("mailbox", String(32), ForeignKey("mailbox.id", ondelete="CASCADE"), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("parts", Integer, nullable=False),
    Column("key", LargeBinary, nullable=False),
    _time("received"),
    Index(None, "mailbox", "number"),
    sqlite_autoincrement=True,
)

kept_part = Table(
    "kept_part",
    metadata,
    Column("mail", String(32), ForeignKey("kept.id", ondelete="CASCADE"), primary_key=True),
    Column("part", Integer, primary_key=True, autoincrement=False),
    Column("bytes", LargeBinary, nullable=False),
)

# Who has a mailbox open: one session of POP3 (token) of one node's session, and only as long as that is alive.
lease = Table(
    "lease",
    metadata,
    Column("mailbox", String(32), ForeignKey("mailbox.id", ondelete="CASCADE"), primary_key=True),
    Column("session", BigInteger, nullable=False),
    Column("token", String(32), nullable=False),
    _time("taken"),
)

held = Table(
    "held",
    metadata,
    Column("id", Integer, primary_key=True),
    _tenant(),
    Column("address", Text, nullable=False),
    Column("fingerprint", Text, nullable=False),
    Column("der", LargeBinary, nullable=False),
    Column("private", LargeBinary),
    Column("source", Text, nullable=False),
    Column("trust", Text, nullable=False),
    Column("announced", Text, nullable=False),
    _time("announced_at"),
    _time("not_before"),
    _time("not_after"),
    _time("created"),
    Column("names", Text, nullable=False, server_default=""),
    UniqueConstraint("tenant", "address", "fingerprint"),
    Index(None, "tenant", "fingerprint"),
    Index("held_names_index", "tenant", "address", "names"),  # so that a search for a name reads no certificates
)

# Without a text: only that a mail of this Message-ID came sealed and was opened here.
opened = Table(
    "opened",
    metadata,
    _tenant(primary_key=True),
    Column("key", String(32), primary_key=True),
    Column("time", Double, nullable=False, index=True),
)

revocation = Table(
    "revocation",
    metadata,
    _tenant(primary_key=True),
    Column("authority", Text, primary_key=True),
    Column("serial", Text, primary_key=True),
    Column("reason", Text, nullable=False),
    _time("not_after"),
    _time("time"),
)

revocation_list = Table(
    "revocation_list",
    metadata,
    _tenant(primary_key=True),
    Column("authority", Text, primary_key=True),
    Column("number", Integer, nullable=False),
    Column("der", LargeBinary, nullable=False),
    _time("made"),
    _time("next_update"),
)

# Of which address a certificate or key was added, removed or judged anew: who keeps prepared answers reads it.
# AUTOINCREMENT: a number that was read must never come back.
keychange = Table(
    "keychange",
    metadata,
    Column("id", Serial, primary_key=True),
    _tenant(),
    Column("address", Text, nullable=False),
    sqlite_autoincrement=True,
)

pgpkey = Table(
    "pgpkey",
    metadata,
    _tenant(primary_key=True),
    Column("fingerprint", Text, primary_key=True),
    Column("key", LargeBinary, nullable=False),
    Column("subkeys", JSON, nullable=False),
    Column("user_ids", JSON, nullable=False),
    Column("addresses", JSON, nullable=False),
    Column("kind", Text, nullable=False),
    Column("bits", Integer, nullable=False),
    _time("created"),
    _time("expires", nullable=True),
    _time("added"),
)

pgpname = Table(
    "pgpname",
    metadata,
    _tenant(primary_key=True),
    Column("name", Text, primary_key=True),
    Column("fingerprint", Text, primary_key=True),
)

rulebook = Table(
    "rulebook",
    metadata,
    _tenant(primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("text", Text, nullable=False),
    Column("author", Text, nullable=False),
    Column("note", Text, nullable=False),
    _time("saved"),
)

event = Table(
    "event",
    metadata,
    Column("id", Serial, primary_key=True),
    Column("tenant", Integer, nullable=False),
    Column("time", Double, nullable=False, index=True),
    Column("kind", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("trace", Text, nullable=False),
    Column("item", Text, nullable=False),
    Column("message_id", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("detail", JSON, nullable=False),
    Index(None, "tenant", "trace"),
    Index(None, "tenant", "message_id"),
    Index(None, "tenant", "address"),
)

tries = Table(
    "tries",
    metadata,
    Column("key", Text, primary_key=True),
    Column("count", SmallInteger, nullable=False),
    Column("last", Double, nullable=False, index=True),
)

setting = Table(
    "setting",
    metadata,
    _tenant(primary_key=True),
    Column("key", Text, primary_key=True),
    Column("value", JSON, nullable=False),
)
