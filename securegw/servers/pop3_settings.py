"""The settings of the POP3 door."""

from __future__ import annotations

from pathlib import Path

import attrs

from securegw.config import Network, duration, endpoint, list_of, network, number, path, setting
from securegw.servers.connections import Room


@attrs.frozen
class Pop3Settings:
    """The POP3 door: where archives fetch the mail of their mailboxes. No password is taken without TLS."""

    listen_tls: tuple[str, ...] = setting(
        list_of(endpoint), (), help="Where to listen with TLS from the first byte, usually tcp:995."
    )
    listen: tuple[str, ...] = setting(
        list_of(endpoint), (), help="Where to listen for those who begin TLS by STLS, usually tcp:110."
    )
    certificate: Path | None = setting(path, None, help="PEM file with the certificate for TLS and its chain.")
    key: Path | None = setting(path, None, help="PEM file with the private key of it, without a password.")
    proxies: tuple[Network, ...] = setting(
        list_of(network), (), help="Load balancers: they begin every connection with a PROXY header (version 1 or 2)."
    )
    connections: int = setting(number(1, 100_000), 200, help="Connections open at the same time.")
    connections_per_address: int = setting(
        number(1, 100_000), 10, help="Connections open at the same time from one address (IPv6: one /64)."
    )
    connections_per_minute: int = setting(
        number(1, 1_000_000), 300, help="New connections a minute from one address (IPv6: one /64)."
    )
    errors: int = setting(number(1, 1000), 10, help="Wrong commands until the connection is closed.")
    sign_in_time: float = setting(duration, "60s", help="Time to wait for a name and a password.")
    idle_time: float = setting(
        duration, "10m", help="Time to wait for the next command, or for a mail to be taken (RFC 1939 3: 10 minutes)."
    )

    def room(self) -> Room:
        return Room(self.connections, self.connections_per_address, self.connections_per_minute)
