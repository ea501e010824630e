"""A next hop: which hosts take the mail, how they must prove themselves, and how we sign in there.

Not a route: whose mail goes where is decided above. The TLS levels have Postfix's names and meaning.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Hashable
from functools import cached_property
from typing import Literal, TypeAlias

import attrs

from securegw.tls import Wanted

Tls: TypeAlias = Literal["none", "may", "encrypt", "verify", "secure", "fingerprint"]
Place: TypeAlias = tuple[str, int]  # a host, by name or address, and a port

_NAME = re.compile(r"\[?([^\]\s]*?)\]?(?::\d{1,5})?")


@attrs.frozen
class Hop:
    """Where a mail goes next: ``hosts`` are tried in order until one takes it.

    ``tls``: "none"; "may" (if it can, with anybody); "encrypt" (always, with anybody); "verify" (the certificate is
    under our roots and for the host, as the MX record names it); "secure" (for the hop as it is configured, or for
    a host within that domain); "fingerprint" (the SHA-256 of certificate or public key is one of ``fingerprints``,
    whoever signed it). Only "may" ever goes on in clear text.

    ``stranger``: the hosts are those that a recipient's domain names, so one on this machine is ourselves.
    """

    hosts: tuple[Place, ...]
    tls: Tls = "may"
    name: str = ""
    login: str = ""
    password: str = attrs.field(default="", repr=False)
    fingerprints: tuple[str, ...] = ()
    stranger: bool = False

    @property
    def domain(self) -> str:
        """The name without brackets and port."""
        found = _NAME.fullmatch(self.name) if not is_address(self.name) else None
        return (found[1] if found else self.name).lower()

    @cached_property
    def lane(self) -> Hashable:
        """What mails must share to go over the same connections: hosts of equal preference change places."""
        hosts = frozenset(self.hosts)
        return hosts, self.tls, self.name, self.login, self.password, self.fingerprints, self.stranger

    def wanted(self, host: str) -> Wanted:
        """Who must answer when we call this host."""
        if self.tls == "verify":
            return Wanted(names=(host,))
        if self.tls == "secure":
            inside = host.lower().endswith(f".{self.domain}")
            return Wanted(names=(self.domain, host.lower()) if inside else (self.domain,))
        return Wanted(fingerprints=self.fingerprints) if self.tls == "fingerprint" else Wanted()


def is_address(host: str) -> bool:
    """An IP address, not a name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
