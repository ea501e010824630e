"""What may be told of somebody's certificates to who asks for them: prepared entries, on two shelves.

One shelf holds our own users, the other one partners, and neither ever holds the other's (product row K10). An entry is
made when it is first asked for and stays until the store says that the address changed, a certificate of it begins or
ends to be valid, or an hour has passed. Not the wire: whoever publishes says into what an entry is prepared.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import attrs

from securegw.crypto.certificate import names_of, read_certificate
from securegw.crypto.pgp_outline import key_id, to_armor
from securegw.keys.trust import may_encrypt_to
from securegw.mail.address import parse_address
from securegw.mail.errors import MailError
from securegw.store import keychanges, keystore, people, pgpkeys
from securegw.store.pgpkeys import PgpKey

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from sqlalchemy import Connection

    from securegw.mail.address import Address
    from securegw.store.database import Database
    from securegw.workers.work import Work

__all__ = ["LOOK", "Entry", "Nothing", "PgpKey", "Published", "Shelf", "armored", "number_of"]


class Timed(Protocol):
    """What an entry is prepared into, which keeps the time until which it holds."""

    @property
    def until(self) -> float: ...


T = TypeVar("T", bound=Timed)

LOOK = 0.5  # seconds between two looks at what has changed
AGAIN = 3600.0  # an authority in a chain may have ended: judge again
STALE = 60.0  # while the database is away, what was true is told for so long
MOST = 250_000
OWN_SOURCES = ("issued", "imported")  # of our users: never what merely came in a mail


@attrs.frozen
class Entry:
    """Somebody and the certificates (DER) with which one may encrypt to her; ``until`` it has to be made again."""

    address: str
    until: float
    name: str = ""
    given: str = ""
    surname: str = ""
    certificates: tuple[bytes, ...] = attrs.field(default=(), repr=False)


@attrs.frozen
class Nothing:
    """Somebody of whom there is nothing to tell."""

    until: float


class Shelf(Generic[T]):
    """The entries of one side; ``ready`` are prepared ones by address key.

    ``ready`` may be looked into directly, as long as ``until`` of what lies there has not passed.
    """

    def __init__(self, published: Published, ours: bool, prepare: Callable[[Entry], T]) -> None:
        self.ready: dict[bytes, T | Nothing] = {}
        self._published = published
        self._ours = ours
        self._prepare = prepare

    async def find(self, address: Address) -> T | None:
        """What is known of an address, however it is spelled; raises a MailError of the store's."""
        [found] = await self._load([address.key])
        return found

    async def search(self, text: str, *, after: str, limit: int) -> tuple[list[T], str]:
        """Entries of up to ``limit`` addresses with a text in address or name, and the last one looked at or ""."""
        keys, last = await self._published.addresses(text, after, limit, self._ours)
        found = await self._load(keys)
        return [entry for entry in found if entry is not None], last

    async def _load(self, keys: list[str]) -> list[T | None]:
        now, turn = self._published.now(), self._published.turn
        rows = {key: row for key in keys if (row := self.ready.get(key.encode())) and row.until >= now}
        missing = [key for key in keys if key not in rows]
        if missing:
            made = await self._published.entries(missing, self._ours)
            rows |= {key: self._prepared(entry) for key, entry in made.items()}
        if turn == self._published.turn:  # else something has changed meanwhile, and this may be older
            for key in missing:
                self._put(key.encode(), rows[key])
        return [None if isinstance(row := rows[key], Nothing) else row for key in keys]

    def _prepared(self, entry: Entry) -> T | Nothing:
        return self._prepare(entry) if entry.certificates else Nothing(entry.until)

    def _put(self, key: bytes, row: T | Nothing) -> None:
        if len(self.ready) >= MOST:
            del self.ready[next(iter(self.ready))]
        self.ready[key] = row

    def forget(self, keys: Iterable[str] | None) -> None:
        """These have changed; None: all may have."""
        if keys is None:
            self.ready.clear()
        else:
            for key in keys:
                self.ready.pop(key.encode(), None)


class Published:
    """Reads and judges for the shelves, and watches the store for changes.

    ``domains`` are ours now; ``expired``: certificates that have ended are told too.
    """

    def __init__(
        self,
        database: Database,
        workers: Work,
        now: Callable[[], float],
        domains: Callable[[], Collection[str]],
        *,
        expired: bool = False,
    ) -> None:
        self.database = database
        self.workers = workers
        self.now = now
        self.turn = 0
        self._domains = domains
        self._expired = expired
        self._shelves: dict[tuple[bool, Callable[[Entry], Any]], Shelf[Any]] = {}
        self._known: frozenset[str] = frozenset()
        self._before = keychanges.NEVER
        self._looked = now()
        self._known_authorities: tuple[int, list[bytes], list[bytes]] = (-1, [], [])

    @property
    def looked(self) -> float:
        """When it was last known what has changed."""
        return self._looked

    def shelf(self, *, ours: bool, prepare: Callable[[Entry], T]) -> Shelf[T]:
        """The shelf of one side; listeners that prepare alike share it."""
        key = (ours, prepare)
        if key not in self._shelves:
            self._shelves[key] = Shelf(self, ours, prepare)
        shelf: Shelf[T] = self._shelves[key]
        return shelf

    async def look(self) -> None:
        """Forget what has changed since the last look; without a database everything is forgotten after a while."""
        try:
            changes = await self.workers.settle(self.database.read(keychanges.since, self._before))
        except MailError:  # others who look as often say so
            if self.now() - self._looked > STALE:
                self._forget(None)
            return
        self._looked = self.now()
        known = frozenset(self._domains())
        if known != self._known or changes.addresses is None or "" in changes.addresses:
            self._forget(None)
        elif changes.addresses:
            self._forget(changes.addresses)
        self._known, self._before = known, changes

    def _forget(self, keys: Iterable[str] | None) -> None:
        self.turn += 1
        for shelf in self._shelves.values():
            shelf.forget(keys)

    # --- for the shelves ------------------------------------------------------------------------------------------

    def belongs(self, key: str, ours: bool) -> bool:
        """Whether an address stands on that side."""
        return (key.rpartition("@")[2] in self._domains()) is ours

    async def entries(self, keys: list[str], ours: bool) -> dict[str, Entry]:
        """An entry for each address key; without certificates if there is nothing to tell on this side."""
        mine = [key for key in keys if self.belongs(key, ours)]
        made = await self.workers.settle(self.database.read(self._make, mine, ours)) if mine else {}
        nothing = self.now() + AGAIN
        return {key: made.get(key) or Entry(key, nothing) for key in keys}

    async def pgp_keys(self, names: Collection[str], ours: bool) -> list[PgpKey]:
        """The OpenPGP keys of this side with one of these names: address keys, 0xNUMBER."""
        found = await self.workers.settle(self.database.read(pgpkeys.find, sorted(names)))
        return [key for key in found if self._may_tell(key, ours)]

    async def search_pgp(self, text: str, limit: int, ours: bool) -> list[PgpKey]:
        """The OpenPGP keys of this side with a text in a user ID or name."""
        found = await self.workers.settle(self.database.read(pgpkeys.search, text, limit=limit))
        return [key for key in found if self._may_tell(key, ours)]

    def _may_tell(self, key: PgpKey, ours: bool) -> bool:
        """A key with one of our addresses is ours, whatever other addresses are in it."""
        is_ours = any(self.belongs(address, True) for address in key.addresses)
        return is_ours is ours and (self._expired or key.expires is None or self.now() < key.expires)

    async def addresses(self, text: str, after: str, limit: int, ours: bool) -> tuple[list[str], str]:
        """Keys of this side with a text in them, and the last key looked at, "" if there are no more."""
        keys = await self.workers.settle(
            self.database.read(keystore.addresses_with, text, after=after, limit=limit)
        )
        mine = [key for key in keys if self.belongs(key, ours)]
        return mine, keys[-1] if len(keys) == limit else ""

    def _make(self, connection: Connection, keys: list[str], ours: bool) -> dict[str, Entry]:
        roots, between = self._authorities(connection)
        made = {}
        for key in keys:
            rows = keystore.find(connection, key)
            user = people.get_user(connection, key) if ours and rows else None
            mine = [row for row in rows if not ours or row.source in OWN_SOURCES]
            made[key] = self._entry(key, mine, user.name if user else "", between, roots)
        return made

    def _authorities(self, connection: Connection) -> tuple[list[bytes], list[bytes]]:
        """The roots, and what may stand between; read again when anything has changed."""
        turn, roots, between = self._known_authorities
        if turn != self.turn:
            turn = self.turn
            roots = [row.der for row in keystore.roots(connection)]
            between = [row.der for row in keystore.intermediates(connection)]
            self._known_authorities = (turn, roots, between)
        return roots, between

    def _entry(
        self, key: str, rows: list[keystore.Held], name: str, between: list[bytes], roots: list[bytes]
    ) -> Entry:
        now = self.now()
        spelled = [(row, address) for row in rows if (address := _spelled(row.der, key))]
        good = [
            (row.der, address)
            for row, address in spelled
            if may_encrypt_to(row, address, between, roots, self._moment(row, now))[0]
        ]
        changes = [at for row in rows for at in (row.not_before, row.not_after) if at > now]
        until = min([now + AGAIN, *changes])
        if not good:
            return Entry(key, until)
        cn, given, surname = names_of(good[0][0])
        return Entry(str(good[0][1]), until, name or cn, given, surname, tuple(der for der, _ in good))

    def _moment(self, row: keystore.Held, now: float) -> float:
        """When a certificate is judged: now, or at the last moment of one that has ended."""
        return min(now, row.not_after) if self._expired else now


def _spelled(der: bytes, key: str) -> Address | None:
    """The address as its certificate spells it: who asks need not know its capital letters."""
    found = (parse_address(text) for text in read_certificate(der).addresses)
    return next((address for address in found if address.key == key), None)


def armored(key: PgpKey) -> bytes:
    """An OpenPGP key as text."""
    return to_armor(key.key)


def number_of(fingerprint: str) -> str:
    """The key ID of an OpenPGP fingerprint."""
    return key_id(fingerprint)
