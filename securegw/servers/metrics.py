"""The monitoring door: counters for Prometheus at /metrics, and how the gateway stands at /health.

Not the portal's site: no pages for people outside, no sessions, and only named networks are answered. HTTP/1.1 by
Twisted (RFC 9110, RFC 9112). GET and HEAD only; a request with a body is cut off.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import attrs
import txaio
from twisted.web import http, resource, server

from securegw import config, counters
from securegw.config import Network, setting
from securegw.health import State, Table
from securegw.health.words import as_json, page
from securegw.servers.networks import LOOPBACK, is_named

log = txaio.make_logger()

MOST = 50
SECONDS = 30.0
TEXT = "text/plain; charset=utf-8"
CODES = {State.OK: 200, State.WARNING: 200, State.CRITICAL: 503, State.UNKNOWN: 503}

Writer = Callable[[Any], tuple[int, str, bytes]]

_Channel: Any = http.HTTPChannel  # their methods have no types
_Site: Any = server.Site
_Resource: Any = resource.Resource


@attrs.frozen
class MonitoringSettings:
    """The door for Prometheus, load balancers and the health command. Nothing listens unless it is set."""

    listen: tuple[str, ...] = setting(
        config.list_of(config.endpoint), default=[], help='Where /metrics and /health are, usually "tcp:9464".'
    )
    networks: tuple[Network, ...] = setting(
        config.list_of(config.network), default=list(LOOPBACK), help="Who may ask; others are cut off."
    )
    proxies: tuple[Network, ...] = setting(
        config.list_of(config.network),
        default=[],
        help="Load balancers: they begin every connection with a PROXY header (version 1 or 2).",
    )
    certificate: Path | None = setting(
        config.path, default=None, help="Certificate with its chain, in PEM; without it the pages go in clear."
    )
    key: Path | None = setting(config.path, default=None, help="Private key of the certificate, in PEM.")


class Pages(_Resource):  # type: ignore[misc]
    """All there is: by its path a function that writes the page anew for every request."""

    isLeaf = True

    def __init__(self, pages: Mapping[bytes, Writer]) -> None:
        super().__init__()
        self._pages = pages

    def render(self, request: Any) -> bytes:
        write = self._pages.get(request.path)
        code, kind, body = 404, TEXT, b""
        if request.method not in (b"GET", b"HEAD"):
            code = 405
            request.setHeader("Allow", "GET, HEAD")
        elif write is not None:
            code, kind, body = write(request)
        request.setResponseCode(code)
        request.setHeader("Content-Type", kind)
        request.setHeader("Cache-Control", "no-store")
        request.setHeader("X-Content-Type-Options", "nosniff")
        return body


class MonitoringChannel(_Channel):  # type: ignore[misc]
    """A connection: its request must be there in time and has no body."""

    maxHeaders = 50
    totalHeadersSize = 8192
    counted = False
    late: Any = None

    def connectionMade(self) -> None:
        super().connectionMade()
        self.counted = self.site.admit(str(getattr(self.transport.getPeer(), "host", "")))
        if not self.counted:
            self.transport.abortConnection()

    def dataReceived(self, data: bytes) -> None:
        if self.late is None:
            self.late = self.callLater(SECONDS, self._give_up)
        super().dataReceived(data)

    def allHeadersReceived(self) -> None:
        self._on_time()
        headers = self.requests[-1].requestHeaders
        if headers.hasHeader("transfer-encoding") or headers.getRawHeaders("content-length", ["0"]) != ["0"]:
            self._give_up()
            return
        super().allHeadersReceived()

    def connectionLost(self, reason: Any) -> None:
        self._on_time()
        if self.counted:
            self.site.open -= 1
        super().connectionLost(reason)

    def _on_time(self) -> None:
        if self.late is not None and self.late.active():
            self.late.cancel()
        self.late = None

    def _give_up(self) -> None:
        self.transport.abortConnection()


class MonitoringSite(_Site):  # type: ignore[misc]
    """The two pages."""

    protocol = MonitoringChannel

    def __init__(self, settings: MonitoringSettings, table: Callable[[], Table], reactor: Any) -> None:
        pages = {b"/metrics": _metrics, b"/health": lambda request: _health(table(), request)}
        super().__init__(Pages(pages), timeout=SECONDS, reactor=reactor)
        self.settings = settings
        self.open = 0

    def admit(self, address: str) -> bool:
        """Count a new connection; False for strangers and where there are too many."""
        if not is_named(address, self.settings.networks):
            log.info("monitoring {peer} is cut off: not in the named networks", peer=address)
            return False
        if self.open >= MOST:
            return False
        self.open += 1
        return True

    def startFactory(self) -> None:
        """No log file of its own."""

    def stopFactory(self) -> None: ...

    def log(self, request: Any) -> None:
        """A probe every few seconds is no event."""


def _metrics(request: Any) -> tuple[int, str, bytes]:
    return 200, "text/plain; version=0.0.4; charset=utf-8", counters.exposition()


def _health(table: Table, request: Any) -> tuple[int, str, bytes]:
    """A load balancer reads the code, a person the first line, a program the JSON."""
    if request.args.get(b"format") == [b"json"]:
        return CODES[table.state], "application/json", as_json(table).encode()
    return CODES[table.state], TEXT, page(table).encode()
