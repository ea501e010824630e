"""Letters for people without a key: sealed into a carrier, brought back by their browser, read and answered.

Nothing of a letter stays here: only the account with its public key and its private key wrapped by a password that
we do not know, and a note that a letter was made (product rows G1-G5). The carrier is bound to gateway, account and
letter, and its seal is checked before any key is touched.
"""

from __future__ import annotations

import functools
import secrets
from collections.abc import Callable, Sequence
from itertools import chain
from typing import TYPE_CHECKING

import attrs
import txaio

from securegw.crypto import carrier
from securegw.flow import reading, zipped
from securegw.flow.treatment import NOTHING, Accepted, Finished, Treatment
from securegw.ids import new_id
from securegw.mail import compose
from securegw.mail.address import Address, Mailbox, parse_path
from securegw.mail.envelope import Envelope, Source
from securegw.mail.errors import BrokenCarrier, LetterGone, LetterWithdrawn, WrongAccount
from securegw.mail.gathering import gathered
from securegw.store import events, letters, people

if TYPE_CHECKING:
    from securegw.accounts import Accounts, SignedIn
    from securegw.crypto.carrier import Packed
    from securegw.crypto.seal import MasterKey
    from securegw.flow.intake import Intake
    from securegw.flow.messenger import Messenger
    from securegw.flow.notices import Notices
    from securegw.flow.park import Park
    from securegw.mail.texts import Texts
    from securegw.pages import PortalSettings
    from securegw.store.database import Database
    from securegw.workers.work import Work

log = txaio.make_logger()

VERSION = "1"


@attrs.frozen
class Cover:
    """How a letter is wrapped, and what belongs into the same commit: account, note, the code for the sender."""

    wrap: Callable[[bytes], bytes]
    beside: Treatment


@attrs.frozen
class LetterView:
    """An opened letter for its page. ``html`` is clean; ``sender`` is the address that answers go to."""

    id: str
    sender: str
    sender_name: str
    subject: str
    recipients: str
    date: str
    message_id: str
    text: str | None
    html: str | None
    held_pictures: int
    attachments: tuple[reading.Attached, ...]


@attrs.frozen
class Letterhead:
    """What the carrier mail says openly: who writes to whom, in which language, and where it is opened."""

    sender: Mailbox
    recipient: Address
    organisation: str
    url: str
    host: str
    gateway: str
    language: str
    thread: str
    first: bool
    at: float


@attrs.define(eq=False, kw_only=True)
class Webmail:
    """Makes carriers and opens what comes back."""

    settings: PortalSettings
    accounts: Accounts
    intake: Intake
    notices: Notices
    messenger: Messenger
    texts: Texts
    letters_parked: Park
    database: Database
    workers: Work
    master: MasterKey
    now: Callable[[], float]

    @property
    def host(self) -> str:
        """The portal's name as it is baked into carriers."""
        return self.settings.host

    @property
    def mac_key(self) -> bytes:
        return self.master.derive("carrier-mac")

    # --- on the way out -------------------------------------------------------------------------------------------

    def zipped(self, accepted: Accepted, recipient: Address, sender_name: str, password: str) -> Cover:
        """Prepare the ZIP file for one recipient, who needs no account."""
        assert accepted.sender is not None, "a letter has a sender"
        around = zipped.Wrapping(
            password=password,
            sender=Mailbox(_bare(sender_name), accepted.sender),
            recipient=recipient,
            organisation=self.settings.organisation,
            host=self.notices.host,
            language=self.settings.language,
            thread=accepted.message.first("In-Reply-To") or "",
            at=self.now(),
        )
        return Cover(functools.partial(zipped.write_zipped, self.texts, around), NOTHING)

    async def cover(self, accepted: Accepted, recipient: Address, sender_name: str, number: str = "") -> Cover:
        """Prepare the carrier for one recipient; the account is made with the first letter.

        Its code goes to the telephone number, if one was given; raises NoSms if it cannot.
        """
        assert accepted.sender is not None, "a letter has a sender"
        account = await self.workers.settle(self.database.read(people.account_by_address, recipient.key))
        beside = NOTHING
        dialled = self.messenger.number(number) if number else ""
        if account is None:
            account, code = await self.accounts.new_account(recipient, self.settings.language)
            told = self._tell_code(accepted, recipient, code, dialled)
            beside = Treatment(finished=(told,), also=((people.add_account, account),))
        elif dialled and not account.registered:
            beside = Treatment(finished=(self._to_sender(accepted, "no-sms", recipient=str(recipient)),))
        letter = letters.Letter(
            id=secrets.token_hex(16),
            account=account.id,
            sender=str(accepted.sender),
            created=self.now(),
            message_id=accepted.message.first("Message-ID") or "",
        )
        sealing = carrier.Sealing(
            host=self.host, account=account.id, letter=letter.id, public=account.public, mac_key=self.mac_key
        )
        head = self._letterhead(accepted, recipient, sender_name, account)
        wrap = functools.partial(write_carrier, self.texts, head, sealing)
        return Cover(wrap, beside + Treatment(also=((letters.add, letter),)))

    def _letterhead(
        self, accepted: Accepted, recipient: Address, sender_name: str, account: people.Account
    ) -> Letterhead:
        assert accepted.sender is not None
        return Letterhead(
            sender=Mailbox(_bare(sender_name), accepted.sender),
            recipient=recipient,
            organisation=self.settings.organisation,
            url=self.settings.url,
            host=self.host,
            gateway=self.notices.host,
            language=account.language,
            first=not account.registered,
            thread=accepted.message.first("In-Reply-To") or "",
            at=self.now(),
        )

    def _tell_code(self, accepted: Accepted, recipient: Address, code: str, number: str) -> Finished:
        """The initial code goes to the number or to the sender, never to the recipient's mailbox (S7, G9)."""
        assert accepted.sender is not None
        if number:
            language, trace = self.settings.language, accepted.item.trace
            return self.messenger.code(number, code, sender=accepted.sender, language=language, trace=trace)
        values = {"url": self.settings.url, "host": self.host, "organisation": self.settings.organisation}
        return self._to_sender(accepted, "first-code", recipient=str(recipient), code=code, **values)

    def _to_sender(self, accepted: Accepted, template: str, **values: str) -> Finished:
        assert accepted.sender is not None
        text = self.texts.mail(template, self.settings.language, **values)
        raw = compose.compose(
            sender=Mailbox(self.settings.organisation, Address("postmaster", self.notices.host)),
            to=(accepted.sender,),
            text=text,
            message_id=compose.message_id(self.notices.host),
            date=self.now(),
            headers={"Auto-Submitted": "auto-generated"},
        )
        return self.notices.finished(raw, (str(accepted.sender),), self.now(), trace=accepted.item.trace)

    # --- what a browser brings back -------------------------------------------------------------------------------
    async def park(self, text: str) -> str:
        """Check the seal of a posted letter and park it; `BrokenCarrier` before any key is touched."""
        packed = await self.workers.thread(carrier.check, self.mac_key, self.settings.hosts, text)
        return self.letters_parked.put(packed)

    def parked(self, identity: str) -> Packed | None:
        """The head of a parked letter, None when its time is over."""
        parked = self.letters_parked.look(identity)
        return None if parked is None else parked.packed

    async def read(self, identity: str, signed_in: SignedIn) -> LetterView:
        """Open a letter for its account."""
        raw, letter = await self._open(identity, signed_in)
        self.letters_parked.keep(identity)
        contents = await self.workers.process(reading.take_apart, raw)
        if letter.first_read is None:
            await self.workers.settle(self.database.write(letters.opened, letter.id, self.now()))
        return LetterView(
            letter.id,
            letter.sender,
            contents.author,
            contents.subject,
            contents.recipients,
            contents.date,
            contents.message_id,
            contents.text,
            contents.html,
            contents.held_pictures,
            contents.attachments,
        )

    async def part(self, identity: str, signed_in: SignedIn, index: int) -> tuple[str, str, bytes]:
        """Name, kind and content of one attachment."""
        raw, _ = await self._open(identity, signed_in)
        return await self.workers.process(reading.attachment, raw, index)

    async def raw(self, identity: str, signed_in: SignedIn) -> bytes:
        """The whole letter as a mail file."""
        raw, _ = await self._open(identity, signed_in)
        return raw

    async def reply(
        self, identity: str, signed_in: SignedIn, text: str, attachments: Sequence[compose.Attachment], peer: str = ""
    ) -> str:
        """Answer to the sender, from the account's address (5.6.51: nobody else can be written to)."""
        raw, letter = await self._open(identity, signed_in)
        contents = await self.workers.process(reading.take_apart, raw)
        account = signed_in.account
        writer = parse_path(account.address, utf8=True)
        to = parse_path(letter.sender, utf8=True)
        subject = contents.subject if contents.subject.lower().startswith("re:") else f"Re: {contents.subject}"
        answer = compose.compose(
            sender=Mailbox(account.name or "", writer),
            to=(to,),
            text=compose.plain(subject, text),
            message_id=compose.message_id(self.notices.host),
            date=self.now(),
            headers=_thread(contents.message_id),
            attachments=attachments,
        )
        source = Source("portal", address=peer, helo=self.host, tls="TLS", person=account.address)
        envelope = Envelope(new_id(), writer, (to,), source, self.now(), eight_bit=True)
        await self.intake.recipient(source, writer, to)
        trace = await self.intake.accept(envelope, answer)
        told = events.Event(
            time=self.now(),
            kind="letter-answered",
            actor=account.address,
            trace=trace,
            address=account.address,
            detail={"letter": letter.id},
        )
        await self.workers.settle(self.database.write(events.record, told))
        return trace

    async def _open(self, identity: str, signed_in: SignedIn) -> tuple[bytes, letters.Letter]:
        parked = self.letters_parked.look(identity)
        if parked is None:
            raise LetterGone
        if parked.packed.account != signed_in.account.id:
            raise WrongAccount
        letter = await self.workers.settle(self.database.read(letters.get, parked.packed.letter))
        if letter is None or letter.account != signed_in.account.id:
            raise BrokenCarrier
        if letter.revoked:
            raise LetterWithdrawn
        packed = attrs.evolve(parked.packed, sealed=self.letters_parked.sealed(identity))
        return await self.workers.thread(carrier.unpack, packed, signed_in.private), letter


def write_carrier(texts: Texts, head: Letterhead, sealing: carrier.Sealing, letter: bytes) -> bytes:
    """The carrier mail: an explanation, and the letter sealed inside an HTML attachment. For a worker."""
    place = secrets.token_hex(carrier.COLUMNS // 2)  # it stands for the letter, which may be large, until all is done
    values: dict[str, object] = {
        "sender_name": head.sender.name or str(head.sender.address),
        "organisation": head.organisation,
        "recipient": str(head.recipient),
        "recipient_hint": hint(head.recipient),
        "host": head.host,
        "first": head.first,
    }
    page = texts.render(
        "carrier/secure-email.html",
        head.language,
        v=VERSION,
        action=f"{head.url}/open",
        account=sealing.account,
        letter=place,
        languages=sorted(texts.languages, key=lambda language: language != head.language),
        **values,
    )
    # Pure ASCII travels as 7bit: base64 around base64 would cost a third more in size.
    content = page.encode("ascii", "xmlcharrefreplace").replace(b"\n", b"\r\n")
    attachment = compose.Attachment("secure-email.html", "text/html", content, encoding="7bit")
    mail = compose.compose(
        sender=head.sender,
        to=(head.recipient,),
        text=texts.mail("carrier", head.language, **values),
        message_id=compose.message_id(head.gateway),
        date=head.at,
        headers=_thread(head.thread),
        attachments=(attachment,),
    )
    before, after = mail.split(place.encode("ascii"))
    return gathered(chain((before,), carrier.packed_lines(sealing, letter, b"\r\n"), (after,)))


def _bare(name: str) -> str:
    """The name of a person; what is an address is none."""
    return name if "@" not in name else ""


def hint(address: Address) -> str:
    """An address as a stranger may see it: the first letter and the domain."""
    return f"{address.local[:1]}...@{address.domain}"


def _thread(message_id: str) -> dict[str, str]:
    return {"In-Reply-To": message_id, "References": message_id} if message_id else {}
