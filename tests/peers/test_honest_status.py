"""REL10: what check_nrpe says of a running gateway turns red within a minute of a fault, and green after it."""

from __future__ import annotations

import smtplib
import time
from collections.abc import Iterator
from typing import Any

import attrs
import psycopg
import pytest

from tests.peers.test_monitoring import Watched
from tests.support.ports import free_port
from tests.support.postgres import Postgres, postgres
from tests.support.running import prepare
from tests.support.sink import Sink, sink

__all__ = ["postgres"]

MINUTE = 60.0


@attrs.frozen
class Patient:
    """A watched gateway on PostgreSQL, and the server inside."""

    watched: Watched
    server: Postgres
    database: str
    inside: Sink

    def state(self, check: str) -> tuple[int, str]:
        ran = self.watched.check_nrpe("-c", f"check_securegw_{check}")
        return ran.returncode, ran.stdout

    def wait_for(self, check: str, state: int) -> tuple[float, str]:
        """Seconds until the check is so, which must not be more than a minute, and its words."""
        began = time.monotonic()
        while (found := self.state(check))[0] != state:
            assert time.monotonic() - began < MINUTE, (found, self.watched.gateway.log[-3000:])
        return time.monotonic() - began, found[1]


@pytest.fixture(scope="module")
def patient(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Patient]:
    nrpe, database = free_port(), postgres.database()
    settings = {
        "nrpe": {"listen": [f"tcp:{nrpe}:interface=127.0.0.1"], "protection": "none"},
        "health": {"every": "1s", "space": ["20 MB", "10 MB"], "queue": [3, 6], "deferred": [2, 100]},
    }
    folder = tmp_path_factory.mktemp("patient")
    with sink() as inside:
        gateway = prepare(
            folder, inside=inside.port, outside=inside.port, settings=settings, database=postgres.url(database)
        )
        try:
            gateway.start()
            yield Patient(_Clear(gateway, nrpe, 0), postgres, database, inside)
        finally:
            gateway.stop()


class _Clear(Watched):
    """Asked without TLS."""

    def check_nrpe(self, *words: str, port: int = 0) -> Any:
        return super().check_nrpe("-n", *words, port=port)


def test_a_database_that_hangs(patient: Patient) -> None:
    assert patient.wait_for("database", 0)
    with psycopg.connect(f"host={patient.server.folder} user=postgres dbname={patient.database}") as holding:
        holding.execute("LOCK TABLE item IN ACCESS EXCLUSIVE MODE")
        seconds, words = patient.wait_for("database", 2)
        assert "has not answered for" in words
        assert patient.state("queue")[0] == 3  # unknown, and says why
        assert patient.state("tls")[0] == 0  # what has nothing to do with it
        holding.rollback()
    patient.wait_for("database", 0)
    assert patient.state("queue")[0] == 0
    assert seconds < MINUTE


def test_a_database_that_is_gone(patient: Patient) -> None:
    others = f"pid <> pg_backend_pid() AND datname = '{patient.database}'"
    patient.server.psql(f"ALTER DATABASE {patient.database} ALLOW_CONNECTIONS false")
    try:
        patient.server.psql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}")
        _, words = patient.wait_for("database", 2)
        assert "does not answer" in words or "nothing could be written" in words
    finally:
        patient.server.psql(f"ALTER DATABASE {patient.database} ALLOW_CONNECTIONS true")
    patient.wait_for("database", 0)


def test_a_queue_that_fills(patient: Patient) -> None:
    patient.inside.answers = lambda verb, argument: b"451 4.3.0 later\r\n" if verb == "RCPT" else None
    try:
        with smtplib.SMTP("127.0.0.1", patient.watched.gateway.smtp_port, timeout=30) as client:
            for number in range(7):
                client.sendmail("ann@inside.test", ["bob@outside.test"], f"Subject: {number}\r\n\r\nhello\r\n")
        patient.wait_for("queue", 2)
        patient.wait_for("deferred", 1)
        assert "wait for outside.test" in patient.state("deferred")[1]
    finally:
        patient.inside.answers = lambda verb, argument: None
    patient.watched.gateway.retry_all()
    patient.wait_for("queue", 0)
    patient.wait_for("deferred", 0)
