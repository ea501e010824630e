"""What may go from the keystore, and what never does."""

from __future__ import annotations

import attrs
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from securegw.crypto import authority
from securegw.crypto.certificate import load, read_certificate
from securegw.crypto.keyfile import load_key
from securegw.keys.issue import held
from securegw.keys.tidy import DAY, superfluous, tidy
from securegw.store import events, keystore
from tests.support.world import START, World, own_authority, person

CAROL, ANN = "carol@partner.test", "ann@inside.test"


def learned(world: World, der: bytes, address: str = CAROL, **changed: object) -> keystore.Held:
    read = read_certificate(der)
    row = keystore.Held(
        address=address, der=read.der, fingerprint=read.fingerprint, source="harvested", trust="unknown",
        not_before=read.not_before, not_after=read.not_after, created=START,
    )  # fmt: skip
    row = attrs.evolve(row, **changed)  # type: ignore[arg-type]
    return attrs.evolve(row, id=world.write(keystore.add, row))


def issued(days: float) -> bytes:
    return authority.issue(*own_authority(), address=CAROL, name="C", days=days, now=START, kind="p-256")[1]


@pytest.mark.parametrize(
    ("changed", "goes"),
    [
        ({"not_after": START - 91 * DAY}, True),
        ({"not_after": START - 89 * DAY}, False),
        ({"not_after": START - 91 * DAY, "source": "imported"}, False),
        ({"not_after": START - 91 * DAY, "trust": "trusted"}, False),
        ({"not_after": START - 91 * DAY, "trust": "refused"}, False),
        ({"trust": "quarantined", "created": START - 91 * DAY}, True),
        ({"trust": "quarantined", "created": START - 89 * DAY}, False),
    ],
)
def test_what_has_expired_or_was_never_decided(world: World, changed: dict[str, object], goes: bool) -> None:
    row = learned(world, person(CAROL).certificate, **changed)
    gone = world.write(tidy, START, 90.0)
    assert [each.id for each, _ in gone] == ([row.id] if goes else [])
    assert (world.read(keystore.find, CAROL) == []) is goes
    told = world.read(lambda c: events.find(c, kind="key-tidied"))
    assert len(told) == goes


def test_with_a_private_key_it_stays(world: World) -> None:
    ann = person(ANN)
    row = held(world.master, ann.key, ann.certificate, source="harvested", trust="unknown", now=START, address=ANN)
    world.write(keystore.add, attrs.evolve(row, not_after=START - 400 * DAY))
    assert world.write(tidy, START, 90.0) == []


def test_of_two_for_one_key_the_longer_one_stays(world: World) -> None:
    first = load(person(CAROL).certificate)
    key = load_key(own_authority()[0])

    def again(days: int) -> bytes:
        builder = (
            x509.CertificateBuilder(extensions=list(first.extensions))
            .subject_name(first.subject).issuer_name(first.issuer).public_key(first.public_key())
            .serial_number(x509.random_serial_number()).not_valid_before(first.not_valid_before_utc)
            .not_valid_after(first.not_valid_before_utc.replace(year=first.not_valid_before_utc.year + days))
        )  # fmt: skip
        return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)

    rows = [learned(world, again(years)) for years in (5, 9, 7)]
    other = learned(world, issued(10))
    gone = {each.id: reason for each, reason in world.read(superfluous, START, 90.0)}
    assert gone == {rows[0].id: "replaced", rows[2].id: "replaced"}
    assert other.id not in gone


def test_the_clock_does_it(world: World) -> None:
    learned(world, person(CAROL).certificate, not_after=START - 91 * DAY)
    world.wait(world.house.retention.tick())
    assert world.read(keystore.find, CAROL) == []
