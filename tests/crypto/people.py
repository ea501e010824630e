"""Who the tests of this room are about: authorities, and people with keys of theirs."""

from __future__ import annotations

import attrs

from securegw.crypto.authority import issue

NOW = 1_790_000_000.0


@attrs.frozen
class Person:
    address: str
    key: bytes
    der: bytes

    @property
    def pair(self) -> tuple[bytes, bytes]:
        return self.key, self.der


@attrs.frozen
class Authority:
    key: bytes
    der: bytes

    def person(self, address: str, kind: str = "rsa-2048", days: float = 365, now: float = NOW) -> Person:
        return Person(address, *issue(self.key, self.der, address=address, name="", kind=kind, days=days, now=now))
