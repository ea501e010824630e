"""What the client's dialogue wants done, and what it has to tell.

Not the dialogue. Nothing that is sent appears in a representation: there may be a password in it, or a mail.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal, TypeAlias

import attrs

from securegw.clients.smtp_replies import Reply
from securegw.clients.smtp_text import Reader

Stage = Literal["greeting", "hello", "handshake", "idle", "envelope", "end", "over"]


@attrs.frozen
class Send:
    data: bytes = attrs.field(repr=lambda data: f"<{len(data)} bytes>")


@attrs.frozen
class SendText:
    """Send these pieces as fast as they are taken, then call ``text_sent``; what a reader gives is not stuffed yet."""

    pieces: Iterable[bytes] | Reader = attrs.field(repr=False)


@attrs.frozen
class StartTLS:
    """Begin the handshake now, then call ``secured`` or ``mistrusted``."""


@attrs.frozen
class Ready:
    """The server takes mail now."""


@attrs.frozen
class Broken:
    """This connection will never take mail; ``handshake`` if TLS could not be agreed on."""

    reply: Reply
    handshake: bool = False


@attrs.frozen
class Done:
    """A reply for each recipient. Close the connection unless it is ``reusable``.

    ``untouched``: the connection ended before the server said a word about this mail; ``silent``: so it did, and yet
    the server had the text. ``dsn``: it looks after the wishes of the sender from here on (RFC 3461 5.2).
    """

    replies: Mapping[str, Reply]
    reusable: bool
    untouched: bool = False
    silent: bool = False
    dsn: bool = False


Event: TypeAlias = Send | SendText | StartTLS | Ready | Broken | Done
