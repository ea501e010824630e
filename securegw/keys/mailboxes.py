"""The keys of archive mailboxes: opened by their passwords, and who guesses is held back longer each time.

Not the pick-up (flow/pickup). The password is checked where all are, in ``accounts``: it opens the key or it does not.
A delay and no lock: nobody is kept out of a mailbox by others who guess (NIST SP 800-63B-4 3.2.2).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING

import attrs
import txaio

from securegw.accounts import FORGOTTEN, FREE_OF_LOGIN, FREE_OF_SOURCE, LONGEST_NAME, SOURCE_FORGETS
from securegw.mail.address import parse_address
from securegw.mail.errors import BadAddress, WrongPassword
from securegw.store import limits, mailboxes

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from securegw.accounts import Accounts
    from securegw.store.database import Database
    from securegw.store.mailboxes import Mailbox
    from securegw.workers.work import Work

log = txaio.make_logger()

FREE = 1  # a program's password is pasted once; who errs a second time is held back
HOLDS = (1.0, 2.0, 4.0, 8.0, 15.0)

Counter = tuple[str, int, float]  # key, free tries, seconds until forgotten


@attrs.define(eq=False, kw_only=True)
class MailboxKeys:
    """Opens a mailbox's private key with its password."""

    accounts: Accounts
    database: Database
    workers: Work
    now: Callable[[], float]

    async def count_try(self, name: str, source: str) -> float:
        """Count a try before it is made; the seconds for which it has to be held back.

        Twenty at once are counted as twenty. ``source`` is the network of the peer.
        """
        counters = _counters(_key(name), source)
        return await self.workers.settle(self.database.write(_count, counters, self.now()))

    async def open(self, name: str, password: str, source: str) -> tuple[Mailbox, bytes]:
        """The mailbox of an address or id, with its private key; raises WrongPassword or TooManyTries.

        An unknown mailbox gets the answer of a wrong password, and as late.
        """
        key = _key(name)
        mailbox = await self.workers.settle(self.database.read(mailboxes.get, key))
        try:
            private = await self.accounts.unwrap(password, None if mailbox is None else mailbox.wrapped)
        except WrongPassword:
            log.info("mailbox refused, {mailbox}", mailbox=mailbox.id if mailbox else "unknown")
            raise
        assert mailbox is not None, "nothing opens what is not there"
        keys = [key for key, _, _ in _counters(key, source)]
        await self.workers.settle(self.database.write(_forget, keys))
        return mailbox, private


def _count(conn: Connection, counters: list[Counter], now: float) -> float:
    counted = [(limits.failed(conn, key, now, forget).count - 1, free) for key, free, forget in counters]
    return max((HOLDS[min(before - free, len(HOLDS) - 1)] for before, free in counted if before >= free), default=0.0)


def _forget(conn: Connection, keys: list[str]) -> None:
    for key in keys:
        limits.clear(conn, key)


def _key(name: str) -> str:
    """An address as it is folded, or the id as it stands; what is neither is looked for all the same."""
    try:
        return parse_address(name).key
    except BadAddress:
        return name[:LONGEST_NAME].lower().replace("\0", "?")


def _counters(key: str, source: str) -> list[Counter]:
    """A mailbox is guessed at from one network, from all of them, and a network guesses at many."""
    name = hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
    return [
        (f"mailbox:{name}:{source}", FREE, FORGOTTEN),
        (f"mailbox:{name}", FREE_OF_LOGIN, SOURCE_FORGETS),
        (f"source:{source}", FREE_OF_SOURCE, SOURCE_FORGETS),
    ]
