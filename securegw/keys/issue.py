"""Makes keys and certificates for our own users, on demand, by the internal authority.

Not a certificate authority with a desk: requests to other authorities come here later and look the same from above.
RFC 5280; S/MIME certificates as RFC 8550 4.4 wants them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import txaio
from twisted.internet.defer import DeferredLock

from securegw.crypto import authority
from securegw.crypto.certificate import found_by, read_certificate
from securegw.crypto.smime import Form, Scheme
from securegw.keys.settings import KeysSettings, list_url
from securegw.keys.trust import NEVER
from securegw.mail.errors import Later
from securegw.store import keystore

if TYPE_CHECKING:
    from collections.abc import Callable

    from securegw.crypto.seal import MasterKey
    from securegw.mail.address import Address
    from securegw.store.database import Database
    from securegw.workers.work import Work

log = txaio.make_logger()

PRIVATE_KEY = "private-key"
AUTHORITY_YEARS = 20


@attrs.frozen
class Signing:
    """What signing takes: a private key (PKCS #8 DER), its certificate and the chain up to the root (DER), and how."""

    key: bytes
    certificate: bytes
    chain: tuple[bytes, ...] = ()
    form: Form = "detached"
    scheme: Scheme = "pkcs1"


def authority_row(master: MasterKey, name: str, now: float) -> keystore.Held:
    """A new internal authority as a row: its own root, its private key sealed."""
    key, der = authority.make_authority(name, years=AUTHORITY_YEARS, now=now)
    return held(master, key, der, source="authority", trust="trusted", now=now)


def held(
    master: MasterKey,
    key: bytes | None,
    der: bytes,
    *,
    source: str,
    trust: str,
    now: float,
    address: str = "",
) -> keystore.Held:
    """A certificate (and its private key, sealed) as the row that keeps it."""
    read = read_certificate(der)
    sealed = None if key is None else master.seal(PRIVATE_KEY, read.fingerprint, key)
    return keystore.Held(
        address=address,
        der=read.der,
        fingerprint=read.fingerprint,
        source=source,
        trust=trust,
        private=sealed,
        not_before=read.not_before,
        not_after=read.not_after,
        created=now,
        names=found_by(der) if address else "",
    )


class Issuer:
    """Gives every user a key: the one there is, or a new one. While one is being made the others wait for it."""

    def __init__(
        self, settings: KeysSettings, database: Database, workers: Work, master: MasterKey, now: Callable[[], float]
    ) -> None:
        self.database = database
        self.workers = workers
        self.master = master
        self.now = now
        self.settings = settings
        self.turn = DeferredLock()

    async def issue(self, address: Address, name: str) -> keystore.Held:
        """Make a key pair and a certificate for one of our users, and keep both."""
        await self.turn.acquire()
        try:
            return await self._issue(address, name)
        finally:
            self.turn.release()

    async def _issue(self, address: Address, name: str) -> keystore.Held:
        there = await self.workers.settle(self.database.read(keystore.with_private, address.key))
        fresh = [row for row in there if row.not_after > self.now() and row.trust not in NEVER and _signs(row)]
        if fresh:
            return fresh[0]
        row = await self.workers.thread(self._make, await self._authority(), address, name)
        await self.workers.settle(self.database.write(keystore.add, row))
        log.info("issued a certificate for {address}", address=str(address), fingerprint=row.fingerprint)
        return row

    async def _authority(self) -> keystore.Held:
        row = await self.workers.settle(self.database.read(keystore.authority))
        if row is None:
            raise Later("There is no internal authority; make one with: securegw keys authority.")
        return row

    def _make(self, ours: keystore.Held, address: Address, name: str) -> keystore.Held:
        if ours.private is None:
            raise Later(detail="the internal authority has no private key here")
        authority_key = self.master.open(PRIVATE_KEY, ours.fingerprint, ours.private)
        key, der = authority.issue(
            authority_key,
            ours.der,
            address=str(address),
            name=name,
            kind=self.settings.kind,
            days=self.settings.days,
            now=self.now(),
            crl_url=list_url(self.settings, ours.fingerprint),
        )
        return held(self.master, key, der, source="issued", trust="trusted", now=self.now(), address=address.key)


def _signs(row: keystore.Held) -> bool:
    return read_certificate(row.der).may_sign
