"""POP3 for those who fetch the mail of mailboxes: the factories of its listeners.

Not a connection (pop3_connection), not the dialogue (pop3_dialogue) and not a judge: the mailbox is behind ``Pickup``.
Obeys RFC 8314 3.3 (TLS from the first byte).
"""

from __future__ import annotations

from twisted.internet import protocol
from twisted.internet.interfaces import IAddress, IOpenSSLServerConnectionCreator, IReactorTime

from securegw.servers.connections import Doorkeeper
from securegw.servers.pop3_connection import Pickup, Pop3Connection
from securegw.servers.pop3_counters import CONNECTIONS
from securegw.servers.pop3_dialogue import Pop3Dialogue
from securegw.servers.pop3_settings import Pop3Settings

__all__ = ["Pickup", "Pop3Connection", "Pop3Factory", "Pop3Settings"]


class Pop3Factory(protocol.ServerFactory):
    """Makes the connections of a listener; ``clock`` is the reactor or a ``task.Clock``."""

    def __init__(
        self,
        pickup: Pickup,
        settings: Pop3Settings,
        tls: IOpenSSLServerConnectionCreator,
        clock: IReactorTime,
        *,
        implicit_tls: bool = False,
    ) -> None:
        self.pickup = pickup
        self.settings = settings
        self.tls = tls
        self.clock = clock
        self.implicit_tls = implicit_tls
        name = "pop3s" if implicit_tls else "pop3"
        self.doorkeeper = Doorkeeper(settings.room(), clock.seconds, name)
        self._open: set[Pop3Connection] = set()
        self._connections = CONNECTIONS.labels(name)

    def count(self) -> None:
        self._connections.inc()

    def buildProtocol(self, addr: IAddress | None) -> Pop3Connection:
        made = Pop3Connection(self, Pop3Dialogue(errors=self.settings.errors), addr)
        self._open.add(made)
        return made

    def left(self, connection: Pop3Connection) -> None:
        self._open.discard(connection)

    def dismiss(self) -> None:
        """Send everybody away: the gateway goes down."""
        for connection in tuple(self._open):
            connection.dismiss()
