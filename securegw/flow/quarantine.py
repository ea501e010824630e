"""Quarantine: mails that a rule keeps for an administrator, what he is told of them, and what ends them.

Not the deciding: a rule has said ``quarantine``. The mail lies in the queue, held and sealed. An administrator lets it
go, and then the rules say how it is protected; or gives it back to its sender with a notice; or deletes it. He is told
at most once in a period, by header fields only, and to an address outside not even by these (SEC4).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import txaio

from securegw import config, counters
from securegw.config import Kind, setting
from securegw.config.kinds import Unfit
from securegw.flow.claims import BODY
from securegw.flow.treatment import NOTHING, Accepted, Finished, Treatment
from securegw.ids import new_id
from securegw.mail import message as messages
from securegw.mail.address import Address, Mailbox, parse_path
from securegw.mail.compose import compose, message_id
from securegw.mail.errors import BadAddress, MailError
from securegw.mail.notice import Failure
from securegw.mail.words import plain_line
from securegw.store import desk, events, queue
from securegw.store import quarantine as kept
from securegw.store.items import Chosen

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from securegw.flow.hours import Hours
    from securegw.flow.notices import Notices
    from securegw.flow.places import Places
    from securegw.store.database import Database
    from securegw.store.items import Item
    from securegw.store.queue import Entry
    from securegw.workers.work import Work

log = txaio.make_logger()

DAY = 86400.0
SHOWN = 50  # mails that one notice names; of the others it says how many there are
LINE = 200
EXPIRING = 100  # mails that are ended at one look
RETURNED = "An administrator has looked at the message and does not let it pass."
EXPIRED = "expired"

QUARANTINED = counters.declare("securegw_quarantined", "Mails that a rule has put into quarantine.")


def _read_mailbox(value: object, folder: Path) -> str:
    try:
        return str(parse_path(value if isinstance(value, str) else "", utf8=True))
    except BadAddress:
        raise Unfit from None


MAILBOX = Kind[str]("an address", "admin@example.org", _read_mailbox)


@attrs.frozen
class QuarantineSettings:
    """Mails that a rule keeps for an administrator."""

    notify: tuple[str, ...] = setting(
        config.list_of(MAILBOX),
        default=[],
        help="Addresses that are told of mails and certificates in quarantine: header fields only, and to addresses "
        "outside of your domains only how many there are.",
    )
    every: float = setting(
        config.duration, default="1h", help="At most one notice in this time, however many mails there are."
    )
    days: int = setting(config.number(1, 3650), default=30, help="Days for which a mail is kept in quarantine.")
    afterwards: str = setting(
        config.choice("return", "delete"),
        default="return",
        help="What becomes of it then: given back to its sender with a notice, or deleted.",
    )


@attrs.frozen
class Shown:
    """One mail as the notice shows it."""

    id: str
    rule: str
    sender: str
    recipients: str
    fields: tuple[tuple[str, str], ...] = ()


@attrs.frozen
class News:
    """What there is to tell: mails of which nobody was told, and certificates since the last notice."""

    mails: list[tuple[kept.Kept, Item]]
    certificates: list[events.Event]
    since: float


def noted(entries: Iterable[Entry], now: float) -> Treatment:
    """The step that notes which of these items are in quarantine, for the commit that makes them."""
    rows = [kept.Kept(entry.id, now, rule, tenant=entry.tenant) for entry in entries if (rule := _rule(entry))]
    if not rows:
        return NOTHING
    QUARANTINED.inc(len(rows))
    return Treatment(also=((kept.keep, rows),))


def _rule(entry: Entry) -> str:
    """The rule by which an item is in quarantine; empty if it is not."""
    decisions = [to.decision or {} for to in entry.recipients] if entry.state == "held" else []
    return next((str(each["rule"]) for each in decisions if each.get("quarantine")), "")


def is_released(item: Item) -> bool:
    return bool(item.source.get(kept.FATE) == "released")


def is_returned(item: Item) -> bool:
    return bool(item.source.get(kept.FATE) == "returned")


def returned(accepted: Accepted, notices: Notices, now: float) -> Treatment:
    """An administrator gives it back: none of its recipients gets it, its sender is told."""
    failures = [
        Failure(recipient=to.address, status="5.7.1", diagnostic=RETURNED, sentence=RETURNED)
        for to in accepted.item.recipients
    ]
    return Treatment(finished=notices.about(accepted.item, accepted.message, failures, now))


@attrs.define(eq=False, kw_only=True)
class Quarantine:
    """Tells of what is in quarantine and ends what has been there too long; ``tick`` is called every minute."""

    settings: QuarantineSettings
    places: Places
    notices: Notices
    database: Database
    workers: Work
    hours: Hours
    now: Callable[[], float]

    async def tick(self) -> None:
        """Tell and end."""
        if self.hours.agree():
            await self._expire()
        if self.settings.notify:
            await self._tell()

    async def _expire(self) -> None:
        now = self.now()
        old = await self._ask(kept.list_kept, before=now - self.settings.days * DAY, limit=EXPIRING)
        if old:
            items = [item for _, item in old]
            ended = self.database.write(end_expired, items, now, self.settings.afterwards)
            log.info("{count} mails were in quarantine for too long", count=await self.workers.settle(ended))

    async def _tell(self) -> None:
        now = self.now()
        news = await self._ask(_news)
        if not (news.mails or news.certificates) or news.since <= now < news.since + self.settings.every:
            return
        shown = [await self._show(*each) for each in news.mails[:SHOWN]]
        addresses = [parse_path(address, utf8=True) for address in self.settings.notify]
        mails = [await self._written(address, news, shown) for address in addresses]
        digest = kept.Digest(
            ids=tuple(item.id for _, item in news.mails),
            entries=tuple(mail.entry for mail in mails),
            told=events.Event(
                time=now, kind="quarantine-told", actor="gateway", detail={"mails": len(news.mails)}
            ),
            every=self.settings.every,
        )
        if await self.workers.settle(self.database.write(kept.tell, digest)):
            for mail in mails:
                if mail.entry.session is not None:
                    self.notices.claims.take(mail.entry.item(), mail.raw)

    async def _show(self, row: kept.Kept, item: Item) -> Shown:
        """The header fields of a mail; of one that has ended meanwhile the envelope alone."""
        to = ", ".join(_line(recipient.address) for recipient in item.recipients[:10])
        plain = Shown(item.id, row.rule, _line(item.sender) or "<>", to)
        try:
            parts = await self._ask(queue.body, item.id)
            raw = await self.workers.thread(self.notices.master.open_parts, BODY, item.id, parts)
        except MailError:
            return plain
        return attrs.evolve(plain, fields=shown_fields(raw))

    async def _written(self, address: Address, news: News, shown: Sequence[Shown]) -> Finished:
        """The notice for one administrator."""
        ours = self.places.manages(address)
        text = self.notices.texts.mail(
            "quarantine",
            self.notices.language,
            host=self.notices.host,
            count=len(news.mails),
            more=len(news.mails) - len(shown),
            mails=shown if ours else (),
            certificates=[(each.address, str(each.detail.get("fingerprint", ""))) for each in news.certificates],
            ours=ours,
        )
        raw = compose(
            sender=Mailbox("Quarantine", Address("MAILER-DAEMON", self.notices.host)),
            to=[address],
            text=text,
            message_id=message_id(self.notices.host),
            date=self.now(),
            headers={"Auto-Submitted": "auto-generated"},
        )
        return self.notices.finished(raw, (str(address),), self.now(), trace=new_id())

    async def _ask(self, question: Callable[..., object], *arguments: object, **named: object) -> Any:
        return await self.workers.settle(self.database.read(question, *arguments, **named))


def _news(conn: Connection) -> News:
    since = kept.last_told(conn)
    certificates = events.find(conn, kind="certificate-quarantined", since=since, limit=SHOWN)
    return News(kept.list_kept(conn, untold=True), [each for each in certificates if each.time > since], since)


def end_expired(conn: Connection, items: Sequence[Item], now: float, afterwards: str) -> int:
    """Give back or delete what nobody has decided about; what was decided meanwhile is left alone."""
    there = kept.which(conn, [item.id for item in items], lock=True)
    ids = tuple(item.id for item in items if item.id in there)
    if afterwards == "return":
        kept.end(conn, kept.Verdict(ids, "returned", now))
    else:
        desk.delete_items(conn, Chosen(ids))
    kind = f"quarantine-{'returned' if afterwards == 'return' else 'deleted'}"
    events.record_many(conn, [told(kind, item, now, "gateway", why=EXPIRED) for item in items if item.id in there])
    return len(ids)


def told(kind: str, item: Item, now: float, actor: str, **detail: object) -> events.Event:
    """The event of what became of one."""
    return events.Event(
        time=now,
        kind=kind,
        actor=actor,
        trace=item.trace,
        item=item.id,
        message_id=item.message_id,
        address=item.sender,
        detail={"recipients": [to.address for to in item.recipients], **detail},
    )


def shown_fields(raw: bytes) -> tuple[tuple[str, str], ...]:
    """The fields by which a person knows a mail again, each one line."""
    message = messages.read(raw)
    found = ((name, message.first(name)) for name in ("From", "To", "Cc", "Subject", "Date", "Message-ID"))
    return tuple((name, _line(messages.decode_words(value))) for name, value in found if value)


def _line(text: str) -> str:
    line = plain_line(text).strip()
    return line if len(line) <= LINE else line[: LINE - 1] + "…"
