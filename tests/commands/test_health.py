"""``securegw health``: a plugin's exit code, whether the gateway runs or not."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from securegw.commands.health import place_of
from securegw.health import Check, Levels, State, Table
from securegw.health.words import as_json
from securegw.store import sessions
from securegw.store.database import Database
from tests.commands.conftest import Run


def change(config: Path, section: str, rows: str) -> None:
    text = config.read_text()
    assert f"[{section}]\n" in text
    config.write_text(text.replace(f"[{section}]\n", f"[{section}]\n{rows}\n", 1))


@pytest.fixture
def roomy(config: Path) -> Path:
    """The disk of a test machine may be small."""
    change(config, "health", 'space = ["20 MB", "10 MB"]')
    return config


def live(config: Path) -> None:
    """What a running node leaves in the database."""
    database = Database(f"sqlite:///{config.parent}/securegw.db", inline=True)
    database.write(sessions.open_session, "node-1/7", None, 60.0).result()
    database.close()


def test_a_gateway_that_does_not_run_is_critical(run: Run, roomy: Path) -> None:
    ran = run("health", "--config", roomy)
    assert ran.code == 2
    assert ran.out.startswith("CRITICAL: gateway: no node is alive\n\ngateway     CRITICAL")
    assert "queue       OK        0 mails" in ran.out


def test_a_node_that_lives_is_well(run: Run, roomy: Path) -> None:
    live(roomy)
    ran = run("health", "--config", roomy)
    assert (ran.code, ran.out.splitlines()[0]) == (0, "OK: all 13 checks are well")
    assert "alive: node-1/7" in ran.out


def test_json_has_the_same(run: Run, roomy: Path) -> None:
    live(roomy)
    ran = run("health", "--json", "--config", roomy)
    told = json.loads(ran.out)
    assert (ran.code, told["state"]) == (0, "OK")
    assert {check["name"] for check in told["checks"]} >= {"gateway", "queue", "tls", "keys"}


def test_a_certificate_that_is_gone_is_critical(run: Run, roomy: Path) -> None:
    live(roomy)
    (roomy.parent / "tls.pem").unlink()
    ran = run("health", "--config", roomy)
    assert ran.code == 2
    assert "there is no usable certificate in it" in ran.out


def test_a_broken_database_is_critical(run: Run, roomy: Path) -> None:
    file = roomy.parent / "securegw.db"
    file.write_bytes(b"x" * 4096)
    ran = run("health", "--config", roomy)
    assert ran.code in (2, 3)
    assert ran.out.startswith(("CRITICAL", "UNKNOWN"))


def test_a_configuration_with_mistakes_is_unknown(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "bad.toml"
    file.write_text("[gateway]\nhost = 7\n")
    ran = run("health", "--config", file)
    assert (ran.code, ran.out.startswith("UNKNOWN: ")) == (3, True)


@contextmanager
def pretended_gateway(code: int, body: str) -> Iterator[int]:
    class Answering(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            assert self.path == "/health?format=json"
            self.send_response(code)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *args: object) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Answering)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_the_running_gateway_is_asked(run: Run, roomy: Path) -> None:
    queue = Check("queue", State.WARNING, "many mails", 12, "", Levels(10, 20))
    table = Table(5.0, (queue, Check("clock", State.OK, "right")))
    with pretended_gateway(200, as_json(table)) as port:
        change(roomy, "monitoring", f'listen = ["tcp:{port}:interface=127.0.0.1"]')
        ran = run("health", "--config", roomy)
        as_told = run("health", "--json", "--config", roomy)
    assert (ran.code, ran.out.splitlines()[0]) == (1, "WARNING: queue: many mails")
    assert json.loads(as_told.out) == json.loads(as_json(table))


def test_a_critical_answer_is_an_answer(run: Run, roomy: Path) -> None:
    table = Table(5.0, (Check("queue", State.CRITICAL, "full"),))
    with pretended_gateway(503, as_json(table)) as port:
        change(roomy, "monitoring", f'listen = ["tcp:{port}"]')
        assert run("health", "--config", roomy).code == 2


@pytest.mark.parametrize("body", ["", "[]", "{}", '{"time": 1, "checks": [{}]}', "<html>"])
def test_somebody_else_at_the_port_is_not_believed(run: Run, roomy: Path, body: str) -> None:
    with pretended_gateway(200, body) as port:
        change(roomy, "monitoring", f'listen = ["tcp:{port}:interface=127.0.0.1"]')
        ran = run("health", "--config", roomy)
    assert (ran.code, "no node is alive" in ran.out) == (2, True)


@pytest.mark.parametrize(
    ("listen", "place"),
    [
        ("tcp:9464", "127.0.0.1:9464"),
        ("tcp:port=9464:interface=192.0.2.1", "192.0.2.1:9464"),
        ("tcp:9464:backlog=5:interface=192.0.2.1", "192.0.2.1:9464"),
        ("tcp6:9464:interface=2001\\:db8\\:\\:1", "[2001:db8::1]:9464"),
        ("tcp:9464:interface=\\:\\:", "[::1]:9464"),
        ("unix:/run/x", None),
    ],
)
def test_where_an_endpoint_is(listen: str, place: str | None) -> None:
    assert place_of(listen) == place
