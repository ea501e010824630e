"""Four gateways on one PostgreSQL, killed again and again while they work: each step of each mail is completed once.

The gateways are the real ones under twistd, killed with SIGKILL by their ids while they hold claims. Every step
writes its event in its own transaction, so the events count the steps that were completed.
"""

from __future__ import annotations

import itertools
import os
import random
import re
import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
import pytest
from sqlalchemy import Connection, func, select

from securegw.store import schema
from securegw.store.database import Database
from tests.support.filling import fill
from tests.support.load import Drill, write_drill
from tests.support.ports import free_port
from tests.support.postgres import Postgres, postgres
from tests.support.running import TWISTD, Gateway, prepare
from tests.support.sink import Sink, sink
from tests.support.starting import start_by

__all__ = ["postgres"]

FULL = "SECUREGW_FULL" in os.environ
PROCESSES = 4
ITEMS, KILLS = (10_000, 30) if FULL else (400, 4)
# Long: as it is. Short: a killed process's claims are free after so many seconds, not fifteen.
WORDS = TWISTD if FULL else (sys.executable, "-m", "tests.support.hasty", "lease=2")
PATIENCE = 600.0 if FULL else 60.0

_item, _session, _event = schema.item, schema.session, schema.event


@attrs.frozen
class Herd:
    """The gateways, their database, and their next hop."""

    gateways: list[Gateway]
    database: Database
    outside: Sink

    def start(self) -> None:
        for gateway in self.gateways:
            start_by(gateway, *WORDS)

    def completed(self) -> Counter[tuple[str, str]]:
        """How often each step of each item was completed."""

        def count(connection: Connection) -> Counter[tuple[str, str]]:
            query = select(_event.c.kind, _event.c.item, func.count()).group_by(_event.c.kind, _event.c.item)
            return Counter({(kind, item): number for kind, item, number in connection.execute(query)})

        return self.database.read(count).result(30)

    def ended(self) -> int:
        query = select(func.count()).select_from(_event).where(_event.c.kind == "delivered")
        return self.database.read(lambda connection: connection.scalar(query) or 0).result(30)

    def holders(self) -> list[Gateway]:
        """Those that hold items at this moment."""
        query = select(_session.c.node).where(_session.c.id.in_(select(_item.c.session).distinct()))
        nodes = self.database.read(lambda connection: connection.scalars(query).all()).result(30)
        pids = {int(node.rpartition("/")[2]) for node in nodes}
        return [gateway for gateway in self.gateways if gateway.process is not None and gateway.pid in pids]


@pytest.fixture
def herd(postgres: Postgres, tmp_path: Path) -> Iterator[Herd]:
    with sink() as outside:
        first = prepare(
            tmp_path, inside=1, outside=outside.port, database=postgres.url(postgres.database()), settings=QUICK
        )
        gateways = [first, *(like(first, tmp_path / f"node{number}") for number in range(2, PROCESSES + 1))]
        database = Database(first.settings().database.url)
        try:
            yield Herd(gateways, database, outside)
        finally:
            for gateway in gateways:
                gateway.kill()
            database.close()


QUICK: dict[str, dict[str, object]] = {"delivery": {"first_retry": "1s"}}


def like(first: Gateway, folder: Path) -> Gateway:
    """Another node with the same master key and the same database, on ports of its own."""
    shutil.copytree(first.folder, folder)
    gateway = Gateway(folder, free_port(), free_port())
    ports = {first.smtp_port: gateway.smtp_port, first.portal_port: gateway.portal_port}
    text = re.sub(r"\d+", lambda found: str(ports.get(int(found[0]), found[0])), first.config.read_text())
    gateway.config.write_text(text)
    return gateway


def mails() -> Iterator[Drill]:
    for number in range(ITEMS):
        yield write_drill(number, "plain", "otto@inside.test", [f"p{number}@outside.test"], run="herd", subject="news")


def wait_for(what: Callable[[], object], words: str) -> None:
    end = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < end, words
        time.sleep(0.02)


def test_each_step_is_completed_once_whoever_is_killed(
    herd: Herd, record_property: Callable[[str, object], None]
) -> None:
    chance, written, share = random.Random(3), mails(), ITEMS // (KILLS + 1)
    herd.start()
    began = time.monotonic()
    for _ in range(KILLS):
        fill(herd.gateways[0], itertools.islice(written, share))
        wait_for(herd.holders, "nobody works")
        struck = chance.choice(herd.holders() or herd.gateways)
        struck.kill()
        start_by(struck, *WORDS)
    fill(herd.gateways[0], written)
    wait_for(lambda: herd.ended() >= ITEMS and not herd.gateways[0].queue(), f"{herd.ended()} of {ITEMS} have ended")
    took = time.monotonic() - began

    steps = herd.completed()
    by_step = Counter(kind for kind, _ in steps.elements())
    copies = Counter(to for arrived in herd.outside.arrived for to in arrived.recipients)
    line = (
        f"{PROCESSES} processes: items={ITEMS} kills={KILLS} treated={by_step['accepted']} "
        f"delivered={by_step['delivered']} twice={sum(n > 1 for n in steps.values())} "
        f"arrived={len(copies)} copies-too-many={copies.total() - len(copies)} seconds={took:.0f}"
    )
    print(line)
    record_property("drill", line)
    assert by_step["accepted"] == by_step["delivered"] == ITEMS
    assert set(steps.values()) == {1}, [step for step, number in steps.items() if number > 1][:5]
    assert len(copies) == ITEMS
