"""The connector of a cloud: its servers are everybody's, so mail of our own people is known by a secret field.

Not for networks and certificates that are ours alone: those vouch by themselves (``intake``). A cloud's rule writes the
field into what our people send; it is taken out here, whoever shows it, so that nobody ever learns it from a mail.
"""

from __future__ import annotations

import hmac
import os
import re
import stat
from ipaddress import ip_address
from typing import TYPE_CHECKING

import attrs

from securegw.mail.message import without

if TYPE_CHECKING:
    from collections.abc import Iterable
    from ipaddress import IPv4Network, IPv6Network
    from pathlib import Path

    from securegw.mail.envelope import Source
    from securegw.mail.message import Message

SHORTEST = 16  # letters of the secret: nobody shall guess it
_FIELD = re.compile(rf"([A-Za-z0-9-]{{1,76}}):[ \t]*([!-~]{{{SHORTEST},400}})\s*")


class BadConnector(Exception):
    """The connector cannot be used; the sentence says why, and no secret."""


@attrs.frozen
class Connector:
    """From where such mail comes, and what it shows."""

    networks: tuple[IPv4Network | IPv6Network, ...]
    field: str
    secret: bytes = attrs.field(repr=False)

    def may_vouch(self, source: Source) -> bool:
        """Whether mail from there may show the field; until its text has come, it is let in."""
        try:
            peer = ip_address(source.address)
        except ValueError:
            return False
        peer = getattr(peer, "ipv4_mapped", None) or peer
        return any(peer in network for network in self.networks)

    def vouches(self, source: Source, message: Message) -> bool:
        """Whether this mail is of our own people: the field stands there once, and it is the right one."""
        shown = message.all(self.field)
        good = [hmac.compare_digest(value.strip().encode(), self.secret) for value in shown]
        return self.may_vouch(source) and good == [True]

    def without_field(self, message: Message) -> bytes:
        return without(message, [self.field])


def read_connector(networks: Iterable[IPv4Network | IPv6Network], file: Path | None) -> Connector | None:
    """The connector by the settings, None if there is none; raises BadConnector."""
    named = tuple(networks)
    if not named and file is None:
        return None
    if not named or file is None:
        raise BadConnector("connector_networks and connector_field need each other")
    try:
        with file.open("rb") as opened:
            mode = os.fstat(opened.fileno()).st_mode
            text = opened.read(4096).decode("ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise BadConnector(f"{file}: cannot be read") from error
    if stat.S_IMODE(mode) & 0o077:
        raise BadConnector(f"{file}: others may read it; its mode must be 0600")
    found = _FIELD.fullmatch(text)
    if found is None:
        raise BadConnector(f"{file}: wanted: one line, X-NAME: SECRET, the secret of {SHORTEST} or more letters")
    return Connector(named, found[1], found[2].encode())
