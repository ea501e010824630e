"""No mail leaves in clear (REL5) on the longer roads either, and each of their steps goes wrong once: tried again,
after a crash, out of quarantine, as a notice, with files, with what was copied or carried from a sealed mail.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import suppress

import attrs
import pytest
from twisted.logger import globalLogPublisher

from securegw.clients.relay import Reply
from securegw.mail.envelope import Source
from securegw.store import quarantine
from tests.support.faults import FaultyHands, let_fail
from tests.support.files import docx, with_file, zipped
from tests.support.in_clear import ERRORS, Lines, Sent, check, clear_up, let_time_pass
from tests.support.rules import load
from tests.support.world import World

BOB, ADMIN = "bob@outside.test", "admin@provider.test"
PORTAL = Source("portal", "192.0.2.9", tls="TLS", person=BOB)
RULES = """
[[rule]]
name = "kept"
when = { direction = "outgoing", pattern = "kept" }
quarantine = "look at it"

[[rule]]
name = "sealed"
when = { direction = "outgoing", pattern = ["file", "kept"] }
encrypt = "must"
methods = ["smime", "carrier"]
"""
PATTERNS = '[patterns]\nfile = "file no. ########"\nkept = "kept no. ########"\n'

_numbers = itertools.count()


@pytest.fixture
def lines() -> Iterator[Lines]:
    found = Lines()
    globalLogPublisher.addObserver(found)
    yield found
    globalLogPublisher.removeObserver(found)


@pytest.fixture(scope="module")
def hands() -> FaultyHands:
    return FaultyHands()


@pytest.fixture(scope="module")
def ill(hands: FaultyHands) -> Iterator[World]:
    world = World(hands)
    load(world, RULES, PATTERNS)
    yield world
    world.close()


def plain(sent: Sent, text: str) -> bytes:
    head = f"From: {sent.sender}\r\nTo: {BOB}\r\nSubject: x\r\nMessage-ID: <{text.split()[2]}@inside.test>\r\n"
    return f"{head}\r\nThe words: {text}.\r\n".encode()


def opened_for(world: World, sent: Sent) -> bytes:
    """What came sealed, as it lies in the mailbox of who will send something of it."""
    head = f"From: {BOB}\r\nTo: {sent.sender}\r\nSubject: x\r\nMessage-ID: <{sent.secret.split()[2]}@outside.test>\r\n"
    world.hand_in(BOB, [sent.sender], f"{head}\r\n{sent.secret}\r\n".encode(), PORTAL)
    raw = world.sent_to(sent.sender)[-1].raw
    world.relay.taken.clear()
    return raw


@attrs.frozen
class Road:
    """``words`` name what nobody may see, ``make`` the mail that has it, ``goes_on`` is what happens afterwards."""

    words: Callable[[int], str]
    make: Callable[[World, Sent], tuple[bytes, tuple[bytes, ...]]]
    goes_on: Callable[[World], None] = lambda world: None
    begins: Callable[[World], None] = lambda world: None
    leaves: bool = True


def filed(number: int) -> str:
    return f"file no. {10_000_000 + number}"


def kept(number: int) -> str:
    return f"kept no. {10_000_000 + number}"


def passage(number: int) -> str:
    """Words of its own in each mail, and two at its beginning that the others have too."""
    return "passage no. " + " ".join(f"w{number}x{place}" for place in range(40))


def as_text(world: World, sent: Sent) -> tuple[bytes, tuple[bytes, ...]]:
    return plain(sent, sent.secret), ()


def as_document(world: World, sent: Sent) -> tuple[bytes, tuple[bytes, ...]]:
    content = docx(sent.secret)
    return with_file("a.docx", content, sender=sent.sender, recipient=BOB), (content[-300:-200],)


def in_an_archive(world: World, sent: Sent) -> tuple[bytes, tuple[bytes, ...]]:
    content = zipped({"mail.eml": opened_for(world, sent)})
    return with_file("a.zip", content, sender=sent.sender, recipient=BOB), (content[60:140],)


def copied(world: World, sent: Sent) -> tuple[bytes, tuple[bytes, ...]]:
    opened_for(world, sent)
    return plain(sent, sent.secret), ()


def end_all(world: World, fate: quarantine.Fate) -> None:
    """An administrator decides; with a database that is ill he tries again later."""
    with suppress(Exception):
        ids = tuple(item.id for _, item in world.read(quarantine.list_kept))
        world.write(quarantine.end, quarantine.Verdict(ids, fate, world.clock.seconds()))


def answer(world: World, code: int) -> None:
    world.relay.answers[BOB] = Reply(code, f"{code // 100}.0.0", "no", remote="relay.test")


def mend(world: World) -> None:
    world.relay.answers.clear()


def crash(world: World) -> None:
    mend(world)
    world.crash()


def busy(world: World) -> None:
    answer(world, 451)


ROADS = {
    "tried again": Road(filed, as_text, mend, busy),
    "after a crash": Road(filed, as_text, crash, busy),
    "sent back by the next hop": Road(filed, as_text, begins=lambda world: answer(world, 550), leaves=False),
    "released": Road(kept, as_text, lambda world: end_all(world, "released")),
    "returned": Road(kept, as_text, lambda world: end_all(world, "returned"), leaves=False),
    "a document": Road(filed, as_document),
    "a sealed mail in an archive": Road(passage, in_an_archive),
    "copied from a sealed mail": Road(passage, copied),
}


def travel(world: World, hands: FaultyHands, road: Road, fault: Callable[[], None]) -> Sent:
    """The whole way of one mail, from what comes before it to its end; what is before it goes well."""
    hands.fault.heal()
    world.relay.answers.clear()
    number = next(_numbers)
    sent = Sent(f"user{number}@inside.test", (BOB,), road.words(number))
    raw, more = road.make(world, sent)
    road.begins(world)
    fault()
    try:
        world.hand_in(sent.sender, [BOB], raw)
    except Exception:
        return attrs.evolve(sent, accepted=False, more=more)
    tell(world)
    for _ in range(2):
        with suppress(Exception):
            road.goes_on(world)
        let_time_pass(world, 1)
    tell(world)
    return attrs.evolve(sent, more=more)


def tell(world: World) -> None:
    """The notice for an administrator at a provider outside goes on the same wire."""
    keeper = world.house.quarantine
    keeper.settings = attrs.evolve(keeper.settings, notify=(ADMIN,), every=0.0)
    with suppress(Exception):
        world.wait(keeper.tick())


def steps(world: World, hands: FaultyHands, road: Road, lines: Lines) -> int:
    """How many steps it has, that it leaves protected if it does, and that what is looked for would be found."""
    sent = travel(world, hands, road, hands.fault.heal)
    count = hands.fault.count
    assert bool(world.sent_to(BOB)) is road.leaves
    assert all(b"secure-email.html" in mail.raw for mail in world.sent_to(BOB))
    assert road.leaves or world.sent_to(sent.sender), "no notice"
    check(world, sent, lines)
    return count


@pytest.mark.parametrize("name", ROADS)
def test_rel5_whatever_step_goes_wrong(ill: World, hands: FaultyHands, lines: Lines, name: str) -> None:
    road = ROADS[name]
    total = steps(ill, hands, road, lines)
    assert total >= 8
    kinds = ("unexpected",) if name == "after a crash" else ("unexpected", "worker")
    for at, error in itertools.product(range(total), kinds):
        sent = travel(ill, hands, road, lambda at=at, error=error: hands.fault.put(at, ERRORS[error], lasting=False))
        hands.fault.heal()
        let_time_pass(ill, 1)
        check(ill, sent, lines)


@pytest.mark.parametrize("name", ["tried again", "released", "returned"])
def test_rel5_whatever_the_database_does_not_do(
    ill: World, hands: FaultyHands, lines: Lines, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    road = ROADS[name]
    total = steps(ill, hands, road, lines)
    let_fail(ill.house.database, hands.fault, monkeypatch)
    for at in range(total):
        sent = travel(ill, hands, road, lambda at=at: hands.fault.put(at, ERRORS["busy"], lasting=False))
        hands.fault.heal()
        let_time_pass(ill, 1)
        check(ill, sent, lines)


@pytest.mark.parametrize("name", ["a document", "copied from a sealed mail"])
def test_what_is_looked_for_would_be_found(ill: World, hands: FaultyHands, lines: Lines, name: str) -> None:
    """The same mail under rules that let it pass."""
    load(ill, '[[rule]]\nname = "open"\nwhen = { direction = "outgoing" }\nencrypt = "never"\n', PATTERNS)
    sent = travel(ill, hands, ROADS[name], hands.fault.heal)
    with pytest.raises(AssertionError):
        check(ill, sent, lines)
    clear_up(ill)
    load(ill, RULES, PATTERNS)
