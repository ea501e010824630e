"""What is inside of a seal counts for the rules: of what comes in once it is open, of what leaves as a doubt."""

from __future__ import annotations

import attrs
import pytest

from securegw.crypto import smime
from securegw.store import keystore, quarantine
from tests.support.rules import load
from tests.support.world import OUTSIDE, World, person

ANN, BOB, CAROL = "ann@inside.test", "bob@outside.test", "carol@partner.test"
NO_PROGRAMS = """
[[rule]]
name = "programs"
when = { direction = "incoming", attachment = "*.exe" }
quarantine = "a program"
"""
RAW = (
    b"From: carol@partner.test\r\nTo: ann@inside.test\r\nSubject: x\r\nMessage-ID: <e@p.test>\r\nMIME-Version: 1.0\r\n"
    b'Content-Type: application/octet-stream; name="run.exe"\r\n\r\nMZ\r\n'
)
PATTERN = '[patterns]\np = "file no. ########"\n'


@pytest.fixture
def ready(world: World) -> World:
    world.house.issuer.settings = attrs.evolve(world.house.issuer.settings, kind="p-256")
    world.send(ANN, "x@y.test", subject="[sign] makes Ann's key")
    load(world, NO_PROGRAMS)
    return world


def sealed(world: World, raw: bytes = RAW) -> bytes:
    return smime.encrypt(raw, [world.read(keystore.with_private, ANN)[0].der])


def kept(world: World) -> list[str]:
    return [item.recipients[0].address for _, item in world.read(quarantine.list_kept)]


def release(world: World) -> None:
    ids = tuple(item.id for _, item in world.read(quarantine.list_kept))
    world.write(quarantine.end, quarantine.Verdict(ids, "released", world.clock.seconds()))
    world.later(1)


@pytest.mark.parametrize("form", ["plain", "sealed", "opaque", "both"])
def test_a_file_is_found_in_every_wrapping(ready: World, form: str) -> None:
    carol = person(CAROL)
    ready.trust(carol.root)
    opaque = smime.sign(RAW, carol.key, carol.certificate, (carol.root,), ready.clock.seconds(), form="opaque")
    raw = {"plain": RAW, "sealed": sealed(ready), "opaque": opaque, "both": sealed(ready, opaque)}[form]
    ready.hand_in(CAROL, [ANN], raw, OUTSIDE)
    assert ready.sent_to(ANN) == []
    assert kept(ready) == [ANN]
    release(ready)
    assert b"run.exe" in ready.sent_to(ANN)[0].raw


def test_what_cannot_be_opened_is_no_doubt_for_who_is_outside(ready: World) -> None:
    stranger = person("other@partner.test")
    ready.hand_in(CAROL, [ANN], smime.encrypt(RAW, [stranger.certificate]), OUTSIDE)
    assert len(ready.sent_to(ANN)) == 1


def test_r10_what_is_opened_later_is_judged_then(ready: World) -> None:
    """Reprocessing is no way around the rules for what comes in."""
    ready.hand_in(ANN, ["reprocess@inside.test"], sealed(ready))
    assert ready.sent_to(ANN) == []
    assert kept(ready) == ["reprocess@inside.test"]
    release(ready)
    assert b"run.exe" in ready.sent_to(ANN)[0].raw
    assert kept(ready) == []


@pytest.mark.parametrize("form", ["smime", "pgp"])
def test_what_somebody_of_ours_seals_himself_is_a_doubt(world: World, form: str) -> None:
    rule = '[[rule]]\nname = "data"\nwhen = { direction = "outgoing", pattern = "p" }\nquarantine = "look"\n'
    load(world, rule, PATTERN)
    head = f"From: {ANN}\r\nTo: {BOB}\r\nSubject: x\r\nMIME-Version: 1.0\r\n".encode()
    if form == "smime":
        raw = smime.encrypt(head + b"Content-Type: text/plain\r\n\r\nhello\r\n", [person(BOB).certificate])
    else:
        raw = head + b"Content-Type: text/plain\r\n\r\n-----BEGIN PGP MESSAGE-----\r\n\r\nabc\r\n"
    world.hand_in(ANN, [BOB], raw)
    assert world.sent_to(BOB) == []
    assert kept(world) == [BOB]
