"""A ladder of keys: one sealing, many mails; it is climbed and never descended."""

from __future__ import annotations

import pytest

from securegw.crypto import ladder, seal
from securegw.crypto.ladder import RUNGS, Ladder, Ladders, Rung
from securegw.crypto.seal import PrivateKey
from securegw.mail.errors import SealBroken

PRIVATE, PUBLIC = seal.generate()
BOX = "a" * 32
LABEL = b"a mail"


def opener(private: bytes = PRIVATE, mailbox: str = BOX) -> Ladders:
    return Ladders(PrivateKey(private), mailbox)


def climb(held: Ladder, steps: int) -> list[Rung]:
    return [held.step() for _ in range(steps)]


def test_every_rung_is_found_again_in_any_order() -> None:
    rungs = climb(Ladder(PUBLIC, BOX), 5)
    ladders = opener()
    for number in (3, 0, 4, 1, 2):
        assert ladders.rung(rungs[number].written()) == rungs[number]


def test_every_mail_has_a_key_of_its_own() -> None:
    rungs = climb(Ladder(PUBLIC, BOX), 3) + climb(Ladder(PUBLIC, BOX), 3)
    keys = {rung.key_for(label) for rung in rungs for label in (b"one", b"two")}
    assert len(keys) == 12
    assert keys.isdisjoint(rung.secret for rung in rungs)


def test_the_private_key_is_used_once_for_a_ladder(monkeypatch: pytest.MonkeyPatch) -> None:
    rungs = climb(Ladder(PUBLIC, BOX), 20)
    opened: list[bytes] = []
    real = PrivateKey.open
    monkeypatch.setattr(PrivateKey, "open", lambda self, *given: opened.append(given[1]) or real(self, *given))
    ladders = opener()
    for rung in rungs:
        ladders.rung(rung.written())
    assert opened == [rungs[0].foot]


def test_who_climbs_has_forgotten_what_is_below() -> None:
    """What the gateway holds after a mail does not open that mail."""
    held = Ladder(PUBLIC, BOX)
    below = climb(held, 3)
    kept = [value for value in vars(held).values() if isinstance(value, bytes)]
    assert not any(rung.secret in kept or rung.key_for(LABEL) in kept for rung in below)
    above = held.step()
    assert above.secret in kept  # so this test sees what it is about
    assert above.secret == ladder._expand(below[-1].secret, ladder._NEXT)


def test_a_ladder_ends() -> None:
    held = Ladder(PUBLIC, BOX)
    rungs = climb(held, RUNGS)
    assert held.is_climbed
    assert opener().rung(rungs[-1].written()) == rungs[-1]
    with pytest.raises(SealBroken):
        opener().rung(held.step().written())


def test_a_number_that_is_too_large_costs_no_work() -> None:
    foot = Ladder(PUBLIC, BOX).step().foot
    with pytest.raises(SealBroken):
        opener().rung(b"\xff\xff\xff\xff" + foot)


@pytest.mark.parametrize("written", [b"", b"\0\0\0", b"\0\0\0\0", b"\0\0\0\0" + b"x" * 1168], ids=len)
def test_what_is_no_rung_opens_nothing(written: bytes) -> None:
    with pytest.raises(SealBroken):
        opener().rung(written)


def test_only_this_mailbox_climbs_it() -> None:
    written = Ladder(PUBLIC, BOX).step().written()
    with pytest.raises(SealBroken):
        opener(seal.generate()[0]).rung(written)
    with pytest.raises(SealBroken):
        opener(mailbox="b" * 32).rung(written)


def test_a_bounded_number_of_ladders_is_remembered() -> None:
    ladders = opener()
    rungs = [Ladder(PUBLIC, BOX).step() for _ in range(ladder.MOST_LADDERS + 3)]
    for rung in rungs:
        ladders.rung(rung.written())
    assert len(ladders._known) == ladder.MOST_LADDERS
    assert ladders.rung(rungs[0].written()) == rungs[0]


def test_a_rung_is_in_no_repr() -> None:
    rung = Ladder(PUBLIC, BOX).step()
    assert repr(rung.secret) not in repr(rung)
