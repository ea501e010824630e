"""The settings of the LDAP doors."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

import attrs

from securegw.config import boolean, duration, endpoint, list_of, network, number, path, setting, text
from securegw.servers.connections import Room


@attrs.frozen
class LdapSettings:
    """The LDAP doors: where mail programs ask for certificates and keys."""

    inside: tuple[str, ...] = setting(
        list_of(endpoint),
        (),
        help="Where our own people ask for those of partners, usually tcp:389; StartTLS if there is a certificate.",
    )
    inside_tls: tuple[str, ...] = setting(
        list_of(endpoint), (), help="The same with TLS from the first byte, usually tcp:636 or tcp:635."
    )
    outside: tuple[str, ...] = setting(
        list_of(endpoint), (), help="Where the world asks for those of our own people, usually tcp:1389."
    )
    outside_tls: tuple[str, ...] = setting(
        list_of(endpoint), (), help="The same with TLS from the first byte, usually tcp:1636."
    )
    certificate: Path | None = setting(
        path, None, help="PEM file with the certificate for TLS and its chain; without it, no TLS."
    )
    key: Path | None = setting(path, None, help="PEM file with the private key of it, without a password.")
    base: str = setting(text, "o=securegw", help="The name that a search begins at; any other one is answered too.")
    networks: tuple[IPv4Network | IPv6Network, ...] = setting(
        list_of(network),
        (),
        help="Who may search for parts of names and addresses, as often as he likes; strangers need an exact address.",
    )
    proxies: tuple[IPv4Network | IPv6Network, ...] = setting(
        list_of(network), (), help="Load balancers: they begin every connection with a PROXY header (version 1 or 2)."
    )
    tls_only: bool = setting(boolean, False, help="Whether questions are answered under TLS only.")
    sign_in: bool = setting(
        boolean, True, help="Whether a login may be used, under TLS only; who signs in counts as one of the networks."
    )
    expired: bool = setting(boolean, False, help="Whether certificates are still told after they have ended.")
    entries: int = setting(number(1, 1000), 10, help="Most entries of an answer to strangers.")
    entries_known: int = setting(number(1, 10_000), 100, help="Most entries of an answer to who is no stranger.")
    searches_per_minute: int = setting(
        number(1, 1_000_000), 60, help="Searches a minute of a stranger's address (IPv6: one /64)."
    )
    connections: int = setting(number(1, 100_000), 1000, help="Connections open at the same time.")
    connections_per_address: int = setting(
        number(1, 100_000), 50, help="Connections open at the same time from one stranger's address (IPv6: one /64)."
    )
    connections_per_minute: int = setting(
        number(1, 1_000_000), 120, help="New connections a minute from one stranger's address (IPv6: one /64)."
    )
    command_time: float = setting(duration, "30s", help="Time for a request to arrive whole, and for the handshake.")
    idle_time: float = setting(duration, "5m", help="Time after which a connection without requests is closed.")
    search_time: float = setting(duration, "10s", help="Longest time for an answer.")

    def room(self) -> Room:
        return Room(self.connections, self.connections_per_address, self.connections_per_minute)

    @property
    def any_listener(self) -> bool:
        return bool(self.inside or self.inside_tls or self.outside or self.outside_tls)
