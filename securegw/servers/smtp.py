"""SMTP for other mail servers and for inside mail programs: the factories of its listeners.

Not a connection (smtp_connection), not the dialogue (smtp_dialogue) and not a judge: who may send what is decided
behind ``Intake``. Obeys RFC 5321 7.8 (limits) and RFC 8314 3.3 (TLS from the first byte).
"""

from __future__ import annotations

import ipaddress

from twisted.internet import protocol
from twisted.internet.interfaces import IAddress, IOpenSSLServerConnectionCreator, IReactorTime

from securegw.servers.client_certificates import AskingTLS, ClientAuthorities
from securegw.servers.connections import Doorkeeper
from securegw.servers.rounds import Rounds
from securegw.servers.smtp_connection import SmtpConnection
from securegw.servers.smtp_counters import CONNECTIONS
from securegw.servers.smtp_dialogue import SmtpDialogue
from securegw.servers.smtp_events import Bounds
from securegw.servers.smtp_peer import Intake
from securegw.servers.smtp_room import TextRoom
from securegw.servers.smtp_settings import SmtpSettings

__all__ = ["Intake", "SmtpConnection", "SmtpFactory", "SmtpSettings", "smtp_factory"]


class SmtpFactory(protocol.ServerFactory):
    """Makes the connections of a listener; ``clock`` is the reactor or a ``task.Clock``.

    ``implicit_tls``: TLS from the first byte, or after the PROXY header; the connection begins it by itself.
    """

    def __init__(
        self,
        intake: Intake,
        settings: SmtpSettings,
        tls: IOpenSSLServerConnectionCreator | None,
        host: str,
        clock: IReactorTime,
        *,
        implicit_tls: bool = False,
        doorkeeper: Doorkeeper | None = None,
        room: TextRoom | None = None,
    ) -> None:
        file = settings.client_authorities
        self.intake = intake
        self.settings = settings
        self.authorities = ClientAuthorities(file) if file and tls else None
        self.tls: IOpenSSLServerConnectionCreator | None = AskingTLS(tls) if self.authorities and tls else tls
        self.clock = clock
        self.implicit_tls = implicit_tls
        self.doorkeeper = doorkeeper or Doorkeeper(settings.room(), clock.seconds)
        self.rounds = Rounds(clock)
        self._open: set[SmtpConnection] = set()
        self._connections = CONNECTIONS.labels("smtps" if implicit_tls else "smtp")
        self._bounds = Bounds(
            host=host,
            size=intake.size_limit,
            tls=tls is not None,
            recipients=intake.recipients_limit,
            errors=settings.errors,
            junk=settings.junk,
            sign_in=settings.sign_in,
            stressed=lambda: self.doorkeeper.stressed,
            room=room or TextRoom(settings.memory),
            spool=intake.spool,
        )

    def is_proxy(self, address: str) -> bool:
        """Whether a peer is a named balancer, whose connections begin with a PROXY header."""
        if not self.settings.proxies:
            return False
        try:
            peer = ipaddress.ip_address(address)
        except ValueError:
            return False
        peer = getattr(peer, "ipv4_mapped", None) or peer
        return any(peer in network for network in self.settings.proxies)

    def count(self) -> None:
        self._connections.inc()

    def buildProtocol(self, addr: IAddress | None) -> SmtpConnection:
        made = SmtpConnection(self, SmtpDialogue(self._bounds), addr)
        self._open.add(made)
        return made

    def left(self, connection: SmtpConnection) -> None:
        self._open.discard(connection)

    def dismiss(self) -> None:
        """Send everybody away who is between two commands: the gateway goes down."""
        for connection in tuple(self._open):
            connection.dismiss()


def smtp_factory(
    intake: Intake,
    settings: SmtpSettings,
    tls: IOpenSSLServerConnectionCreator | None,
    host: str,
    clock: IReactorTime,
    *,
    implicit_tls: bool = False,
    doorkeeper: Doorkeeper | None = None,
    room: TextRoom | None = None,
) -> SmtpFactory:
    """One row of the gateway's table of doors; several share a ``doorkeeper``, and a ``room`` for large texts."""
    return SmtpFactory(
        intake, settings, tls, host, clock, implicit_tls=implicit_tls, doorkeeper=doorkeeper, room=room
    )
