"""Who is in the store of the LDAP tests."""

from __future__ import annotations

from collections.abc import Iterator

import attrs
import pytest

from securegw.crypto import authority as authorities
from securegw.crypto.pgp_outline import read_keys
from securegw.keys.issue import held
from securegw.mail.address import parse_path
from securegw.store import keystore, pgpkeys
from tests.support import pgp
from tests.support.world import START, World, own_authority, person

CAROL, ANN = "carol@partner.test", "ann@inside.test"


def add_carol(world: World, address: str = CAROL, **changed: object) -> bytes:
    """A partner with a certificate of an authority that is trusted; the certificate."""
    someone = person(address)
    world.trust(someone.root)
    return add(world, someone.certificate, address, **{"source": "harvested", "trust": "unknown", **changed})


def add_ann(world: World, address: str = ANN, name: str = "Ann Keller") -> bytes:
    """One of our users with a certificate that we issued."""
    key, root = own_authority()
    _, der = authorities.issue(key, root, address=address, name=name, kind="p-256", days=300, now=START - 60)
    return add(world, der, address, source="issued", trust="trusted")


def add(world: World, der: bytes, address: str, **fields: object) -> bytes:
    row = held(
        world.master, None, der, source="imported", trust="trusted", now=START, address=parse_path(address).key
    )
    world.write(keystore.add, attrs.evolve(row, **fields))
    return der


def add_pgp(world: World, user_id: str = f"Carol Meier <{CAROL}>", seed: int = 1) -> str:
    """An OpenPGP key; its fingerprint."""
    [outline] = read_keys(pgp.key(user_id, seed=seed))
    fields = attrs.asdict(outline, filter=attrs.filters.exclude("revoked"))
    world.write(pgpkeys.put, pgpkeys.PgpKey(**fields, added=START), outline.names)
    return outline.fingerprint


@pytest.fixture(scope="module")
def settled() -> Iterator[World]:
    """A world with all of them, for tests that only ask: making one takes longer than asking."""
    made = World()
    add_carol(made)
    add_ann(made)
    add_pgp(made)
    yield made
    made.close()
