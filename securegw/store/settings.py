"""What the organisation has decided, by name, shared by all nodes: values that JSON can hold.

Not what a machine needs: that stands in its TOML file.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, bindparam, delete, select

from securegw.store import schema
from securegw.store.rows import insert_into
from securegw.store.schema import TENANT

_setting = schema.setting
_GET = select(_setting.c.value).where(_setting.c.tenant == bindparam("whose"), _setting.c.key == bindparam("of"))


def get(conn: Connection, key: str, default: Any = None, tenant: int = TENANT) -> Any:
    """The value, or the default if none was put."""
    row = conn.execute(_GET, {"whose": tenant, "of": key}).one_or_none()
    return default if row is None else row.value


def put(conn: Connection, key: str, value: Any, tenant: int = TENANT) -> None:
    """Set the value."""
    statement = insert_into(conn, _setting).values(tenant=tenant, key=key, value=value)
    conn.execute(
        statement.on_conflict_do_update(
            index_elements=[_setting.c.tenant, _setting.c.key], set_={"value": statement.excluded.value}
        )
    )


def remove(conn: Connection, key: str, tenant: int = TENANT) -> bool:
    """Back to the default; False if it was."""
    mine = (_setting.c.tenant == tenant) & (_setting.c.key == key)
    return conn.execute(delete(_setting).where(mine)).rowcount == 1


def everything(conn: Connection, tenant: int = TENANT) -> dict[str, Any]:
    """All that was put."""
    query = select(_setting.c.key, _setting.c.value).where(_setting.c.tenant == tenant).order_by(_setting.c.key)
    return {row.key: row.value for row in conn.execute(query)}
