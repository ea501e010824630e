"""The settings of the portal: where it listens, under which names, for which organisation.

Not the organisation's texts and rules: those stand in the database later.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import attrs

from securegw import config
from securegw.config import Network, setting


@attrs.frozen
class PortalSettings:
    """The web site where outside people read and answer their letters."""

    certificate: Path = setting(config.path, help="Certificate of the site with its chain, PEM.")
    key: Path = setting(config.path, help="Private key of the certificate, PEM.")
    url: str = setting(
        config.url,
        help="The address of the site as the world sees it, https://HOST or https://HOST:PORT. It stands in every "
        "letter for ever: choose a name below your own domain and keep it.",
    )
    organisation: str = setting(config.text, help="The name of your organisation as readers of letters know it.")
    listen: tuple[str, ...] = setting(
        config.list_of(config.endpoint), default=("tcp:443",),
        help="Where the site listens (Twisted endpoints, TLS is added).",
    )
    proxies: tuple[Network, ...] = setting(
        config.list_of(config.network),
        default=(),
        help="Load balancers: they begin every connection with a PROXY header (version 1 or 2).",
    )
    extra_urls: tuple[str, ...] = setting(
        config.list_of(config.url), default=(), help="Former addresses of the site: letters that name them still open."
    )
    language: str = setting(
        config.choice("en", "de"), default="en", help="Language for readers whose browser asks for none of ours."
    )
    open_limit: int = setting(
        config.size, default="75 MB", help="The largest sealed letter that a browser may send back."
    )
    reply_limit: int = setting(config.size, default="25 MB", help="The largest answer with its files.")

    @property
    def host(self) -> str:
        """The host name that is baked into letters, with its port if it has one."""
        return host_of(self.url)

    @property
    def hosts(self) -> frozenset[str]:
        """All names under which the site answers."""
        return frozenset(map(host_of, (self.url, *self.extra_urls)))


def host_of(url: str) -> str:
    """The authority of an address, lower-case, without the port that https implies (RFC 3986 3.2)."""
    return urlsplit(url).netloc.lower().removesuffix(":443")
