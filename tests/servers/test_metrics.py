"""The monitoring door: its two pages, who is answered, and what is cut off."""

from __future__ import annotations

import json
from ipaddress import ip_network

import pytest
from twisted.internet.address import IPv4Address
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransportWithDisconnection

from securegw.health import Check, Levels, State, Table
from securegw.servers.metrics import MOST, MonitoringSettings, MonitoringSite

QUEUE = Check("queue", State.OK, "3 mails in the queue", 3, "", Levels(10, 20))
SPACE = Check("space", State.CRITICAL, "5 MB free", 5e6, "B", Levels(2e9, 1e9))
GOOD, BAD = Table(7.0, (QUEUE,)), Table(7.0, (QUEUE, SPACE))


class Door:
    """A site on a pretended wire."""

    def __init__(self, table: Table = GOOD) -> None:
        self.clock = Clock()
        settings = MonitoringSettings(networks=(ip_network("192.0.2.0/24"),))
        self.site = MonitoringSite(settings, lambda: table, self.clock)

    def connect(self, address: str = "192.0.2.1") -> StringTransportWithDisconnection:
        channel = self.site.buildProtocol(None)
        transport = StringTransportWithDisconnection(peerAddress=IPv4Address("TCP", address, 40000))
        transport.protocol = channel
        channel.makeConnection(transport)
        return transport

    def get(self, path: str, method: str = "GET", more: str = "") -> tuple[int, dict[str, str], str]:
        transport = self.connect()
        transport.protocol.dataReceived(
            f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{more}\r\n".encode()
        )
        head, _, body = transport.value().decode().partition("\r\n\r\n")
        first, *fields = head.split("\r\n")
        return int(first.split()[1]), dict(field.lower().split(": ", 1) for field in fields), body


def test_metrics_are_those_of_the_house() -> None:
    code, fields, body = Door().get("/metrics")
    assert code == 200
    assert fields["content-type"].startswith("text/plain; version=0.0.4")
    assert "securegw_smtp_connections_total" in body
    assert "\n# TYPE securegw_check_state gauge\n" in body
    assert "_created" not in body


def test_the_page_of_a_well_gateway() -> None:
    code, _, body = Door().get("/health")
    assert (code, body.splitlines()[0]) == (200, "OK: all 1 checks are well")


def test_a_critical_gateway_is_no_place_for_a_balancer_to_send_to() -> None:
    code, fields, body = Door(BAD).get("/health")
    assert (code, body.splitlines()[0]) == (503, "CRITICAL: space: 5 MB free")
    assert fields["cache-control"] == "no-store"


def test_a_warning_is_served() -> None:
    assert Door(Table(0.0, (Check("queue", State.WARNING, "many"),))).get("/health")[0] == 200


def test_json() -> None:
    code, fields, body = Door(BAD).get("/health?format=json")
    told = json.loads(body)
    assert (code, fields["content-type"], told["state"]) == (503, "application/json", "CRITICAL")
    assert [check["name"] for check in told["checks"]] == ["queue", "space"]


@pytest.mark.parametrize("path", ["/", "/other", "/health/x", "/metrics/..", "/%2e%2e/health"])
def test_nothing_else_is_there(path: str) -> None:
    assert Door().get(path)[0] == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_only_reading(method: str) -> None:
    assert Door().get("/health", method)[0] == 405


def test_head_has_no_body() -> None:
    code, _, body = Door().get("/health", "HEAD")
    assert (code, body) == (200, "")


@pytest.mark.parametrize("field", ["Content-Length: 10\r\n", "Transfer-Encoding: chunked\r\n"])
def test_a_body_is_cut_off(field: str) -> None:
    transport = Door().connect()
    transport.protocol.dataReceived(f"GET /health HTTP/1.1\r\nHost: x\r\n{field}\r\n".encode())
    assert not transport.connected
    assert transport.value() == b""


def test_strangers_are_cut_off_before_a_word() -> None:
    transport = Door().connect("198.51.100.1")
    assert not transport.connected


def test_a_slow_request_is_cut_off() -> None:
    door = Door()
    transport = door.connect()
    for _ in range(29):
        transport.protocol.dataReceived(b"G")
        door.clock.advance(1)
    assert transport.connected
    door.clock.advance(2)
    assert not transport.connected


def test_a_kept_connection_may_ask_again() -> None:
    door = Door()
    transport = door.connect()
    for _ in range(5):
        transport.protocol.dataReceived(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        door.clock.advance(15)
        assert transport.value().startswith(b"HTTP/1.1 200")
        transport.clear()
    assert transport.connected
    door.clock.advance(31)
    assert not transport.connected


def test_there_are_not_too_many_at_once() -> None:
    door = Door()
    several = [door.connect() for _ in range(MOST + 1)]
    assert [one.connected for one in several] == [True] * MOST + [False]
    several[0].loseConnection()
    assert door.connect().connected
