"""What an SMTP dialogue may ask of the connection around it, and the bounds it keeps.

Values only. Nothing here does anything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import attrs

from securegw.mail.address import Address
from securegw.mail.envelope import Wishes
from securegw.servers.smtp_parameters import Terms
from securegw.servers.smtp_room import TextRoom
from securegw.servers.smtp_sign_in import Credentials
from securegw.servers.smtp_spool import Spool


def _calm() -> bool:
    return False


@attrs.frozen
class Bounds:
    """What this server allows: names, sizes, and how much nonsense it listens to - next to none under stress.

    ``spool`` gives a spool for a large text to these recipients; without it all texts are kept in memory.
    """

    host: str
    size: int
    tls: bool = False
    recipients: int = 1000
    errors: int = 10
    junk: int = 50
    sign_in: bool = False
    stressed: Callable[[], bool] = _calm
    room: TextRoom = attrs.field(factory=lambda: TextRoom(1 << 62))
    spool: Callable[[Sequence[Address]], Spool] | None = None


@attrs.frozen
class Send:
    data: bytes


@attrs.frozen
class AskSignIn:
    """Is this who they say they are?"""

    credentials: Credentials


@attrs.frozen
class AskSender:
    """May this sender begin a transaction? ``size`` is what the client announced."""

    sender: Address | None
    terms: Terms


@attrs.frozen
class AskRecipient:
    sender: Address | None
    recipient: Address


@attrs.frozen
class AskMessage:
    """Will you take the responsibility for this message?"""

    sender: Address | None
    recipients: tuple[Address, ...]
    terms: Terms
    raw: bytes | Spool
    wishes: Mapping[Address, Wishes] = attrs.field(factory=dict)


@attrs.frozen
class StartTLS:
    """Begin the handshake now, then call ``secured``."""


@attrs.frozen
class Close:
    """End the connection once everything is sent; ``reason`` is for the log."""

    reason: str


Question: TypeAlias = AskSignIn | AskSender | AskRecipient | AskMessage
Event: TypeAlias = Send | Question | StartTLS | Close
