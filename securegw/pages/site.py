"""The site: its channels with deadlines and a bounded number of them, and one log line a request.

Not TLS: the house wraps it around. HTTP/1.1 only (RFC 9112): under HTTP/2 lengths are told before all headers are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from typing import Any

import txaio
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure
from twisted.web import http, server
from twisted.web.resource import IResource

from securegw.pages.bodies import BodyRules
from securegw.pages.rates import network_of
from securegw.pages.request import PageRequest

log = txaio.make_logger()

HEAD_SECONDS = 30.0
BODY_SECONDS = 120.0
SLOWEST = 10_000  # bytes a second that an honest line carries
MOST_CONNECTIONS = 1_000
MOST_OF_ONE = 60

_HTTPChannel: Any = http.HTTPChannel  # their methods have no types
_Site: Any = server.Site


class PageChannel(_HTTPChannel):  # type: ignore[misc]
    """A connection: a request must be there in time, however slowly its bytes drip."""

    maxHeaders = 100
    site: PageSite
    late: IDelayedCall | None = None
    network: str = ""

    def connectionMade(self) -> None:
        super().connectionMade()
        self.network = network_of(str(getattr(self.transport.getPeer(), "host", "")))
        if not self.site.admit(self.network):
            self.abort()

    def dataReceived(self, data: bytes) -> None:
        if self.late is None and not self._handlingRequest:
            self._deadline(HEAD_SECONDS)
        super().dataReceived(data)

    def allHeadersReceived(self) -> None:
        request = self.requests[-1]
        request.expect(self._command, self._path)
        self._deadline(BODY_SECONDS + request.body.rules.limit / SLOWEST)
        super().allHeadersReceived()

    def allContentReceived(self) -> None:
        self._on_time()
        super().allContentReceived()

    def connectionLost(self, reason: Failure) -> None:
        self._on_time()
        self.site.dismiss(self.network)
        super().connectionLost(reason)

    def abort(self) -> None:
        self.transport.abortConnection()

    def _deadline(self, seconds: float) -> None:
        self._on_time()
        self.late = self.callLater(seconds, self.abort)

    def _on_time(self) -> None:
        if self.late is not None and self.late.active():
            self.late.cancel()
        self.late = None


class PageSite(_Site):  # type: ignore[misc]
    """Serves one tree of pages under the given host names; ``rules`` says what bodies a path takes."""

    protocol = PageChannel
    requestFactory = PageRequest

    def __init__(
        self,
        resource: IResource,
        reactor: Any,
        *,
        hosts: Collection[str],
        rules: Callable[[str], BodyRules],
        stranger: Callable[[PageRequest], bytes],
    ) -> None:
        super().__init__(resource, timeout=60, reactor=reactor)
        self.hosts = frozenset(hosts)
        self.rules = rules
        self.stranger = stranger
        self.connections: Counter[str] = Counter()

    def admit(self, network: str) -> bool:
        """Count a new connection; False if there are too many."""
        self.connections[network] += 1
        return self.connections[network] <= MOST_OF_ONE and self.connections.total() <= MOST_CONNECTIONS

    def dismiss(self, network: str) -> None:
        self.connections[network] -= 1
        if self.connections[network] <= 0:
            del self.connections[network]

    def acceptableProtocols(self) -> list[bytes]:
        return [b"http/1.1"]

    def startFactory(self) -> None:
        """No log file of its own."""

    def stopFactory(self) -> None: ...

    def log(self, request: PageRequest) -> None:
        """One line; of the path only the first word, because the rest names letters."""
        page = (request.path or b"").decode("ascii", "replace").split("/")[1:2]
        log.info(
            "{peer} {method} /{page} {code}, {size} bytes",
            peer=request.peer, method=request.method.decode("ascii", "replace")[:10], page="".join(page)[:20],
            code=request.code, size=request.sentLength,
        )
