"""Notices to senders as finished mails: null sender, headers only, never to who must not get one (5.1.15, 5.5.32).

What a sender asked for is obeyed before anything else (RFC 3461 4.1): NEVER is silence, and news that he did not ask
for is not sent either.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

import attrs

from securegw.flow.claims import BODY
from securegw.flow.treatment import Finished
from securegw.ids import new_id
from securegw.mail import message as messages
from securegw.mail import notice
from securegw.mail.envelope import Wishes
from securegw.policy.keywords import COPIES, Keywords
from securegw.store import queue

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from securegw.crypto.seal import MasterKey
    from securegw.flow.claims import Claims
    from securegw.mail.message import Message
    from securegw.mail.texts import Texts
    from securegw.store.queue import Item, Recipient

Kind = Literal["failed", "delayed", "relayed", "delivered"]

# The word in NOTIFY that asks for each kind, and whether it is sent to who said nothing.
ASKED_BY: dict[Kind, tuple[str, bool]] = {
    "failed": ("FAILURE", True),
    "delayed": ("DELAY", True),
    "relayed": ("SUCCESS", False),
    "delivered": ("SUCCESS", False),
}


def wishes_of(item: Item, recipient: Recipient) -> Wishes:
    """What the sender wants to be told of a recipient; rows that were made on the way may not say it themselves."""
    if recipient.notify or recipient.original:
        return Wishes(recipient.notify, recipient.original)
    return Wishes(*item.source.get("wishes", {}).get(recipient.address, ()))


def is_wanted(wishes: Wishes, kind: Kind) -> bool:
    """Whether NOTIFY lets such a notice be sent (RFC 3461 4.1)."""
    word, by_default = ASKED_BY[kind]
    if not wishes.notify:
        return by_default
    return word in {each.strip().upper() for each in wishes.notify.split(",")}


def without_values(message: Message, keywords: Keywords) -> Message:
    """The header as it may be told: without a number or a password that the sender gave in his subject (S7, S8)."""
    for name in ("subject", *COPIES):
        texts = [messages.decode_words(value) for value in message.all(name)]
        told = [keywords.without_values(text) for text in texts]
        if told != texts:
            rest = messages.read(messages.without(message, [name]))
            message = messages.read(messages.with_field(rest, name.title(), messages.encode_words(told[0])))
    return message


@attrs.frozen
class Notices:
    """Writes notices in the gateway's name, in the language of who gets them."""

    host: str
    language: str
    texts: Texts
    master: MasterKey
    claims: Claims
    language_of: Callable[[str], str] | None = None
    keywords: Callable[[], Keywords] = Keywords

    def about(
        self,
        item: Item,
        message: Message,
        failures: Sequence[notice.Failure],
        now: float,
        kind: Kind = "failed",
        until: float | None = None,
    ) -> tuple[Finished, ...]:
        """The notice about recipients who do not get a mail, not yet, or have got it; none where none may be sent."""
        told = self._wanted(item, failures, kind)
        if not told or not notice.may_be_notified(item.sender, message):
            return ()
        if item.source.get("inside"):
            message = without_values(messages.read(message.raw[: message.body_at]), self.keywords())
        raw = notice.write_notice(
            self.texts,
            host=self.host,
            sender=item.sender,
            original_header=message.raw[: message.body_at],
            failures=told,
            kind=kind,
            language=self.language_of(item.sender) if self.language_of else self.language,
            date=now,
            facts=notice.Facts(str(item.source.get("envid", "")), item.received, now, until),
        )
        return (self.finished(raw, (item.sender,), now, trace=item.trace),)

    def _wanted(self, item: Item, failures: Iterable[notice.Failure], kind: Kind) -> list[notice.Failure]:
        """Those of which the sender wants to hear, with the names by which he knows them."""
        rows = {row.address: row for row in item.recipients}
        told = []
        for failure in failures:
            row = rows.get(failure.recipient, queue.Recipient(failure.recipient))
            wishes = wishes_of(item, row)
            if is_wanted(wishes, kind):
                told.append(attrs.evolve(failure, original=wishes.original))
        return told

    def finished(
        self,
        raw: bytes,
        recipients: Sequence[str],
        now: float,
        *,
        trace: str,
        sender: str = "",
        direction: str = "notice",
    ) -> Finished:
        """A mail of our own, ready for delivery; by the null sender nobody is told if it fails."""
        identity = new_id()
        entry = queue.Entry(
            id=identity,
            kind="ready",
            trace=trace,
            sender=sender,
            recipients=tuple(queue.Recipient(address) for address in recipients),
            source={"door": "gateway"},
            size=len(raw),
            received=now,
            body=tuple(self.master.seal_parts(BODY, identity, raw)),
            direction=direction,
            message_id=messages.read(raw).first("Message-ID") or "",
            session=self.claims.birth(len(raw)),
        )
        return Finished(entry, raw)
