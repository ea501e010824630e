"""How the gateway stands: asks the running one by its monitoring door, or looks at its database and files.

It ends like a monitoring plugin: 0 well, 1 warning, 2 critical, 3 unknown. Looked at from outside there are fewer
checks, and one more: whether a node of the gateway is alive.
"""

from __future__ import annotations

import json
import re
import ssl
import time
import urllib.request
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError

from securegw.commands.opening import add_config, check_schema, open_database, read_settings
from securegw.commands.sentences import sentences
from securegw.commands.tables import printable
from securegw.mail.errors import MailError

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from sqlalchemy import Connection

    from securegw.gateway import Settings
    from securegw.health import Check, Table
    from securegw.health.checks import Answer
    from securegw.servers.metrics import MonitoringSettings
    from securegw.store.database import Database

SECONDS = 10.0
UNKNOWN = 3
FROM_OUTSIDE = (
    "queue", "oldest", "untreated", "parked", "deferred", "space", "database", "tls", "keys", "revocation", "logins",
    "delivery",
)  # fmt: skip
EVERYWHERE = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - where it listens, not we


def add_arguments(parser: ArgumentParser) -> None:
    """Name the words after ``securegw health``."""
    add_config(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: Namespace) -> int:
    """Print the table and end with its state."""
    from securegw.health.words import as_json, page

    try:
        settings = read_settings(arguments.config)
        table = ask_gateway(settings.monitoring) or look(settings)
    except Exception as error:
        lines = sentences(error)
        if not lines:
            raise
        print(f"UNKNOWN: {printable('; '.join(lines))}")
        return UNKNOWN
    print(as_json(table) if arguments.json else page(table).rstrip("\n"))
    return int(table.state)


def ask_gateway(settings: MonitoringSettings) -> Table | None:
    """The table of the running gateway; None if it does not answer or has no door for this."""
    for listen in settings.listen:
        place = place_of(listen)
        if place is None:
            continue
        scheme = "https" if settings.certificate else "http"
        try:
            return read_table(fetch(f"{scheme}://{place}/health?format=json", settings))
        except (OSError, ValueError):
            continue
    return None


def place_of(listen: str) -> str | None:
    """``host:port`` of an endpoint as seen from this machine, None if it is no TCP port."""
    found = re.match(r"(?:tcp6?|ssl):(?:port=)?(\d+)(?::.*?interface=((?:[^:\\]|\\.)*))?", listen)
    if found is None:
        return None
    host = re.sub(r"\\(.)", r"\1", found[2] or "")
    host = EVERYWHERE.get(host, host)
    return f"[{host}]:{found[1]}" if ":" in host else f"{host}:{found[1]}"


def fetch(address: str, settings: MonitoringSettings) -> bytes:
    """The page; with 503 it is as good an answer. Over TLS exactly our own certificate is believed."""
    context = None
    if settings.certificate:
        context = ssl.create_default_context(cafile=str(settings.certificate))
        context.check_hostname = False
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    handlers = [urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)]
    opener = urllib.request.build_opener(*handlers)
    try:
        with opener.open(address, timeout=SECONDS) as answer:
            return bytes(answer.read(1 << 20))
    except HTTPError as error:
        with error:
            return error.read(1 << 20)


def read_table(raw: bytes) -> Table:
    """The table out of its JSON; raises ValueError."""
    from securegw.health import Table

    told = json.loads(raw)
    try:
        return Table(float(told["time"]), tuple(_check(row) for row in told["checks"]))
    except (KeyError, TypeError) as error:
        raise ValueError("not the table of a gateway") from error


def _check(row: dict[str, Any]) -> Check:
    from securegw.health import Check, Levels, State

    levels = None if row["warning"] is None else Levels(row["warning"], row["critical"])
    return Check(row["name"], State[row["state"]], row["words"], row["value"], row["unit"], levels)


def look(settings: Settings) -> Table:
    """What can be seen without the running gateway."""
    from securegw.gateway import folders_of
    from securegw.health import Table
    from securegw.health.checks import Findings, judge
    from securegw.health.ground import look_at_ground

    now = time.time()
    with open_database(settings) as database:
        answer, node = ask_database(database, now)
        found = Findings(
            now=now,
            answer=answer,
            ground=look_at_ground(folders_of(settings, database), settings.certificates),
            queue_limit=settings.intake.queue_limit,
            delivered=answer.census.delivered if answer.census else None,
        )
    rows = [check for check in judge(found, settings.health) if check.name in FROM_OUTSIDE]
    return Table(now, (node, *rows))


def ask_database(database: Database, now: float) -> tuple[Answer, Check]:
    """The census with how long it took, and who is alive; both say so where the database does not answer."""
    from securegw.health import Check, State
    from securegw.health.checks import Answer
    from securegw.store import census

    began = time.monotonic()
    try:
        database.read(check_schema).result()
        found = database.read(census.take, now).result()
        return Answer(census=found, seconds=time.monotonic() - began), database.read(alive).result()
    except MailError as error:
        problem = f"it does not answer: {error.detail or error}"
    answer = Answer(seconds=time.monotonic() - began, problem=problem)
    return answer, Check("gateway", State.UNKNOWN, "the database cannot say which nodes are alive")


def alive(connection: Connection) -> Check:
    """Whether any node has a session that lives."""
    from securegw.health import Check, State
    from securegw.store import sessions

    nodes = [session.node for session in sessions.list_sessions(connection)]
    if not nodes:
        return Check("gateway", State.CRITICAL, "no node is alive")
    return Check("gateway", State.OK, f"alive: {', '.join(nodes)}", len(nodes))
