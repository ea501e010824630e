"""Takes a mail in: who may send what to whom, and nothing is answered 250 before it is durable (REL2).

Not a judge of content: rules speak later, on the journey. All doors hand mails in here, the portal's answers too.
RFC 5321 4.5.3 (limits), 6.3 (loops).
"""

from __future__ import annotations

import secrets
from ipaddress import ip_address
from typing import TYPE_CHECKING

import attrs
import txaio

from securegw import config
from securegw.config import setting
from securegw.flow.claims import BODY
from securegw.mail import message as messages
from securegw.mail.errors import MailLoop, RelayDenied, TooBig
from securegw.mail.trace import received_line
from securegw.store import queue

if TYPE_CHECKING:
    from ipaddress import IPv4Network, IPv6Network

    from securegw.crypto.seal import MasterKey
    from securegw.flow.claims import Claims
    from securegw.flow.places import Places
    from securegw.mail.address import Address
    from securegw.mail.envelope import Envelope, Source
    from securegw.store.database import Database
    from securegw.workers import Work

log = txaio.make_logger()

INLINE = 64 << 10


@attrs.frozen
class IntakeSettings:
    """Who may hand mail in, and how much of it."""

    relay_networks: tuple[IPv4Network | IPv6Network, ...] = setting(
        config.list_of(config.network),
        default=("127.0.0.0/8", "::1/128"),
        help="Networks of your own mail servers: they may send to everybody. Others reach managed domains only.",
    )
    size_limit: int = setting(config.size, default="50 MB", help="The largest mail that is taken.")
    recipients_limit: int = setting(
        config.number(100, 100_000), default=1000, help="The most recipients of one mail (RFC 5321 4.5.3.1.8)."
    )
    hops_limit: int = setting(
        config.number(10, 200), default=50, help="The most Received fields; beyond it a mail goes in a circle."
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

    @property
    def size_limit(self) -> int:
        return self.settings.size_limit

    @property
    def recipients_limit(self) -> int:
        return self.settings.recipients_limit

    async def sender(self, source: Source, sender: Address | None, size: int | None) -> None:
        """May this peer begin a mail from this sender? ``size`` is what it announced, in bytes."""
        if size is not None and size > self.settings.size_limit:
            raise TooBig

    async def recipient(self, source: Source, sender: Address | None, recipient: Address) -> None:
        """May this peer send to this recipient? Our networks to everybody, everybody to managed domains."""
        if not (source.inside or self.places.manages(recipient)):
            log.info("relaying to {domain} denied to {peer}", domain=recipient.domain, peer=source.address)
            raise RelayDenied

    def is_inside(self, address: str) -> bool:
        """Whether a peer's address lies in one of the named networks."""
        try:
            peer = ip_address(address)
        except ValueError:
            return False
        peer = getattr(peer, "ipv4_mapped", None) or peer
        return any(peer in network for network in self.settings.relay_networks)

    async def accept(self, envelope: Envelope, raw: bytes) -> str:
        """Make a mail durable and send it on its journey; returns its trace id. ``raw`` as received, CRLF lines."""
        if len(raw) > self.settings.size_limit:
            raise TooBig
        message = messages.read(raw)
        if message.count("Received") > self.settings.hops_limit:
            raise MailLoop
        complete = messages.prepend(raw, received_line(envelope, self.host))
        entry = await self._entry(envelope, complete, message.first("Message-ID") or "")
        await self.workers.settle(self.database.write_many(queue.put, entry))
        log.info(
            "accepted {trace} from {peer} for {count} recipients, {size} bytes",
            trace=envelope.trace,
            peer=envelope.source.address,
            count=len(envelope.recipients),
            size=len(raw),
        )
        if entry.session is not None:
            self.claims.take(entry.item(), complete)
        return envelope.trace

    async def _entry(self, envelope: Envelope, raw: bytes, message_id: str) -> queue.Entry:
        identity = queue.new_id()
        return queue.Entry(
            id=identity,
            kind="accepted",
            trace=envelope.trace,
            sender=str(envelope.sender) if envelope.sender else "",
            recipients=tuple(queue.Recipient(str(address)) for address in envelope.recipients),
            source=source_record(envelope),
            size=len(raw),
            received=envelope.received,
            body=tuple(await self._seal(identity, raw)),
            direction="",
            message_id=message_id[:998],
            session=self.claims.birth(len(raw)),
        )

    async def _seal(self, identity: str, raw: bytes) -> list[bytes]:
        if len(raw) <= INLINE:  # sealing 20 KB takes less than handing it to a thread
            return self.master.seal_parts(BODY, identity, raw)
        return await self.workers.thread(self.master.seal_parts, BODY, identity, raw)


def new_trace() -> str:
    """A new trace id: under it the log, the events and the queue speak of one mail."""
    return secrets.token_hex(8)


def source_record(envelope: Envelope) -> dict[str, object]:
    """What the queue row keeps of an envelope's source."""
    record = attrs.asdict(envelope.source)
    record.update(eight_bit=envelope.eight_bit, utf8=envelope.utf8)
    return record
