"""Notices to senders as finished mails: null sender, headers only, never to who must not get one (5.1.15, 5.5.32)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from securegw.flow.claims import BODY
from securegw.flow.treatment import Finished
from securegw.mail import message as messages
from securegw.mail import notice
from securegw.store import queue

if TYPE_CHECKING:
    from collections.abc import Sequence

    from securegw.crypto.seal import MasterKey
    from securegw.flow.claims import Claims
    from securegw.mail.message import Message
    from securegw.mail.texts import Texts
    from securegw.store.queue import Item


@attrs.frozen
class Notices:
    """Writes notices in the gateway's name."""

    host: str
    language: str
    texts: Texts
    master: MasterKey
    claims: Claims

    def about(
        self, item: Item, message: Message, failures: Sequence[notice.Failure], now: float, kind: str = "failed"
    ) -> tuple[Finished, ...]:
        """The notice about recipients who do not get a mail; nothing where none may be sent."""
        if not failures or not notice.may_be_notified(item.sender, message):
            return ()
        header = message.raw[: message.body_at]
        raw = notice.write_notice(
            self.texts,
            host=self.host,
            sender=item.sender,
            original_header=header,
            failures=failures,
            kind=kind,
            language=self.language,
            date=now,
        )
        return (self.finished(raw, (item.sender,), now, trace=item.trace),)

    def finished(self, raw: bytes, recipients: Sequence[str], now: float, *, trace: str) -> Finished:
        """A mail of our own, ready for delivery with the null sender."""
        identity = queue.new_id()
        entry = queue.Entry(
            id=identity,
            kind="ready",
            trace=trace,
            sender="",
            recipients=tuple(queue.Recipient(address) for address in recipients),
            source={"door": "gateway"},
            size=len(raw),
            received=now,
            body=tuple(self.master.seal_parts(BODY, identity, raw)),
            direction="notice",
            message_id=messages.read(raw).first("Message-ID") or "",
            session=self.claims.birth(len(raw)),
        )
        return Finished(entry, raw)
