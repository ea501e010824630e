"""Dressing: an incoming mail as its reader gets it - a good signature taken off, a banner put in, marks on top.

Not the decision what is written, and not the judging. One function for a worker. HTML that came out of a seal which
anybody could have changed is made harmless first: else it would send its own text to a stranger as soon as it is shown
(EFAIL, threats 5.5.30).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from securegw.crypto.entity import inside_out
from securegw.flow.cleaning import disarm
from securegw.flow.marking import marked
from securegw.mail import message as messages
from securegw.mail import mime
from securegw.mail.errors import MailError
from securegw.mail.insertion import insert, rewrite

if TYPE_CHECKING:
    from securegw.flow.marking import Mark
    from securegw.flow.proofs import Proofs
    from securegw.mail.insertion import Insertion
    from securegw.mail.message import Message
    from securegw.policy.decision import Decision


@attrs.frozen(kw_only=True)
class Dress:
    """What is done to the mail: in the order of the fields from below."""

    mark: Mark | None
    decision: Decision
    host: str
    trace: str
    banner: Insertion | None = None
    strip: bool = False
    disarm: bool = False


def dressed(message: Message, dress: Dress, proofs: Proofs) -> bytes:
    """The mail as it is delivered."""
    raw = message.raw
    if dress.disarm:
        raw = rewrite(raw, "text/html", disarm)
    if dress.strip:
        raw = without_signature(raw)
    if dress.banner is not None:
        raw = insert(raw, dress.banner)
    if dress.mark is None:
        return raw
    if raw is not message.raw:
        message = messages.read(raw)
    return marked(message, dress.mark, dress.decision, dress.host, proofs, dress.trace)


def without_signature(raw: bytes) -> bytes:
    """The content of a signed mail in the place of the whole; the very same bytes if it is not built so (R8)."""
    try:
        top = mime.parse(raw)
    except MailError:
        return raw
    if top.kind != "multipart/signed" or len(top.children) != 2 or top.ambiguous:
        return raw
    return inside_out(messages.read(raw), messages.read(top.children[0].raw))
