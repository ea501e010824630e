"""What the LDAP dialogue wants done by who carries it."""

from __future__ import annotations

from typing import TypeAlias

import attrs

from securegw.servers.ldap_requests import Bind, Compare, Search


@attrs.frozen
class Send:
    data: bytes = attrs.field(repr=False)


@attrs.frozen
class Ask:
    """A question whose answer takes time; it is given back to ``answer`` with it."""

    number: int
    request: Search | Bind | Compare


@attrs.frozen
class StartTLS:
    pass


@attrs.frozen
class Close:
    reason: str


Event: TypeAlias = Send | Ask | StartTLS | Close
