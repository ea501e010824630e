"""The settings of the SMTP door."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

import attrs

from securegw.config import boolean, duration, endpoint, list_of, network, number, path, setting, size
from securegw.servers.connections import Room


@attrs.frozen
class SmtpSettings:
    """The SMTP door: where mail servers and mail programs hand over their mail."""

    listen: tuple[str, ...] = setting(
        list_of(endpoint), ("tcp:25",), help="Where to listen, as Twisted endpoints: tcp:25:interface=127.0.0.1"
    )
    listen_tls: tuple[str, ...] = setting(
        list_of(endpoint),
        (),
        help="Where to listen with TLS from the first byte, usually tcp:465; needs a certificate.",
    )
    certificate: Path | None = setting(
        path, None, help="PEM file with the certificate for TLS and its chain; without it, no TLS."
    )
    key: Path | None = setting(path, None, help="PEM file with the private key of it, without a password.")
    client_authorities: Path | None = setting(
        path,
        None,
        help="PEM file with the authorities whose certificates clients may show; without it, none is asked for.",
    )
    sign_in: bool = setting(
        boolean, True, help="Whether people and servers may sign in with a name and a password, under TLS only."
    )
    proxies: tuple[IPv4Network | IPv6Network, ...] = setting(
        list_of(network), (), help="Load balancers: they begin every connection with a PROXY header (version 1 or 2)."
    )
    connections: int = setting(number(1, 100_000), 500, help="Connections open at the same time at all SMTP doors.")
    connections_per_address: int = setting(
        number(1, 100_000), 30, help="Connections open at the same time from one address (IPv6: one /64)."
    )
    connections_per_minute: int = setting(
        number(1, 1_000_000), 300, help="New connections a minute from one address (IPv6: one /64)."
    )
    errors: int = setting(number(1, 1000), 10, help="Wrong commands until the connection is closed.")
    junk: int = setting(
        number(1, 100_000), 50, help="Commands that lead nowhere (NOOP, unknown recipients) until it is closed."
    )
    memory: int = setting(
        size, "128 MB", help="Memory for texts that come in, all together; when it is full, more come later (452)."
    )
    command_time: float = setting(duration, "60s", help="Time to wait for the next complete command.")
    data_time: float = setting(duration, "120s", help="Time to wait for the next piece of a message.")
    session_time: float = setting(duration, "30m", help="Time after which a session ends between messages.")
    greeting_delay: float = setting(
        duration, "0s", help="Time before the greeting; who talks earlier is turned away, as some robots do."
    )

    def room(self) -> Room:
        return Room(self.connections, self.connections_per_address, self.connections_per_minute)
