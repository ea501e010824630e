"""How we talk to SQLite and PostgreSQL: connections that are durable, and a commit that can be believed.

Not the transactions: the writer and the readers open and close those.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.pool import StaticPool

from securegw.mail.errors import StoreBusy
from securegw.store.fence import Fence, Server, ask, who

CONNECT_SECONDS = 3
BUSY_SECONDS = 5.0
_PRAGMAS = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",  # a commit is an fsync: 250 means durable
    "PRAGMA foreign_keys=ON",
    "PRAGMA wal_autocheckpoint=4000",
    "PRAGMA journal_size_limit=67108864",
    "PRAGMA cache_size=-16384",
    "PRAGMA temp_store=MEMORY",
    "PRAGMA secure_delete=FAST",  # Debian writes zeros over all that is freed: as much again as each mail is long
)
_NOTICES = "securegw notices"
_SERVER = "securegw server"

_to_json = functools.partial(json.dumps, ensure_ascii=False, separators=(",", ":"))


def database_url(url: str) -> URL:
    """The parsed address; PostgreSQL always by psycopg 3, whichever way it was written."""
    parsed = make_url(url)
    if parsed.drivername in {"postgres", "postgresql"}:
        parsed = parsed.set(drivername="postgresql+psycopg")
    if parsed.get_backend_name() not in {"sqlite", "postgresql"}:
        raise ValueError(f"the database is sqlite or postgresql, not {parsed.get_backend_name()}")
    return parsed


def in_memory(url: URL) -> bool:
    """True for an SQLite database without a file."""
    return url.get_backend_name() == "sqlite" and url.database in {None, "", ":memory:"}


def writing_engine(url: URL, fence: Fence, *, checkpoints: bool = True) -> Engine:
    """One connection, used by the writer alone; without ``checkpoints`` somebody else looks after SQLite's log."""
    if url.get_backend_name() == "sqlite":
        pragmas = () if checkpoints else ("PRAGMA wal_autocheckpoint=0",)
        return _sqlite(url, connections=1, begin="BEGIN IMMEDIATE", pragmas=pragmas)
    return _postgresql(url, fence, connections=1, reading=False)


def reading_engine(url: URL, readers: int, fence: Fence) -> Engine:
    """A connection for each reading thread; a question sees one moment and can change nothing."""
    if url.get_backend_name() == "sqlite":
        return _sqlite(url, connections=readers, begin="BEGIN", pragmas=("PRAGMA query_only=ON",))
    return _postgresql(url, fence, connections=readers, reading=True)


def commit(connection: Connection) -> None:
    """COMMIT, or raise: two cases that look like success are none."""
    driver: Any = connection.connection.dbapi_connection
    if connection.dialect.name == "sqlite":
        # A full disk makes SQLite roll back by itself; the driver's commit() would then do nothing, in silence.
        if not driver.in_transaction:
            raise StoreBusy(detail="the transaction was rolled back by SQLite")
        connection.commit()
        return
    notices = connection.info[_NOTICES]
    notices.clear()
    connection.commit()
    # A cancelled wait for the synchronous standby ends in a warning only, and the row may be lost with this server.
    if any(severity == "WARNING" for severity in notices):
        raise StoreBusy(detail="committed here, but perhaps not on the standby")


def _sqlite(url: URL, *, connections: int, begin: str, pragmas: tuple[str, ...]) -> Engine:
    arguments: dict[str, Any] = {"check_same_thread": False, "timeout": BUSY_SECONDS}
    pool: dict[str, Any] = {"pool_size": connections, "max_overflow": 0, "pool_timeout": BUSY_SECONDS}
    if in_memory(url):
        pool = {"poolclass": StaticPool}
    engine = create_engine(url, connect_args=arguments, json_serializer=_to_json, **pool)

    @event.listens_for(engine, "connect")
    def prepare(driver: Any, _record: object) -> None:
        driver.isolation_level = None  # we say BEGIN ourselves
        for pragma in (*_PRAGMAS, *pragmas):
            driver.execute(pragma)

    @event.listens_for(engine, "begin")
    def start(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


def connect_to_newest(connect: Callable[..., Any], named: dict[str, Any], fence: Fence) -> Any:
    """A connection to the newest of the servers that an address with several hosts names; None where it names one.

    All are asked at once, so that one that has frozen costs its time-out and not more.
    """
    hosts = str(named.get("host", "")).split(",")
    if len(hosts) < 2:
        return None
    ports = str(named.get("port", "")).split(",")
    ports = ports if len(ports) == len(hosts) else ports[:1] * len(hosts)
    places = [{**named, "host": host, "port": port} for host, port in zip(hosts, ports, strict=True)]
    with ThreadPoolExecutor(len(hosts), thread_name_prefix="securegw-servers") as asking:
        met = list(asking.map(functools.partial(_meet, connect), places))
    good = [each for each in met if not isinstance(each, Exception)]
    if not good:
        raise next(each for each in met if isinstance(each, Exception))
    chosen = fence.choose([server for _, server in good])
    for number, (driver, _) in enumerate(good):
        if number != chosen:
            driver.close()
    return good[chosen][0]


def _meet(connect: Callable[..., Any], named: dict[str, Any]) -> tuple[Any, Server | None] | Exception:
    try:
        driver = connect(**{name: value for name, value in named.items() if value != ""})
    except Exception as error:
        return error
    try:
        driver.autocommit = True
        return driver, ask(driver)
    except Exception as error:
        driver.close()
        return error


def _postgresql(url: URL, fence: Fence, *, connections: int, reading: bool) -> Engine:
    engine = create_engine(
        url,
        connect_args={"connect_timeout": CONNECT_SECONDS, "application_name": "securegw"},
        isolation_level="REPEATABLE READ" if reading else "READ COMMITTED",
        json_serializer=_to_json,
        pool_size=connections,
        max_overflow=0,
        pool_timeout=CONNECT_SECONDS,
    )

    @event.listens_for(engine, "do_connect")
    def meet_all(dialect: Any, _record: object, _words: object, named: dict[str, Any]) -> Any:
        return connect_to_newest(dialect.connect, named, fence)

    @event.listens_for(engine, "connect")
    def prepare(driver: Any, record: Any) -> None:
        notices: list[str] = []
        record.info[_NOTICES] = notices
        driver.add_notice_handler(lambda diagnostic: notices.append(diagnostic.severity_nonlocalized))
        driver.autocommit = True
        try:
            driver.execute("SET synchronous_commit TO on")
            record.info[_SERVER] = server = who(driver, reading=reading)
            fence.admit(server)
        except BaseException:
            driver.close()
            raise
        driver.autocommit = False
        driver.read_only = reading

    @event.listens_for(engine, "checkout")
    def look_over_the_fence(_driver: object, record: Any, _proxy: object) -> None:
        if not fence.is_newest(record.info[_SERVER]):
            raise DisconnectionError("there is a newer database server")

    return engine
