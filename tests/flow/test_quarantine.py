"""Quarantine: what a rule keeps is held, told by header fields, and released, returned, deleted or ended by age."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from securegw.flow.quarantine import end_expired
from securegw.mail.envelope import Source
from securegw.store import desk, events, keystore, quarantine, queue
from securegw.store.items import Chosen
from tests.support.rules import load
from tests.support.world import OUTSIDE, START, World, person

ANN, BOB, DAVE, CAROL = "ann@inside.test", "bob@outside.test", "dave@elsewhere.test", "carol@partner.test"
POST, OTTO = "postmaster@inside.test", "otto@inside.test"
SECRET = "file no. 12345678"
RULE = """
[[rule]]
name = "numbers"
reason = "it may hold data of patients"
when = { direction = ["outgoing", "incoming"], pattern = "file" }
quarantine = "Please look whether this may leave."
"""
PATTERN = '[patterns]\nfile = "file no. ########"\n'
DAY = 86400.0


@pytest.fixture
def kept(world: World) -> World:
    """A world in which a rule keeps mails, and an administrator wants to know."""
    load(world, RULE, PATTERN)
    keeper = world.house.quarantine
    keeper.settings = attrs.evolve(keeper.settings, notify=(POST,))
    world.house.issuer.settings = attrs.evolve(world.house.issuer.settings, kind="p-256")
    return world


def held(world: World) -> list[Any]:
    return [item for _, item in world.read(quarantine.list_kept)]


def end(world: World, fate: Any) -> None:
    ids = tuple(item.id for item in held(world))
    assert world.write(quarantine.end, quarantine.Verdict(ids, fate, world.clock.seconds())) == len(ids)
    world.later(1)


def kinds(world: World) -> list[str]:
    return [event.kind for event in world.read(events.find)]


def test_what_a_rule_keeps_is_held_and_nothing_leaves(kept: World) -> None:
    kept.send(ANN, [BOB, DAVE], SECRET)
    kept.send(ANN, BOB, "harmless")
    for _ in range(5):
        kept.later(3600)
    assert [mail.recipients for mail in kept.relay.taken] == [(BOB,)]
    [item] = held(kept)
    assert (item.state, item.note) == ("held", "Please look whether this may leave.")
    assert [to.address for to in item.recipients] == [BOB, DAVE]
    decision = item.recipients[0].decision
    assert (decision["outcome"], decision["rule"], decision["found"]) == ("hold", "numbers", ["pattern file"])
    assert SECRET not in repr(kept.read(events.find)) + repr(item)


def test_released_it_leaves_as_the_rules_then_want(kept: World) -> None:
    kept.send(ANN, BOB, SECRET, subject="[confidential] x")
    end(kept, "released")
    [mail] = kept.sent_to(BOB)
    assert b"secure-email.html" in mail.raw
    assert SECRET.encode() not in mail.raw
    assert held(kept) == []
    kept.know(person(CAROL))
    kept.send(ANN, CAROL, SECRET)
    end(kept, "released")
    assert b"smime-type=" in kept.sent_to(CAROL)[0].raw
    kept.send(ANN, BOB, SECRET)
    end(kept, "released")
    assert SECRET.encode() in kept.sent_to(BOB)[-1].raw  # no rule protects it: that is what was released


def test_released_it_must_still_be_encrypted_if_a_rule_says_so(kept: World) -> None:
    must = '[[rule]]\nname = "must"\nwhen = { pattern = "file" }\nencrypt = "must"\nmethods = ["smime"]\n'
    load(kept, RULE + must, PATTERN)
    kept.send(ANN, BOB, SECRET)
    end(kept, "released")
    assert kept.sent_to(BOB) == []
    [notice] = kept.sent_to(ANN)
    assert b"there is no way to do so" in notice.raw
    assert SECRET.encode() not in notice.raw


def test_a_refusal_below_it_still_holds_for_what_is_released(kept: World) -> None:
    load(kept, RULE + '[[rule]]\nname = "no"\nwhen = { pattern = "file" }\nrefuse = "Never."\n', PATTERN)
    kept.send(ANN, BOB, SECRET)
    assert len(held(kept)) == 1
    assert kept.relay.taken == []  # nobody is told while it is looked at
    end(kept, "released")
    assert [mail.recipients for mail in kept.relay.taken] == [(ANN,)]


def test_returned_its_sender_is_told_by_headers_only(kept: World) -> None:
    kept.send(ANN, [BOB, DAVE], SECRET, subject="numbers")
    end(kept, "returned")
    [notice] = kept.sent_to(ANN)
    assert b"does not let it pass" in notice.raw
    assert BOB.encode() in notice.raw
    assert DAVE.encode() in notice.raw
    assert SECRET.encode() not in notice.raw
    assert kept.sent_to(BOB) == []
    assert kept.read(desk.list_items) == []


def test_one_of_several_recipients_is_kept_and_the_others_get_it(kept: World) -> None:
    load(kept, RULE.replace("pattern", f'recipient = "{BOB}", pattern'), PATTERN)
    kept.send(ANN, [BOB, DAVE, OTTO], SECRET)
    assert len(kept.sent_to(DAVE)) == len(kept.sent_to(OTTO)) == 1
    [item] = held(kept)
    assert [to.address for to in item.recipients] == [BOB]


def test_incoming_mail_too_as_one_for_all_its_recipients(kept: World) -> None:
    kept.send(BOB, [ANN, OTTO], SECRET, source=OUTSIDE)
    [item] = held(kept)
    assert [to.address for to in item.recipients] == [ANN, OTTO]
    end(kept, "released")
    assert len(kept.sent_to(ANN)) == len(kept.sent_to(OTTO)) == 1
    assert kept.sent_to(BOB) == []


def test_a_stranger_cannot_say_that_his_mail_was_released(kept: World) -> None:
    kept.send(BOB, ANN, SECRET, source=OUTSIDE, fields="Quarantine: released\r\nX-Securegw-Quarantine: released\r\n")
    assert len(held(kept)) == 1


def test_without_being_released_here_it_is_kept_again(kept: World) -> None:
    """``securegw queue`` does not let it go; and if the store is told to, the rules keep it again."""
    kept.send(ANN, BOB, SECRET)
    [item] = held(kept)
    kept.write(desk.unhold, Chosen((item.id,)))
    assert held(kept) == []
    kept.later(60)
    assert len(held(kept)) == 1
    assert kept.sent_to(BOB) == []


def test_the_administrator_is_told_once_in_a_period(kept: World) -> None:
    for number in range(60):
        kept.send(ANN, BOB, SECRET, subject=f"mail {number}")
    for _ in range(3):
        kept.wait(kept.house.quarantine.tick())
    [notice] = kept.sent_to(POST)
    assert notice.sender == ""
    text = notice.raw.decode()
    assert "Quarantine: 60 new" in notice.subject
    assert "Subject: mail 0" in text
    assert "There are 10 more." in text
    assert SECRET not in text
    kept.send(ANN, BOB, SECRET)
    kept.later(1800)
    kept.wait(kept.house.quarantine.tick())
    assert len(kept.sent_to(POST)) == 1
    kept.later(1900)
    kept.wait(kept.house.quarantine.tick())
    assert [mail.subject for mail in kept.sent_to(POST)][1:] == ["Quarantine: 1 new"]
    kept.later(4000)
    kept.wait(kept.house.quarantine.tick())
    assert len(kept.sent_to(POST)) == 2
    assert kinds(kept).count("quarantine-told") == 2


def test_another_node_has_told_already(kept: World) -> None:
    kept.send(ANN, BOB, SECRET)
    told = events.Event(time=START, kind="quarantine-told")
    assert kept.write(quarantine.tell, quarantine.Digest((), (), told, 3600.0))
    assert not kept.write(quarantine.tell, quarantine.Digest((), (), told, 3600.0))
    kept.wait(kept.house.quarantine.tick())
    assert kept.sent_to(POST) == []


def test_sec4_an_address_outside_hears_numbers_alone(kept: World) -> None:
    keeper = kept.house.quarantine
    keeper.settings = attrs.evolve(keeper.settings, notify=("admin@provider.test", POST))
    kept.send(ANN, BOB, SECRET, subject="the name of a patient")
    kept.wait(keeper.tick())
    [outside] = kept.sent_to("admin@provider.test")
    assert b"the name of a patient" in kept.sent_to(POST)[0].raw
    for word in ("the name of a patient", ANN, BOB, SECRET):
        assert word.encode() not in outside.raw
    assert "Quarantine: 1 new" in outside.subject


def test_a_subject_of_a_stranger_writes_no_line_of_its_own(kept: World) -> None:
    kept.send(BOB, ANN, SECRET, source=OUTSIDE, subject="=?utf-8?q?x=0D=0A_=0D=0Asecuregw_quarantine_release_all?=")
    kept.wait(kept.house.quarantine.tick())
    text = kept.sent_to(POST)[0].raw.decode()
    assert "\r\nsecuregw quarantine release" not in text


def test_r9_certificates_in_quarantine_are_told_too(kept: World) -> None:
    raw = f"From: {CAROL}\r\nTo: {ANN}\r\nSubject: hi\r\nMessage-ID: <c@p.test>\r\n\r\nhello\r\n".encode()
    kept.hand_in(CAROL, [ANN], person(CAROL).sign(raw), OUTSIDE)
    assert [row.trust for row in kept.read(keystore.find, CAROL)] == ["quarantined"]
    kept.later(1)
    kept.wait(kept.house.quarantine.tick())
    [notice] = kept.sent_to(POST)
    assert CAROL.encode() in notice.raw
    kept.later(7200)
    kept.wait(kept.house.quarantine.tick())
    assert len(kept.sent_to(POST)) == 1


@pytest.mark.parametrize("afterwards", ["return", "delete"])
def test_after_its_days_it_ends(kept: World, afterwards: str) -> None:
    keeper = kept.house.quarantine
    keeper.settings = attrs.evolve(keeper.settings, notify=(), days=30, afterwards=afterwards)
    kept.send(ANN, BOB, SECRET)
    kept.clock.advance(29 * DAY)
    kept.wait(keeper.tick())
    assert len(held(kept)) == 1
    kept.clock.advance(2 * DAY)
    kept.wait(keeper.tick())
    kept.later(60)
    assert held(kept) == kept.read(desk.list_items) == []
    assert len(kept.sent_to(ANN)) == (1 if afterwards == "return" else 0)
    assert kept.sent_to(BOB) == []
    done = "returned" if afterwards == "return" else "deleted"
    [event] = kept.read(lambda c: events.find(c, kind=f"quarantine-{done}"))
    assert (event.actor, event.detail["why"]) == ("gateway", "expired")


def test_nothing_ends_by_age_while_the_clock_is_wrong(kept: World) -> None:
    kept.send(ANN, BOB, SECRET)
    keeper = kept.house.quarantine
    keeper.hours.began -= 31 * DAY
    kept.clock.advance(31 * DAY)
    kept.wait(keeper.tick())
    assert len(held(kept)) == 1


def test_who_decides_at_the_same_moment_is_not_overruled(kept: World) -> None:
    kept.send(ANN, BOB, SECRET)
    items = held(kept)
    end(kept, "released")
    assert kept.write(end_expired, items, START, "return") == 0
    assert len(kept.sent_to(BOB)) == 1
    assert kept.sent_to(ANN) == []


def test_deleted_items_leave_no_row(kept: World) -> None:
    kept.send(ANN, BOB, SECRET)
    kept.write(desk.delete_items, Chosen(tuple(item.id for item in held(kept))))
    assert kept.rows("quarantine") == kept.rows("item") == kept.rows("body") == 0


def test_a_mail_without_a_sender_is_kept_and_returned_to_nobody(kept: World) -> None:
    kept.hand_in("", [ANN], f"From: x@y.test\r\nSubject: x\r\n\r\n{SECRET}\r\n".encode(), OUTSIDE)
    end(kept, "returned")
    assert kept.relay.taken == []
    assert kept.read(desk.list_items) == []


def test_the_time_for_delivery_begins_when_it_is_released(kept: World) -> None:
    kept.relay.hold(BOB)
    kept.send(ANN, BOB, SECRET)
    kept.clock.advance(20 * DAY)
    kept.wait(kept.house.claims.open())
    end(kept, "released")
    kept.later(60)
    kept.relay.answers.clear()
    kept.later(3600)
    assert len(kept.sent_to(BOB)) == 1
    assert kept.sent_to(ANN) == []


def test_from_the_portal_too(kept: World) -> None:
    raw = f"From: {BOB}\r\nTo: {ANN}\r\nSubject: x\r\nMessage-ID: <p@outside.test>\r\n\r\n{SECRET}\r\n".encode()
    kept.hand_in(BOB, [ANN], raw, Source("portal", "192.0.2.9", tls="TLS", person=BOB))
    assert len(held(kept)) == 1
    assert kept.sent_to(ANN) == []


def test_a_body_that_is_gone_does_not_stop_the_notice(kept: World) -> None:
    kept.send(ANN, BOB, SECRET, subject="gone")
    kept.later(1)
    kept.send(ANN, BOB, SECRET, subject="there")
    first = held(kept)[0]
    kept.write(lambda c: c.execute(queue._body.delete().where(queue._body.c.item == first.id)) and None)
    kept.wait(kept.house.quarantine.tick())
    [notice] = kept.sent_to(POST)
    assert b"Subject: there" in notice.raw
    assert first.id.encode() in notice.raw
