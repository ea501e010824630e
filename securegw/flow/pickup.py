"""Mail is picked up from mailboxes: the password opens the mailbox's key, and with it one mail after the other.

Not the dialogue (servers/pop3) and not the check of passwords (keys/mailboxes). Long mails are read part by part, as
the reader takes them; of short ones some are read ahead, so that a program that fetches all of them waits for the
store only now and then. A part is opened here and not by a worker: that takes a tenth of a millisecond, and less than
the way to a worker. What is deleted is deleted at the end, in one transaction, or not at all (RFC 1939 6).
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
from securegw.crypto.mailbox import Label, MailKey, open_key
from securegw.crypto.seal import PrivateKey
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
    from securegw.workers import Work

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
            key = await self.workers.thread(PrivateKey, private)
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
    private: PrivateKey | None = attrs.field(repr=False)
    mails: tuple[Kept, ...]
    ahead: dict[int, tuple[bytes, bytes]] = attrs.field(init=False, factory=dict, repr=False)
    loading: Deferred[None] | None = attrs.field(init=False, default=None)
    window: int = attrs.field(init=False, default=1)
    last: int = attrs.field(init=False, default=-1)
    next: tuple[int, bytes] | None = attrs.field(init=False, default=None, repr=False)
    current: tuple[int, MailKey] | None = attrs.field(init=False, default=None, repr=False)

    async def part(self, index: int, number: int) -> bytes:
        """A part of a mail, as it stands in it."""
        if self.mails[index].parts == 1:
            return await self._short(index)
        key, self.last = await self._key(index), index
        sealed = await self._read(mailboxes.part, self.mails[index].id, number)
        if sealed is None:
            raise LetterGone(GONE)
        return key.open_part(number, sealed)

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
        self.private = self.current = self.next = None
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
        text = self._open_short(index) if self.next is None or self.next[0] != index else self.next[1]
        if index == self.last + 1:
            self.ahead.pop(self.last, None)
            self._go_ahead()
        elif index != self.last:
            self.ahead = {held: sealed for held, sealed in self.ahead.items() if held >= index}
        self.last = index
        return text

    def _open_short(self, index: int) -> bytes:
        key, part = self.ahead[index]
        return open_key(self._key_of_mailbox(), self._label(index), key).open_part(0, part)

    def _open_next(self) -> None:
        """While the reader takes a mail: so the next one is ready when he asks for it."""
        index = self.last + 1
        if self.private is not None and index in self.ahead:
            with suppress(SealBroken):  # it is met again by who asks for the mail
                self.next = (index, self._open_short(index))

    def _go_ahead(self) -> None:
        """Who takes one after the other gets more of them read, before he has taken those that are."""
        later = self.pickup.clock.callLater
        later(0, later, 0, self._open_next)  # two turns of the reactor: in the first one this mail is sent
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
        found = await self._read(mailboxes.short_mails, [self.mails[index].id for index in run])
        there = {index: found[self.mails[index].id] for index in run if self.mails[index].id in found}
        if run[0] not in there or self.private is None:
            raise LetterGone(GONE)
        self.ahead.update(there)

    # --- long mails -----------------------------------------------------------------------------------------------

    async def _key(self, index: int) -> MailKey:
        if self.current is None or self.current[0] != index:
            sealed = await self._read(mailboxes.sealed_key, self.mails[index].id)
            if sealed is None:
                raise LetterGone(GONE)
            self.current = (index, open_key(self._key_of_mailbox(), self._label(index), sealed))
        return self.current[1]

    def _label(self, index: int) -> Label:
        mail = self.mails[index]
        return Label(self.mailbox.id, mail.id, mail.parts, mail.size)

    def _key_of_mailbox(self) -> PrivateKey:
        if self.private is None:
            raise LetterGone(GONE)
        return self.private

    async def _read(self, question: Callable[Concatenate[Connection, P], T], *arguments: P.args, **_: P.kwargs) -> T:
        return await self.pickup.workers.settle(self.pickup.database.read(question, *arguments, **_))

    async def _write(self, step: Callable[Concatenate[Connection, P], T], *arguments: P.args, **_: P.kwargs) -> T:
        return await self.pickup.workers.settle(self.pickup.database.write(step, *arguments, **_))


def _finish(conn: Connection, mailbox: Mailbox, token: str, mails: Sequence[str], now: float) -> None:
    """A step: mails out, told, and the mailbox free."""
    if mails:
        count = mailboxes.remove_mails(conn, mailbox.id, token, mails)
        events.record(conn, history.emptied(mailbox, count, now))
    mailboxes.close_lease(conn, mailbox.id, token)
