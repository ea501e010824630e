"""Takes a mail in: who may send what to whom, and nothing is answered 250 before it is durable (REL2).

Not a judge of content: rules speak later, on the journey. All doors hand mails in here, the portal's answers too.
RFC 5321 4.5.3 (limits), 6.3 (loops), RFC 6409 6.1 (whose sender somebody who signed in may use).
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from typing import TYPE_CHECKING

import attrs
import txaio

from securegw import config
from securegw.config import setting
from securegw.crypto.seal import MasterKey
from securegw.flow import reprocess, threshold
from securegw.flow.circles import Circles
from securegw.flow.claims import BODY
from securegw.flow.envelopes import item_of, row_of, source_record
from securegw.flow.filing import unfile
from securegw.flow.line import HEAVY
from securegw.flow.room import Room, folder_of
from securegw.flow.spool import Spool
from securegw.flow.treatment import Arrived
from securegw.fresh import Fresh
from securegw.ids import new_id
from securegw.mail import message as messages
from securegw.mail.errors import (
    Later,
    MailboxSuspended,
    MailLoop,
    RelayDenied,
    TooBig,
    UnknownSender,
    WrongPassword,
)
from securegw.pages.rates import network_of
from securegw.policy.patterns import addresses_test
from securegw.store import queue

if TYPE_CHECKING:
    from ipaddress import IPv4Network, IPv6Network
    from pathlib import Path

    from securegw.accounts import Accounts
    from securegw.flow.archive import Archive
    from securegw.flow.claims import Claims
    from securegw.flow.connector import Connector
    from securegw.flow.places import Places
    from securegw.flow.recipients import Recipients
    from securegw.mail.address import Address
    from securegw.mail.envelope import Envelope, Source
    from securegw.store.bodies import Body, Filed
    from securegw.store.database import Database
    from securegw.store.logins import Login
    from securegw.store.mailboxes import Mailbox
    from securegw.workers.work import Work

log = txaio.make_logger()

INLINE = 64 << 10
ALL_OF_OURS = "*"


@attrs.frozen
class IntakeSettings:
    """Who may hand mail in, and how much of it."""

    relay_networks: tuple[IPv4Network | IPv6Network, ...] = setting(
        config.list_of(config.network),
        default=("127.0.0.0/8", "::1/128"),
        help="Networks of your own mail servers: they may send to everybody. Others reach managed domains only.",
    )
    relay_certificates: tuple[str, ...] = setting(
        config.list_of(config.text),
        default=(),
        help="Client certificates of your own mail servers: their SHA-256 fingerprints, or the names in them.",
    )
    connector_networks: tuple[IPv4Network | IPv6Network, ...] = setting(
        config.list_of(config.network),
        default=(),
        help="Networks of a cloud from which others send too; mail of your own people shows connector_field there.",
    )
    connector_field: Path | None = setting(
        config.path, default=None, help='File, mode 0600, with the header field that the cloud adds: "X-NAME: SECRET".'
    )
    size_limit: int = setting(config.size, default="50 MB", help="The largest mail that is taken.")
    recipients_limit: int = setting(
        config.number(100, 100_000), default=1000, help="The most recipients of one mail (RFC 5321 4.5.3.1.8)."
    )
    hops_limit: int = setting(
        config.number(10, 200), default=50, help="The most Received fields; beyond it a mail goes in a circle."
    )
    passes_limit: int = setting(
        config.number(1, 50), default=5, help="How often a mail may pass this gateway; beyond it it goes in a circle."
    )
    free_space: int = setting(
        config.size, default="1 GB", help="Free space that is left on the disk; three times a mail's size is always."
    )
    queue_limit: int = setting(
        config.number(100, 100_000_000), default=100_000, help="The most mails in the queue; more have to wait outside."
    )
    hold: bool = setting(
        config.boolean,
        default=False,
        help="Put all mail on hold when it is taken, for maintenance; securegw queue release lets it go.",
    )
    call_time: float = setting(
        config.duration,
        default="10s",
        help="How long an inside server may think about whether a recipient exists; then the recipient is taken.",
    )
    call_connections: int = setting(
        config.number(1, 100), default=5, help="Connections to one inside server to ask for recipients."
    )


@attrs.define(eq=False, kw_only=True)
class Intake:
    """Asks at each step of the dialogue whether it may go on, and makes the mail durable."""

    settings: IntakeSettings
    host: str
    places: Places
    claims: Claims
    database: Database
    master: MasterKey
    workers: Work
    accounts: Accounts | None = None
    recipients: Recipients | None = None
    archive: Archive | None = None
    connector: Connector | None = None
    room: Room = attrs.field()
    circles: Circles = attrs.field(init=False)
    logins: Fresh[Login | None] = attrs.field(init=False)

    @room.default
    def _room(self) -> Room:
        return Room(
            floor=self.settings.free_space,
            most=self.settings.queue_limit,
            database=self.database,
            workers=self.workers,
            now=self.claims.reactor.seconds,
            folder=folder_of(self.database),
        )

    def __attrs_post_init__(self) -> None:
        self.circles = Circles(self.host, self.master, self.settings.passes_limit)
        self.logins = Fresh(self.claims.reactor.seconds)

    @property
    def size_limit(self) -> int:
        return self.settings.size_limit

    @property
    def recipients_limit(self) -> int:
        return self.settings.recipients_limit

    async def sign_in(self, source: Source, name: str, password: str) -> Source:
        """The source as that of a person, who may relay; raises WrongPassword or TooManyTries."""
        if self.accounts is None:
            raise WrongPassword
        person = await self.accounts.check_login(name, password, network_of(source.address))
        log.info("{person} has signed in from {peer}", person=person, peer=source.address)
        return attrs.evolve(source, person=person, inside=True)

    async def vouch(self, source: Source, names: tuple[str, ...], fingerprint: str) -> Source:
        """The source as one of ours if its client certificate is named in the settings, else as it was.

        ``names`` are those that the door has proved under an authority it trusts; a fingerprint proves itself.
        """
        shown = {_fold(fingerprint), *map(_fold, names)} - {""}
        if shown.isdisjoint(map(_fold, self.settings.relay_certificates)):
            return source
        return attrs.evolve(source, inside=True)

    async def sender(self, source: Source, sender: Address | None, size: int | None) -> None:
        """May this peer begin a mail from this sender? ``size`` is what it announced, in bytes."""
        if size is not None and size > self.settings.size_limit:
            raise TooBig
        self.room.check(size or 0)
        if source.inside and source.person and sender is not None:
            await self._check_own(source.person, sender)

    async def _check_own(self, person: str, sender: Address) -> None:
        """Who has signed in writes under his own addresses; the null sender is everybody's (RFC 6409 6.1)."""
        if not self.logins.knows(person) and self.accounts is not None:
            self.logins.keep(person, await self.accounts.login(person))
        login = self.logins[person] if self.logins.knows(person) else None
        if login is None or not self._may_use(login.senders or (ALL_OF_OURS,), sender):
            log.info("{person} may not send as {sender}", person=person, sender=str(sender))
            raise UnknownSender("You may not send under this address.")

    def _may_use(self, senders: tuple[str, ...], sender: Address) -> bool:
        if ALL_OF_OURS in senders and self.places.manages(sender):
            return True
        return addresses_test(each.lower() for each in senders)(sender.key)

    async def recipient(self, source: Source, sender: Address | None, recipient: Address) -> None:
        """May this peer send to this recipient? Our networks to everybody, everybody to managed domains."""
        ours = self.places.manages(recipient)
        if not (source.inside or ours or (self.connector is not None and self.connector.may_vouch(source))):
            log.info("relaying to {domain} denied to {peer}", domain=recipient.domain, peer=source.address)
            raise RelayDenied
        if source.inside and ours and reprocess.is_asked(recipient):
            return
        if ours and (box := self.places.mailbox(recipient)) is not None:
            if not box.active:
                raise MailboxSuspended
            return
        if ours and self.recipients is not None:
            await self.recipients.check(recipient)

    def is_inside(self, address: str) -> bool:
        """Whether a peer's address lies in one of the named networks."""
        try:
            peer = ip_address(address)
        except ValueError:
            return False
        peer = getattr(peer, "ipv4_mapped", None) or peer
        return any(peer in network for network in self.settings.relay_networks)

    @property
    def spool(self) -> Callable[[Sequence[Address]], Spool] | None:
        """Makes a spool for a large text; None for a database in memory."""
        return self._spool if self.database.bodies.can_come else None

    def _spool(self, recipients: Sequence[Address]) -> Spool:
        """What is for mailboxes alone never lies under the master key: its key is forgotten with it."""
        alone = self.archive is not None and bool(self.places.mailboxes_alone(recipients))
        master = MasterKey(secrets.token_bytes(32)) if alone else self.master
        holds = self.connector is not None
        return Spool(new_id(), master, self.database.bodies, self.workers, self.room.check, holds_head=holds)

    async def accept(self, envelope: Envelope, raw: bytes | Spool) -> str:
        """Make a mail durable and send it on its journey; returns its trace id. ``raw`` as received, CRLF lines."""
        if len(raw) > self.settings.size_limit:
            raise TooBig
        if isinstance(raw, Spool):
            return await self._accept_spooled(envelope, raw)
        message = messages.read(raw)
        if self.connector is not None:
            envelope, raw = self._judged(self.connector, envelope, message)
            message = message if raw is message.raw else messages.read(raw)
        if message.count("Received") > self.settings.hops_limit or self.circles.is_in_one(message):
            raise MailLoop
        threshold.check(envelope, message, self.places)
        self.room.check(len(raw))
        line = self.circles.received_line(envelope)
        is_checked = envelope.source.door == "smtp"  # its dialogue takes no text with a lone CR, LF or NUL
        if len(raw) <= INLINE:
            arrived = Arrived(messages.prepended(message, line), is_checked)
        else:
            arrived = Arrived(await self.workers.thread(messages.prepended, message, line), is_checked)
        complete = arrived.message.raw
        if self.archive is not None and (boxes := self.places.mailboxes_alone(envelope.recipients)):
            item = item_of(envelope, len(complete), message.first("Message-ID") or "")
            await self.archive.accept(item, complete, boxes)
            return envelope.trace
        entry = await self._entry(envelope, complete, message.first("Message-ID") or "")
        await self.workers.settle(self.database.write_many(queue.put, entry))
        self.room.taken(len(raw))
        self._log_accepted(envelope, len(raw))
        if entry.session is not None:
            self.workers.soon(self.claims.take, entry.item(), arrived)  # who waits for the 250 comes first
        return envelope.trace

    async def _accept_spooled(self, envelope: Envelope, spool: Spool) -> str:
        """The same for a text that is on the disk but for its top: it is not read again."""
        message, head = messages.read(spool.head), spool.head
        if self.connector is not None:
            envelope, head = self._judged(self.connector, envelope, message)
        if message.count("Received") > self.settings.hops_limit or self.circles.is_in_one(message):
            raise MailLoop
        threshold.check(envelope, message, self.places)
        self.room.check(len(spool))
        top = messages.prepend(head, self.circles.received_line(envelope))
        if not spool.holds_head:
            top = top.removesuffix(head)
        filed, size = await spool.end(top), len(top) + spool.written
        boxes = self.places.mailboxes_alone(envelope.recipients) if self.archive is not None else ()
        message_id = message.first("Message-ID") or ""
        if boxes:
            await self._archive_spooled(item_of(envelope, size, message_id), spool, filed, boxes)
            return envelope.trace
        if spool.master is not self.master:
            raise Later(detail="the mailbox has gone while a mail for it came in")
        entry = self._entry_of(envelope, spool.identity, filed, size, message_id)
        if self.database.bodies.are_files:
            await self._put_spooled(entry, spool)
        else:
            await self._copy_spooled(entry)
        self.room.taken(size)
        self._log_accepted(envelope, len(spool))
        return envelope.trace

    async def _put_spooled(self, entry: queue.Entry, spool: Spool) -> None:
        """A row names the file, or may: from here on the database knows whether it may go."""
        spool.keep()
        try:
            await self.workers.settle(self.database.write_many(queue.put, entry))
        except Exception:
            await unfile((entry,), self.database, self.workers)
            raise

    async def _copy_spooled(self, entry: queue.Entry) -> None:
        """Bodies are rows here, so the whole of it is in memory for this moment."""
        async with self.claims.gate.room(HEAVY * entry.size):
            await self.workers.settle(self.database.write_many(queue.put, entry))

    async def _archive_spooled(self, item: queue.Item, spool: Spool, filed: Filed, boxes: Sequence[Mailbox]) -> None:
        assert self.archive is not None
        async with self.claims.gate.room(HEAVY * item.size):
            await self.archive.accept(item, await self.workers.disk(spool.read, filed), boxes)

    def _log_accepted(self, envelope: Envelope, size: int) -> None:
        log.info(
            "accepted {trace} from {peer} for {count} recipients, {size} bytes",
            trace=envelope.trace,
            peer=envelope.source.address,
            count=len(envelope.recipients),
            size=size,
        )

    def _judged(self, connector: Connector, envelope: Envelope, message: messages.Message) -> tuple[Envelope, bytes]:
        """What the connector's field makes of a mail; who was let in for it and does not show it may not relay."""
        source, ours = envelope.source, all(map(self.places.manages, envelope.recipients))
        if connector.vouches(source, message):
            envelope = attrs.evolve(envelope, source=attrs.evolve(source, inside=True))
        elif not (source.inside or ours) and connector.may_vouch(source):
            raise RelayDenied(detail=f"{source.address} is the connector's, and the mail does not show its field")
        return envelope, connector.without_field(message)

    async def _entry(self, envelope: Envelope, raw: bytes, message_id: str) -> queue.Entry:
        identity = new_id()
        if len(raw) <= INLINE:  # it takes less than handing it over to a thread
            parts = self.master.seal_parts(BODY, identity, raw)
        else:
            parts = await self.workers.thread(self.master.seal_parts, BODY, identity, raw)
        return self._entry_of(envelope, identity, tuple(parts), len(raw), message_id)

    def _entry_of(self, envelope: Envelope, identity: str, body: Body, size: int, message_id: str) -> queue.Entry:
        return queue.Entry(
            id=identity,
            kind="accepted",
            trace=envelope.trace,
            sender=str(envelope.sender) if envelope.sender else "",
            recipients=tuple(row_of(address, envelope.wishes.get(address)) for address in envelope.recipients),
            source=source_record(envelope),
            size=size,
            received=envelope.received,
            body=body,
            state="held" if self.settings.hold else "waiting",
            message_id=message_id[:998],
            session=None if self.settings.hold else self.claims.birth(size),
        )


def _fold(name: str) -> str:
    """Names in any case; fingerprints with or without colons."""
    return name.replace(":", "").strip().lower()
