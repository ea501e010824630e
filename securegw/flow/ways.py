"""Ways: where a route leads, as a hop that the relay can take, and never back to ourselves.

Not the try itself, see ``delivery``; that an address is one of our own doors is seen by the relay. RFC 5321 5.1: our
own name among the mail servers of a domain ends their list.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, cast

import attrs

from securegw.clients.relay import Hop
from securegw.mail.errors import Later, MailLoop, NoSuchDomain, SealBroken

if TYPE_CHECKING:
    from securegw.clients.hop import Place, Tls
    from securegw.clients.mx import Resolver
    from securegw.crypto.seal import MasterKey
    from securegw.store.domains import Route

SECRET = "route-secret"  # noqa: S105 - what the master key seals it for
SMTP = 25

HOP = re.compile(r"(?:\[([^\]\s]+)\]|([^\[\]:\s]+))(?::(\d{1,5}))?")


def split_hop(hop: str) -> tuple[str, int, bool]:
    """Host, port, and whether the host is taken as it stands: ``[host]:port`` is, ``host:port`` is asked for its MX."""
    found = HOP.fullmatch(hop)
    if found is None:
        raise NoSuchDomain("The route of this domain is not valid.", detail=hop)
    literal, name, port = found.groups()
    return literal or name, int(port or SMTP), literal is not None


@attrs.define(eq=False)
class Ways:
    """Makes hops of routes; ``host`` is our own name."""

    host: str
    resolver: Resolver
    master: MasterKey

    async def hop(self, route: Route, domain: str) -> Hop:
        """Where a route leads: ``[host]:port`` as it stands, ``host`` and bare domains by MX.

        Raises NoSuchDomain, NameServerTrouble, or MailLoop if it leads nowhere but to ourselves.
        """
        host, port, as_it_stands = split_hop(route.hop) if route.hop else (domain, SMTP, False)
        hosts = (host,) if as_it_stands else self._better_than_us(await self.resolver.mx(host), host)
        places = tuple((each, port) for each in hosts)
        name, fingerprints = route.hop or domain, route.fingerprints
        return _hop(places, route.tls, name, route.login, self._password(route), fingerprints, not route.hop)

    def _better_than_us(self, hosts: tuple[str, ...], domain: str) -> tuple[str, ...]:
        """The hosts before our own name; to hand a mail to one behind it would send it round."""
        own = [place for place, host in enumerate(hosts) if host.rstrip(".").lower() == self.host.lower()]
        if own == [] or own[0] > 0:
            return hosts[: own[0]] if own else hosts
        raise MailLoop("The next mail server is this gateway itself.", detail=f"the best MX of {domain} is {hosts[0]}")

    def _password(self, route: Route) -> str:
        if route.secret is None:
            return ""
        try:
            return self.master.open(SECRET, route.pattern, route.secret).decode()
        except (SealBroken, UnicodeDecodeError):
            raise Later(detail=f"the password of the route {route.pattern} cannot be opened") from None


@lru_cache(maxsize=4096)
def _hop(
    hosts: tuple[Place, ...],
    tls: str,
    name: str,
    login: str,
    password: str,
    fingerprints: tuple[str, ...],
    stranger: bool,
) -> Hop:
    """The same hop for the same way: what is worked out about it stays worked out."""
    return Hop(hosts, cast("Tls", tls), name, login, password, fingerprints, stranger)
