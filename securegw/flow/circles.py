"""Circles: whether a mail comes by again and again, told by trace fields that only we can have written.

Any mail may claim to have been here; a mark by the master key cannot be claimed, so a forged field stops nobody's
mail (threats 5.1.14). A mail may pass a few times for good reasons - a colleague outside who forwards to one inside -
so only the limit ends it. RFC 5321 6.3.
"""

from __future__ import annotations

import hmac
import re
from typing import TYPE_CHECKING

from securegw.mail.trace import received_line

if TYPE_CHECKING:
    from securegw.crypto.seal import MasterKey
    from securegw.mail.envelope import Envelope
    from securegw.mail.message import Message

PURPOSE = "received"
MARK = 16  # hexadecimal digits

_ID = re.compile(r"\bid ([0-9A-Za-z._-]{1,64})\.([0-9a-f]{16})(?![0-9A-Za-z.])")


class Circles:
    """Marks the trace fields of one gateway, and knows them again."""

    def __init__(self, host: str, master: MasterKey, limit: int) -> None:
        self.host = host
        self.limit = limit
        self._key = master.derive(PURPOSE)

    def received_line(self, envelope: Envelope) -> bytes:
        """Our Received field; its id is the trace id and our mark."""
        return received_line(envelope, self.host, id=f"{envelope.trace}.{self._mark(envelope.trace)}")

    def is_in_one(self, message: Message) -> bool:
        """Whether it has been here as often as a mail may. The same field twice counts once: it may be copied."""
        passed = {trace for field in message.all("Received") for trace in self._own(field)}
        return len(passed) >= self.limit

    def _own(self, field: str) -> list[str]:
        if self.host not in field:
            return []
        found = _ID.findall(field)
        return [trace for trace, mark in found if hmac.compare_digest(mark, self._mark(trace))]

    def _mark(self, trace: str) -> str:
        return hmac.digest(self._key, trace.encode(), "sha256").hex()[:MARK]
