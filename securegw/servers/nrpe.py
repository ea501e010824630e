"""NRPE for Nagios and its kin: answers ``check_securegw`` and ``check_securegw_NAME`` from the table of checks.

Not the dialogue, see ``nrpe_dialogue``, and nothing is executed. One query a connection, from named networks only, over
TLS unless it is set otherwise (``nrpe_anonymous`` is the mode for old ones).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import txaio
from twisted.internet import protocol
from twisted.internet.interfaces import (
    IAddress,
    IDelayedCall,
    IOpenSSLServerConnectionCreator,
    IReactorTime,
    ITCPTransport,
)
from twisted.python.failure import Failure

from securegw import config, counters
from securegw.config import Network, setting
from securegw.health import Table
from securegw.health.words import line, summary
from securegw.servers.networks import LOOPBACK, is_named
from securegw.servers.nrpe_dialogue import Answer, NotNrpe, NrpeDialogue
from securegw.tls_session import start_tls
from securegw.wire import read_now, send

log = txaio.make_logger()

SECONDS = 10.0  # for the handshake and the query together
MOST = 50
PREFIX = "check_securegw"
QUERIES = counters.declare("securegw_nrpe_queries", "Queries of NRPE, by what became of them.", ["outcome"])


@attrs.frozen
class NrpeSettings:
    """The door for check_nrpe. Nothing listens unless it is set."""

    listen: tuple[str, ...] = setting(
        config.list_of(config.endpoint), default=[], help='Where check_nrpe is answered, usually "tcp:5666".'
    )
    networks: tuple[Network, ...] = setting(
        config.list_of(config.network), default=list(LOOPBACK), help="Who may ask; others are cut off."
    )
    proxies: tuple[Network, ...] = setting(
        config.list_of(config.network),
        default=[],
        help="Load balancers: they begin every connection with a PROXY header (version 1 or 2).",
    )
    protection: str = setting(
        config.choice("certificate", "anonymous", "none"),
        default="certificate",
        help="TLS with a certificate; without one, as check_nrpe before version 3 needs it (no secrecy against who "
        "sits in between); or none at all (check_nrpe -n).",
    )
    certificate: Path | None = setting(config.path, default=None, help="Certificate with its chain, in PEM.")
    key: Path | None = setting(config.path, default=None, help="Private key of the certificate, in PEM.")


class NrpeConnection(protocol.Protocol):
    """One query and its answer."""

    transport: Any

    def __init__(self, door: NrpeFactory, peer: str) -> None:
        self._door = door
        self._peer = peer
        self._timer: IDelayedCall | None = None
        self._dialogue: NrpeDialogue | None = None

    def connectionMade(self) -> None:
        if not self._door.admit(self, self._peer):
            self.transport.abortConnection()
            return
        self._dialogue = NrpeDialogue(self._door.answer)
        self._timer = self._door.clock.callLater(SECONDS, self._give_up, "slow")
        transport = self.transport
        if ITCPTransport.providedBy(transport):
            transport.setTcpNoDelay(True)
        if self._door.tls is not None:
            start_tls(self, self._door.tls)
        read_now(transport)  # while we were busy, the peer has had time to say something

    def dataReceived(self, data: bytes) -> None:
        if self._dialogue is None:
            return
        try:
            response = self._dialogue.receive(data)
        except NotNrpe as problem:
            log.info("nrpe {peer} is cut off: {problem}", peer=self._peer, problem=str(problem))
            self._give_up("no query")
            return
        if response is not None:
            QUERIES.labels("answered").inc()
            self._dialogue = None  # whatever comes behind the query is nobody's
            send(self.transport, response)
            self.transport.loseConnection()

    def connectionLost(self, reason: Failure = protocol.connectionDone) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._door.left(self)

    def _give_up(self, why: str) -> None:
        QUERIES.labels(why).inc()
        self._dialogue = None
        self.transport.abortConnection()


class NrpeFactory(protocol.ServerFactory):
    """Makes the connections of the door; ``table`` is asked anew for every query."""

    def __init__(
        self,
        settings: NrpeSettings,
        table: Callable[[], Table],
        clock: IReactorTime,
        tls: IOpenSSLServerConnectionCreator | None = None,
    ) -> None:
        self.clock = clock
        self.tls = tls
        self._settings = settings
        self._table = table
        self._open: set[NrpeConnection] = set()

    def buildProtocol(self, addr: IAddress | None) -> NrpeConnection:
        return NrpeConnection(self, str(getattr(addr, "host", "") or ""))

    def admit(self, connection: NrpeConnection, address: str) -> bool:
        """Whether this peer is answered at all."""
        if not is_named(address, self._settings.networks):
            log.info("nrpe {peer} is cut off: not in the named networks", peer=address)
            QUERIES.labels("stranger").inc()
            return False
        if len(self._open) >= MOST:
            QUERIES.labels("too many").inc()
            return False
        self._open.add(connection)
        return True

    def left(self, connection: NrpeConnection) -> None:
        self._open.discard(connection)

    def answer(self, name: str) -> Answer | None:
        """The state and the line of a check by its command's name, None if there is none."""
        table = self._table()
        if name == PREFIX:
            return int(table.state), summary(table)
        if name == "_NRPE_CHECK":  # what check_nrpe asks when it is given no command
            return 0, "securegw"
        found = next((check for check in table if name == f"{PREFIX}_{check.name}"), None)
        return None if found is None else (int(found.state), line(found))
