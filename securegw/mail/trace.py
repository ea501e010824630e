"""The trace field that we put on every mail (RFC 5321 4.4). Not a reader of other people's trace fields."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from securegw.mail.message import field_line, wire_date

if TYPE_CHECKING:
    from securegw.mail.envelope import Envelope, Source

_NOT_HOST = re.compile(r"[^A-Za-z0-9.:_\[\]-]+")


def received_line(envelope: Envelope, host: str, *, id: str = "") -> bytes:
    """Our Received field (RFC 5321 4.4); ``id`` in place of the trace id, which begins it. What the peer said is cut
    down to what a host name may hold.

    A recipient is named only where there is one: the others could be blind copies.
    """
    source = envelope.source
    parts = [*_from_clause(source), f"by {_host(host)}", *_with_clause(envelope)]
    parts.append(f"id {_host(id or envelope.trace)}")
    if len(envelope.recipients) == 1 and str(envelope.recipients[0]).isascii():
        parts.append(f"for <{envelope.recipients[0]}>")
    return field_line("Received", "\r\n\t".join(parts) + f";\r\n\t{wire_date(envelope.received)}")


def _from_clause(source: Source) -> list[str]:
    """Only a mail server is named; where a person reads and writes is nobody's business."""
    if source.door != "smtp":
        return []
    return [f"from {_host(source.helo) or 'unknown'} ({_literal(source.address)})"]


def _with_clause(envelope: Envelope) -> list[str]:
    """The protocol by its registered name (RFC 3848, RFC 6531 4.3)."""
    source = envelope.source
    if source.door != "smtp":
        return ["with HTTPS"] if source.door == "portal" else []
    name = "UTF8SMTP" if envelope.utf8 else "ESMTP"
    return [f"with {name}{'S' if source.tls else ''}{'A' if source.person else ''}"]


def _literal(address: str) -> str:
    kept = _host(address)
    return f"[IPv6:{kept}]" if ":" in kept else f"[{kept}]"


def _host(text: str) -> str:
    return _NOT_HOST.sub("?", text[:255])
