"""Whose key is there: asks the store first; the world comes later.

Answers are kept for a second, so that a burst of mails to one address asks once and a new key is seen at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from securegw.crypto.certificate import read_certificate
from securegw.crypto.choice import Choice, choose
from securegw.fresh import Fresh
from securegw.keys.issue import PRIVATE_KEY, Signing
from securegw.keys.trust import NEVER, chain_of, may_encrypt_to
from securegw.store import keystore
from securegw.workers.parcels import Lasting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sqlalchemy import Connection

    from securegw.crypto.seal import MasterKey
    from securegw.keys.settings import KeysSettings
    from securegw.mail.address import Address
    from securegw.store.database import Database
    from securegw.workers.work import Work


@attrs.frozen
class Usable:
    """What can protect a mail for one recipient: certificates (DER) that may be used now, and how that suits all."""

    certificates: tuple[bytes, ...] = ()
    choice: Choice = Choice()
    reasons: tuple[str, ...] = ()

    @property
    def methods(self) -> frozenset[str]:
        return frozenset({"smime"}) if self.certificates else frozenset()


ALL = ""


def suits(rows: Iterable[keystore.Held]) -> Choice:
    """How a mail is sealed for all of these certificates at once."""
    return choose({row.der: row.announced.split() for row in rows})


def _known(connection: Connection, address: str) -> tuple[bytes, ...]:
    own = [row.der for row in keystore.find(connection, address) if row.trust not in NEVER]
    return (*own, *(row.der for row in keystore.intermediates(connection)))


class Keyring:
    """The keys of users and partners, as the rooms above ask for them."""

    def __init__(
        self, settings: KeysSettings, database: Database, workers: Work, master: MasterKey, now: Callable[[], float]
    ) -> None:
        self.settings = settings
        self.database = database
        self.workers = workers
        self.master = master
        self.now = now
        self._usable: Fresh[Usable] = Fresh(now)
        self._signing: Fresh[Signing | None] = Fresh(now)
        self._openers: Fresh[tuple[tuple[bytes, bytes], ...]] = Fresh(now)
        self._known: Fresh[tuple[bytes, ...]] = Fresh(now)
        self._roots: Fresh[tuple[bytes, ...]] = Fresh(now)

    async def usable(self, addresses: Iterable[Address]) -> dict[str, Usable]:
        """For each address (by key) the certificates that may encrypt to it now."""
        wanted = {address.key: address for address in addresses}
        missing = [address for key, address in wanted.items() if not self._usable.knows(key)]
        found: dict[str, Usable] = {}
        if missing:
            found = await self.workers.settle(self.database.read(self._judge, missing))
            for key, usable in found.items():
                self._usable.keep(key, usable)
        return {key: found.get(key) or self._usable[key] for key in wanted}

    async def signing(self, address: Address) -> Signing | None:
        """The key with which a user signs now, or None."""
        if self._signing.knows(address.key):
            return self._signing[address.key]
        rows = await self.workers.settle(self.database.read(keystore.with_private, address.key))
        return self._signing.keep(address.key, await self._newest(rows))

    async def openers(self, address: Address) -> tuple[tuple[bytes, bytes], ...]:
        """All pairs of private key and certificate with which mail to a user may be opened, expired ones too."""
        if self._openers.knows(address.key):
            return self._openers[address.key]
        rows = await self.workers.settle(self.database.read(keystore.with_private, address.key))
        found = tuple((self._private(row), row.der) for row in rows)
        return self._openers.keep(address.key, found) if found else ()

    async def known(self, author: Address | None) -> tuple[bytes, ...]:
        """Certificates by which a signature may be checked that brings none: the author's, and what lies between."""
        if author is None:
            return ()
        if self._known.knows(author.key):
            return self._known[author.key]
        return self._known.keep(author.key, await self.workers.settle(self.database.read(_known, author.key)))

    async def roots(self) -> tuple[bytes, ...]:
        """The trusted roots (DER)."""
        if self._roots.knows(ALL):
            return self._roots[ALL]
        rows = await self.workers.settle(self.database.read(keystore.roots))
        return self._roots.keep(ALL, Lasting(row.der for row in rows))

    def forget(self, address: Address) -> None:
        """Something about this address was changed here."""
        self._usable.forget(address.key)
        self._signing.forget(address.key)
        self._openers.forget(address.key)
        self._known.forget(address.key)

    def _judge(self, connection: Connection, addresses: list[Address]) -> dict[str, Usable]:
        roots = [row.der for row in keystore.roots(connection)]
        between = [row.der for row in keystore.intermediates(connection)]
        found = {address: keystore.find(connection, address.key) for address in addresses}
        return {address.key: self._judge_one(rows, address, between, roots) for address, rows in found.items()}

    def _judge_one(
        self, rows: list[keystore.Held], address: Address, between: list[bytes], roots: list[bytes]
    ) -> Usable:
        good, reasons = [], []
        for row in rows:
            may, reason = may_encrypt_to(row, address, between, roots, self.now())
            reasons.append(f"{row.fingerprint[:16]}: {reason}")
            if may:
                good.append(row)
        return Usable(tuple(row.der for row in good), suits(good), tuple(reasons))

    async def _newest(self, rows: list[keystore.Held]) -> Signing | None:
        """With a certificate that only signs goes the user's other one, so that he can be answered (RFC 8551 2.5.3)."""
        at = self.now()
        valid = [row for row in rows if row.not_before <= at <= row.not_after and row.trust not in NEVER]
        signers = [row for row in valid if read_certificate(row.der).may_sign]
        if not signers:
            return None
        row = max(signers, key=lambda row: row.not_after)
        authorities = await self.workers.settle(self.database.read(keystore.authorities))
        chain = chain_of(row.der, authorities)
        if not read_certificate(row.der).may_encrypt:
            readers = [other for other in valid if read_certificate(other.der).may_encrypt]
            chain = (*(other.der for other in readers[:1]), *chain)
        return Signing(self._private(row), row.der, chain, self.settings.signature, self.settings.rsa_signature)

    def _private(self, row: keystore.Held) -> bytes:
        assert row.private is not None
        return self.master.open(PRIVATE_KEY, row.fingerprint, row.private)
