"""The envelope of a mail: who hands it over, from whom, to whom (RFC 5321 2.3.1).

Not the header: what the header says is never taken for the envelope.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import attrs

from securegw.mail.address import Address

Door = Literal["smtp", "portal", "gateway"]


@attrs.frozen
class Source:
    """Where a mail came from: a peer at a door, or ourselves.

    ``address`` and ``port`` are the peer's; ``tls`` is the protocol version or empty; ``person`` is who signed in,
    or empty; ``inside`` is true for a named network or an authenticated user, and only then may it relay.
    """

    door: Door
    address: str = ""
    port: int = 0
    helo: str = ""
    tls: str = ""
    person: str = ""
    inside: bool = False


@attrs.frozen
class Wishes:
    """What the sender wants to be told about one recipient (RFC 3461 4.1, 4.2): NOTIFY and ORCPT, as they stand."""

    notify: str = ""
    original: str = ""


@attrs.frozen
class Envelope:
    """One accepted transaction. ``sender`` None is the null sender ``<>``; ``received`` is Unix time in seconds.

    ``wishes`` has those recipients for whom the sender said something; ``ret`` and ``envid`` are RFC 3461 4.3, 4.4.
    """

    trace: str
    sender: Address | None
    recipients: tuple[Address, ...]
    source: Source
    received: float
    eight_bit: bool = False
    utf8: bool = False
    wishes: Mapping[Address, Wishes] = attrs.field(factory=dict, hash=False)
    ret: str = ""
    envid: str = ""
