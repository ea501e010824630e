"""One side of the keyserver: from a search to entries. What a stranger may ask, and what only a named network.

Not the dialogue, and not the store: entries come prepared from ``keys/published``. Strangers name an address whole
(threat 5.7.54): where their filter would let others pass, they get the one they named and nobody else.
"""

from __future__ import annotations

from typing import TypeAlias

import attrs

from securegw.keys.published import Published, Shelf
from securegw.mail.address import parse_address
from securegw.mail.errors import MailError
from securegw.servers import ldap_replies as replies
from securegw.servers.ldap_entries import Person, Shown, encode, prepare_person
from securegw.servers.ldap_filters import Filter, address_key, fits, fold, texts, whom
from securegw.servers.ldap_names import matched_name
from securegw.servers.ldap_pgp import asks_for_keys, asks_for_people, describe_key
from securegw.servers.ldap_requests import Compare, Search
from securegw.servers.ldap_root import Self
from securegw.servers.ldap_settings import LdapSettings

BASE_OBJECT, ONE_LEVEL = 0, 1
MOST_NAMED = 20  # addresses that one search may name
MOST_TEXTS = 5
SLICE = 200  # addresses that are looked at in one step of a search for a part of a name
MOST_SLICES = 10

Found: TypeAlias = list[Shown]


@attrs.frozen
class Outcome:
    """The encoded entries of an answer, its code, and a word for who reads diagnostics."""

    entries: tuple[bytes, ...] = ()
    code: int = replies.SUCCESS
    text: str = ""


class Directory:
    """Answers searches of one side of the house; ``shelf`` may be looked into directly."""

    def __init__(self, published: Published, settings: LdapSettings, *, ours: bool, start_tls: bool) -> None:
        self.settings = settings
        self._published = published
        self._ours = ours
        self.shelf: Shelf[Person] = published.shelf(ours=ours, prepare=prepare_person)
        self._self = Self(settings.base, start_tls)

    async def search(self, search: Search, *, known: bool) -> Outcome:
        """Everything that fits; what goes wrong in the store is said as a passing trouble, never as "nobody"."""
        try:
            return await self._search(search, known)
        except MailError:
            return Outcome((), replies.UNAVAILABLE, "The directory cannot be read now; please try again")

    async def _search(self, search: Search, known: bool) -> Outcome:
        base = search.base.encode()
        if search.scope == BASE_OBJECT:
            return await self._read(search, base)
        most = self.settings.entries_known if known else self.settings.entries
        named = whom(search.filter, strict=not known)
        if named is None and not known:
            return Outcome((), replies.ADMIN_LIMIT_EXCEEDED, "Please ask for a whole address")
        if named is not None and len(named) > MOST_NAMED:
            return Outcome((), replies.ADMIN_LIMIT_EXCEEDED, "Please ask for fewer addresses")
        wanted = min(most, search.size or most)
        found, whole = await self._find(search.filter, named, wanted)
        good = [entry for entry in found if fits(search.filter, entry.values())]
        below = base or self.settings.base.encode()
        entries = tuple(encode(entry, below, search.selection, search.types_only) for entry in good[:wanted])
        if len(good) > wanted:
            return Outcome(entries, replies.SIZE_LIMIT_EXCEEDED)
        return Outcome(entries, replies.SUCCESS if whole else replies.ADMIN_LIMIT_EXCEEDED)

    async def _read(self, search: Search, base: bytes) -> Outcome:
        """The entry with this name and no other."""
        entry: Shown | None = self._self.find(search.base)
        above = b""
        if entry is None:
            entry, above = await self._named(search.base)
        if entry is None:
            return Outcome((), replies.NO_SUCH_OBJECT)
        if not fits(search.filter, entry.values()):
            return Outcome()
        return Outcome((encode(entry, above, search.selection, search.types_only),))

    async def _named(self, name: str) -> tuple[Shown | None, bytes]:
        """The person with this distinguished name, and what it stands below."""
        first, rest = _split(name)
        kind, _, value = first.partition("=")
        key = address_key(value) if matched_name(kind) == "mail" else None
        return (await self.shelf.find(parse_address(key)) if key else None), rest.encode()

    async def _find(self, filter: Filter, named: frozenset[str] | None, wanted: int) -> tuple[Found, bool]:
        """Keys, people or both, as the filter speaks of them; and whether all were looked at."""
        found: Found = []
        whole = True
        if asks_for_keys(filter):
            found += await self._find_keys(filter, named, wanted)
        if asks_for_people(filter):
            people, whole = await self._find_people(filter, named, wanted)
            found += people
        return found, whole

    async def _find_keys(self, filter: Filter, named: frozenset[str] | None, wanted: int) -> Found:
        if named is not None:
            keys = await self._published.pgp_keys(named, self._ours)
        else:
            some = sorted(texts(filter))[0]
            keys = await self._published.search_pgp(some, wanted + 1, self._ours)
        return [describe_key(key) for key in keys]

    async def _find_people(self, filter: Filter, named: frozenset[str] | None, wanted: int) -> tuple[Found, bool]:
        if named is None:
            return await self._look_through(filter, wanted)
        found = [await self.shelf.find(parse_address(key)) for key in sorted(named) if not key.startswith("0x")]
        return [entry for entry in found if entry is not None], True

    async def _look_through(self, filter: Filter, wanted: int) -> tuple[Found, bool]:
        """Whoever fits, one more than wanted; found by a part of the address or name that all of them must have."""
        found: dict[bytes, Shown] = {}
        wished = sorted(texts(filter))
        whole = len(wished) <= MOST_TEXTS
        for text in wished[:MOST_TEXTS]:
            after = ""
            for _ in range(MOST_SLICES):
                entries, after = await self.shelf.search(text, after=after, limit=SLICE)
                found |= {entry.rdn: entry for entry in entries if fits(filter, entry.values())}
                if len(found) > wanted or not after:
                    break
            whole = whole and not after
        return list(found.values()), whole

    async def compare(self, asked: Compare) -> int:
        """The code that is the answer."""
        try:
            entry: Shown | None = self._self.find(asked.entry) or (await self._named(asked.entry))[0]
        except MailError:
            return replies.UNAVAILABLE
        if entry is None:
            return replies.NO_SUCH_OBJECT
        values = entry.values().get(matched_name(asked.name))
        if not values:
            return replies.NO_SUCH_ATTRIBUTE
        return replies.COMPARE_TRUE if fold(asked.value) in values else replies.COMPARE_FALSE


def _split(name: str) -> tuple[str, str]:
    """The first part of a distinguished name, unescaped, and the rest (RFC 4514 3)."""
    first, at = "", 0
    while at < len(name) and name[at] not in ",+;":
        if name[at] == "\\" and at + 1 < len(name):
            at += 1
        first += name[at]
        at += 1
    return first.strip(), name[at + 1 :].strip()
