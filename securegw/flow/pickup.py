"""Mail is picked up from mailboxes: the password opens the mailbox's key, and with it one mail after the other.

Not the dialogue (servers/pop3) and not the check of passwords (keys/mailboxes). Long mails are read part by part, as
the reader takes them; of short ones some are read and opened ahead, a bounded number of bytes, so that a program that
fetches all of them waits for the store only now and then. Whatever is read is opened by the thread that reads it.
What is deleted is deleted at the end, in one transaction, or not at all (RFC 1939 6).
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

import attrs
import txaio
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from securegw import counters
from securegw.crypto.mailbox import Label, MailboxKey, MailKey
from securegw.flow import history
from securegw.mail.errors import LetterGone, MailboxInUse, MailError, SealBroken, StoreBusy, TooManyTries
from securegw.pages.rates import network_of
from securegw.store import events, mailboxes

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from securegw.flow.claims import Claims
    from securegw.keys.mailboxes import MailboxKeys
    from securegw.store.database import Database
    from securegw.store.mailboxes import Kept, Mailbox
    from securegw.workers.work import Work

P = ParamSpec("P")
T = TypeVar("T")

log = txaio.make_logger()

WAITING = 3  # tries that one network may have waiting for one mailbox
AHEAD = 1 << 20  # bytes read ahead for one session
MOST_AHEAD = 64
GONE = "This mail is not here any more."

OPENED = counters.declare("securegw_mailbox_opened", "Mailboxes opened with their password.")
TAKEN = counters.declare("securegw_mailbox_deleted", "Mails deleted by those who picked them up.")


@attrs.define(eq=False, kw_only=True)
class Pickup:
    """Opens mailboxes for who has the password, one at a time."""

    keys: MailboxKeys
    claims: Claims
    database: Database
    workers: Work
    clock: IReactorTime
    waiting: Counter[tuple[str, str]] = attrs.field(init=False, factory=Counter)

    async def open(self, name: str, password: str, peer: str, waits: Callable[[], bool]) -> OpenMailbox:
        """Open the mailbox of an address or id for somebody who calls from the address ``peer``, if he still waits.

        Who guesses is held back longer each time, before the password is looked at (threats 5.7.57). Raises
        WrongPassword, TooManyTries, MailboxInUse or Later.
        """
        source = network_of(peer)
        await self._hold_back(name, source)
        if not waits():  # who has gone costs no work
            raise TooManyTries
        mailbox, private = await self.keys.open(name, password, source)
        return await self._enter(mailbox, private)

    async def _hold_back(self, name: str, source: str) -> None:
        turn = (name.lower(), source)
        if self.waiting[turn] >= WAITING:
            raise TooManyTries(seconds=15.0)
        self.waiting[turn] += 1
        try:
            pause = await self.keys.count_try(name, source)
            if pause:
                await deferLater(self.clock, pause)
        finally:
            self.waiting[turn] -= 1
            if not self.waiting[turn]:
                del self.waiting[turn]

    async def _enter(self, mailbox: Mailbox, private: bytes) -> OpenMailbox:
        session, token = self.claims.session, secrets.token_hex(16)
        if session is None:
            raise StoreBusy(detail="the gateway is not open")
        write, now = self.database.write, self.clock.seconds()
        if not await self.workers.settle(write(mailboxes.open_lease, mailbox.id, token, session, now)):
            raise MailboxInUse
        try:
            mails = await self.workers.settle(self.database.read(mailboxes.contents, mailbox.id))
            key = await self.workers.thread(MailboxKey, private, mailbox.id)
        except BaseException:
            with suppress(MailError):
                await self.workers.settle(write(mailboxes.close_lease, mailbox.id, token))
            raise
        OPENED.inc()
        log.info("mailbox {mailbox} opened, {count} mails", mailbox=mailbox.id, count=len(mails))
        return OpenMailbox(self, mailbox, token, key, tuple(mails))


@attrs.define(eq=False)
class OpenMailbox:
    """A mailbox as it was when it was opened, until ``finish`` or ``close``. One question at a time."""

    pickup: Pickup
    mailbox: Mailbox
    token: str
    private: MailboxKey | None = attrs.field(repr=False)
    mails: tuple[Kept, ...]
    ahead: dict[int, bytes] = attrs.field(init=False, factory=dict, repr=False)
    loading: Deferred[None] | None = attrs.field(init=False, default=None)
    window: int = attrs.field(init=False, default=1)
    last: int = attrs.field(init=False, default=-1)
    current: tuple[int, MailKey] | None = attrs.field(init=False, default=None, repr=False)

    async def part(self, index: int, number: int) -> bytes:
        """A part of a mail, as it stands in it."""
        if self.mails[index].parts == 1:
            return await self._short(index)
        key, self.last = await self._key(index), index
        part = await self._read(_open_part, key, number)
        if part is None:
            raise LetterGone(GONE)
        return part

    async def finish(self, deleted: Sequence[int]) -> None:
        """Delete these mails, all or none, and give the mailbox back."""
        ids = [self.mails[index].id for index in deleted]
        now = self.pickup.clock.seconds()
        try:
            await self._write(_finish, self.mailbox, self.token, ids, now)
        except BaseException:
            await self.close()
            raise
        self._forget()
        TAKEN.inc(len(ids))
        log.info("mailbox {mailbox} closed, {count} mails deleted", mailbox=self.mailbox.id, count=len(ids))

    async def close(self) -> None:
        """Give the mailbox back; nothing is deleted. Where that fails it is free when this process is gone."""
        if self.private is None:
            return
        self._forget()
        with suppress(MailError):
            await self._write(mailboxes.close_lease, self.mailbox.id, self.token)

    def _forget(self) -> None:
        self.private = self.current = None
        self.ahead.clear()

    # --- short mails: some at a time ------------------------------------------------------------------------------

    async def _short(self, index: int) -> bytes:
        self._key_of_mailbox()  # or it is closed
        if index not in self.ahead and self.loading is not None:
            await self.loading
        if index not in self.ahead:
            self.ahead.clear()
            self.window = 1
            await self._load(self._run_from(index))
        text = self.ahead[index]
        if index == self.last + 1:
            self.ahead.pop(self.last, None)
            self._go_ahead()
        elif index != self.last:
            self.ahead = {held: sealed for held, sealed in self.ahead.items() if held >= index}
        self.last = index
        return text

    def _go_ahead(self) -> None:
        """Who takes one after the other gets more of them read, before he has taken those that are."""
        if self.loading is not None or len(self.ahead) - 1 > self.window // 2:
            return
        self.window = min(2 * self.window, MOST_AHEAD)
        held = sum(self.mails[index].size for index in self.ahead)
        run = self._run_from(max(self.ahead) + 1, held)
        if run:
            loading = Deferred.fromCoroutine(self._load_quietly(run))
            self.loading = None if loading.called else loading

    def _run_from(self, first: int, held: int = 0) -> list[int]:
        """The short mails from here on that fit."""
        run: list[int] = []
        for index in range(first, min(first + self.window, len(self.mails))):
            size = self.mails[index].size
            if self.mails[index].parts > 1 or (held and held + size > AHEAD):
                break
            held += size
            run.append(index)
        return run

    async def _load_quietly(self, run: list[int]) -> None:
        """What goes wrong here is met again by who asks for the mail."""
        try:
            await self._load(run)
        except MailError as error:
            log.debug("read ahead failed: {detail}", detail=error.detail)
        finally:
            self.loading = None

    async def _load(self, run: list[int]) -> None:
        labels = [self._label(index) for index in run]
        texts = await self._read(_open_short, self._key_of_mailbox(), labels)
        if self.private is None or texts[0] is None:
            raise LetterGone(GONE)
        self.ahead.update({index: text for index, text in zip(run, texts, strict=True) if text is not None})

    # --- long mails -----------------------------------------------------------------------------------------------

    async def _key(self, index: int) -> MailKey:
        if self.current is None or self.current[0] != index:
            key = await self._read(_open_key, self._key_of_mailbox(), self._label(index))
            if key is None or self.private is None:
                raise LetterGone(GONE)
            self.current = (index, key)
        return self.current[1]

    def _label(self, index: int) -> Label:
        mail = self.mails[index]
        return Label(self.mailbox.id, mail.id, mail.parts, mail.size)

    def _key_of_mailbox(self) -> MailboxKey:
        if self.private is None:
            raise LetterGone(GONE)
        return self.private

    async def _read(self, question: Callable[Concatenate[Connection, P], T], *arguments: P.args, **_: P.kwargs) -> T:
        return await self.pickup.workers.settle(self.pickup.database.read(question, *arguments, **_))

    async def _write(self, step: Callable[Concatenate[Connection, P], T], *arguments: P.args, **_: P.kwargs) -> T:
        return await self.pickup.workers.settle(self.pickup.database.write(step, *arguments, **_))


def _open_short(conn: Connection, key: MailboxKey, labels: Sequence[Label]) -> list[bytes | None]:
    """A question: the texts of short mails, None for what is gone or, unless it is the first, damaged."""
    found = mailboxes.short_mails(conn, [label.mail for label in labels])
    return [_open_one(key, label, found.get(label.mail), label is labels[0]) for label in labels]


def _open_one(key: MailboxKey, label: Label, found: tuple[bytes, bytes] | None, wanted: bool) -> bytes | None:
    if found is None:
        return None
    sealed, part = found
    try:
        return key.open_key(label, sealed).open_part(0, part)
    except SealBroken:
        if wanted:
            raise
        return None  # it is met again by who asks for this mail


def _open_key(conn: Connection, key: MailboxKey, label: Label) -> MailKey | None:
    """A question: the key of a mail, None if it is gone."""
    sealed = mailboxes.sealed_key(conn, label.mail)
    return None if sealed is None else key.open_key(label, sealed)


def _open_part(conn: Connection, key: MailKey, number: int) -> bytes | None:
    """A question: a part of a mail, None if it is gone."""
    sealed = mailboxes.part(conn, key.label.mail, number)
    return None if sealed is None else key.open_part(number, sealed)


def _finish(conn: Connection, mailbox: Mailbox, token: str, mails: Sequence[str], now: float) -> None:
    """A step: mails out, told, and the mailbox free."""
    if mails:
        count = mailboxes.remove_mails(conn, mailbox.id, token, mails)
        events.record(conn, history.emptied(mailbox, count, now))
    mailboxes.close_lease(conn, mailbox.id, token)
