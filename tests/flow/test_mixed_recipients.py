"""One mail to many: each gets it by his own best way, whoever else is on it, and who fails stops nobody (S13, S15)."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from securegw.crypto import smime
from securegw.flow import protect
from securegw.flow.webmail import Webmail
from securegw.mail.errors import BadKey, Later
from securegw.store import desk
from securegw.store.items import Chosen
from tests.support.rules import load
from tests.support.world import World, person

ANN = "ann@inside.test"
RULES = """
[[rule]]
name = "never to them"
when = { direction = "outgoing", recipient = "@refused.test" }
refuse = "Not to them."
[[rule]]
name = "by certificate alone"
when = { direction = "outgoing", recipient = ["@nokey.test", "@held.test", "@waiting.test"] }
encrypt = "must"
methods = ["smime"]
[[rule]]
name = "held"
when = { direction = "outgoing", recipient = "@held.test" }
otherwise = "hold"
[[rule]]
name = "waiting"
when = { direction = "outgoing", recipient = "@waiting.test" }
otherwise = "wait"
[[rule]]
name = "in clear"
when = { direction = "outgoing", recipient = "@clear.test" }
encrypt = "never"
sign = "never"
"""
KINDS = {
    "inside": "otto@inside.test",
    "smime": "carol@partner.test",
    "carrier": "bob@outside.test",
    "clear": "c@clear.test",
    "refused": "r@refused.test",
    "nokey": "n@nokey.test",
    "held": "h@held.test",
    "waiting": "w@waiting.test",
}


@pytest.fixture(scope="module")
def many() -> Iterator[World]:
    world = World()
    world.know(person(KINDS["smime"]))
    load(world, RULES)
    world.send(ANN, KINDS["carrier"], subject="[confidential] makes keys and the account")
    clear_up(world)
    yield world
    world.close()


def clear_up(world: World) -> None:
    ids = tuple(item.id for item in world.read(lambda c: desk.list_items(c, limit=1000)))
    if ids:
        world.write(desk.delete_items, Chosen(ids))
    world.relay.taken.clear()


def seen(world: World, secret: bytes) -> dict[str, str]:
    """What became of each recipient."""
    found = {}
    for mail in world.relay.taken:
        for to in mail.recipients:
            if to == ANN:
                continue
            sealed = smime.recognise(mail.message) == "encrypted"
            found[to] = "sealed" if sealed else "carrier" if b"secure-email.html" in mail.raw else "clear"
            assert (secret in mail.raw) is (found[to] == "clear")
    for item in world.read(lambda c: desk.list_items(c, limit=100)):
        for recipient in item.recipients:
            assert recipient.address not in found
            found[recipient.address] = item.state
    for mail in world.sent_to(ANN):
        assert secret not in mail.raw
        for to in KINDS.values():
            if f"rfc822;{to}".encode() in mail.raw.lower().replace(b" ", b""):
                assert to not in found
                found[to] = "told"
    return found


WANTED = {
    "inside": "clear", "smime": "sealed", "carrier": "carrier", "clear": "clear", "refused": "told", "nokey": "told",
    "held": "held", "waiting": "waiting",
}  # fmt: skip


@pytest.mark.parametrize("size", range(1, len(KINDS) + 1))
def test_s13_every_combination(many: World, size: int) -> None:
    for kinds in itertools.combinations(KINDS, size):
        secret = f"words for {' '.join(kinds)} alone"
        many.send(ANN, [KINDS[kind] for kind in kinds], secret, subject="[confidential] x")
        assert seen(many, secret.encode()) == {KINDS[kind]: WANTED[kind] for kind in kinds}, kinds
        clear_up(many)


@pytest.mark.parametrize("error", [BadKey(detail="x"), Later(detail="x"), RuntimeError("x")], ids=str)
@pytest.mark.parametrize("ill", ["smime", "carrier"])
def test_s13_who_fails_at_the_work_stops_nobody(
    many: World, monkeypatch: pytest.MonkeyPatch, error: Exception, ill: str
) -> None:
    def broken(*arguments: object, **named: object) -> bytes:
        raise error

    if ill == "smime":
        monkeypatch.setattr(protect.smime, "encrypt", broken)
    else:
        monkeypatch.setattr(Webmail, "cover", broken)
    kinds = ["smime", "carrier", "clear", "inside"]
    many.send(ANN, [KINDS[kind] for kind in kinds], "words for some", subject="[confidential] x")
    wanted = {KINDS[kind]: WANTED[kind] for kind in kinds}
    wanted[KINDS[ill]] = "told" if isinstance(error, BadKey) else "waiting"
    assert seen(many, b"words for some") == wanted
    if isinstance(error, RuntimeError):
        for _ in range(8):
            many.later(3600)
        wanted[KINDS[ill]] = "parked"
        assert seen(many, b"words for some") == wanted
    elif isinstance(error, Later):
        monkeypatch.undo()
        many.later(3600)
        wanted[KINDS[ill]] = WANTED[ill]
        assert seen(many, b"words for some") == wanted
    clear_up(many)


def test_s22_users_only_by_command(world: World) -> None:
    world.house.outgoing.makes_users = False
    world.send("new@inside.test", [KINDS["carrier"], KINDS["inside"]], "words")
    assert world.sent_to(KINDS["carrier"]) == []
    [notice] = world.sent_to("new@inside.test")
    assert b"not a user of this gateway" in notice.raw
    assert len(world.sent_to(KINDS["inside"])) == 1
    assert world.rows("user") == 0
