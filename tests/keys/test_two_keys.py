"""A user with one certificate to sign and another one for what is sent to her: the people of RFC 9216 are built so."""

from __future__ import annotations

import attrs
import pytest

from securegw.crypto import smime
from securegw.crypto.choice import Choice
from securegw.crypto.smime import Opened
from securegw.keys.issue import held
from securegw.mail.address import parse_address
from securegw.store import domains, keystore
from tests.crypto import test_rfc9216 as rfc9216
from tests.support.world import OUTSIDE, START, World, person

CAROL = "carol@partner.test"


def imported(world: World, name: str, use: str, *, shorter: float = 0.0) -> None:
    row = held(
        world.master,
        rfc9216.key(f"{name}.{use}"),
        rfc9216.certificate(f"{name}.{use}").der,
        source="imported",
        trust="trusted",
        now=START,
        address=f"{name}@smime.example",
    )
    world.write(keystore.add, attrs.evolve(row, not_after=row.not_after - shorter))


@pytest.fixture(params=["alice", "dana"])
def user(world: World, request: pytest.FixtureRequest) -> str:
    """The certificate to read with lasts longer: it must not be taken for the better one to sign."""
    name = str(request.param)
    world.write(domains.add_domain, domains.Domain("smime.example", "[10.0.0.1]:25", "may"))
    world.later(5)
    world.trust(rfc9216.root_of(name).der)
    imported(world, name, "sign", shorter=86_400)
    imported(world, name, "encrypt")
    return name


def signed_mail(world: World, name: str) -> Opened:
    carol = person(CAROL)
    world.know(carol)
    address = f"{name}@smime.example"
    world.send(address, CAROL, "secret", subject="[confidential] x")
    [mail] = world.sent_to(CAROL)
    roots = [rfc9216.root_of(name).der, *(row.der for row in world.roots())]
    return smime.open(mail.raw, [(carol.key, carol.certificate)], roots, START, parse_address(address))


def test_she_signs_with_the_one_and_is_answered_by_the_other(world: World, user: str) -> None:
    opened = signed_mail(world, user)
    assert opened.verdict.signed_ok
    assert opened.certificates == (rfc9216.certificate(f"{user}.encrypt").der,)
    assert ("rsa-oaep" if user == "alice" else "hkdf-sha256") in opened.announced
    answer = b"From: carol@partner.test\r\nSubject: y\r\nMIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\nyes\r\n"
    sealed = smime.encrypt(answer, opened.certificates, Choice("aes-256-gcm"))
    world.hand_in(CAROL, [f"{user}@smime.example"], sealed, OUTSIDE)
    [got] = world.sent_to(f"{user}@smime.example")
    assert got.raw.endswith(b"yes\r\n")


def test_who_has_only_a_key_to_read_with_is_issued_one_to_sign(world: World) -> None:
    world.write(domains.add_domain, domains.Domain("smime.example", "[10.0.0.1]:25", "may"))
    world.later(5)
    imported(world, "alice", "encrypt")
    assert signed_mail(world, "alice").verdict.signed_ok
