"""What an SMTP dialogue may ask of the connection around it, and the bounds it keeps.

Values only. Nothing here does anything.
"""

from __future__ import annotations

from typing import TypeAlias

import attrs

from securegw.mail.address import Address
from securegw.servers.smtp_commands import Terms


@attrs.frozen
class Bounds:
    """What this server allows: names, sizes, and how much nonsense it listens to."""

    host: str
    size: int
    tls: bool = False
    recipients: int = 1000
    errors: int = 10
    junk: int = 50


@attrs.frozen
class Send:
    data: bytes


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
    raw: bytes


@attrs.frozen
class StartTLS:
    """Begin the handshake now, then call ``secured``."""


@attrs.frozen
class Close:
    """End the connection once everything is sent; ``reason`` is for the log."""

    reason: str


Question: TypeAlias = AskSender | AskRecipient | AskMessage
Event: TypeAlias = Send | Question | StartTLS | Close
