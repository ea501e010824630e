"""Delivery: tries, waits, tells; every recipient's reply is his own."""

from __future__ import annotations

import pytest

from securegw.clients.relay import Reply
from securegw.flow.delivery import split_hop
from securegw.mail.errors import NoSuchDomain
from securegw.store import desk, domains, events
from tests.support.world import OUTSIDE, World

ANN, BOB = "ann@inside.test", "bob@outside.test"
BUSY = Reply(451, "4.3.0", "busy", remote="mx.outside.test")
NO = Reply(550, "5.1.1", "no such user", remote="mx.outside.test")


def waiting(world: World) -> list[desk.Item]:
    return world.read(lambda c: desk.list_items(c))


def test_a_mail_for_ours_goes_by_the_route_of_its_domain(world: World) -> None:
    world.send(BOB, ANN, source=OUTSIDE)
    [mail] = world.sent_to(ANN)
    assert mail.hop.hosts == (("mail.inside.test", 25),)


def test_a_mail_outside_goes_by_mx(world: World) -> None:
    world.send(ANN, BOB)
    assert world.sent_to(BOB)[0].hop.hosts == (("mx.outside.test", 25),)


def test_a_smarthost_takes_everything_but_our_domains(world: World) -> None:
    world.write(domains.put_route, domains.Route("*", "[smart.test]:587", "encrypt"))
    world.later(1)
    world.send(ANN, BOB)
    hop = world.sent_to(BOB)[0].hop
    assert hop.hosts == (("smart.test", 587),)
    assert hop.tls == "encrypt"


def test_a_busy_neighbour_is_asked_again(world: World) -> None:
    world.relay.answers[BOB] = BUSY
    world.send(ANN, BOB)
    assert world.sent_to(BOB) == []
    [item] = waiting(world)
    assert "busy" in item.note
    del world.relay.answers[BOB]
    world.later(59)
    assert world.sent_to(BOB) == []
    world.later(2)
    assert len(world.sent_to(BOB)) == 1
    assert waiting(world) == []


def test_waits_grow(world: World) -> None:
    world.relay.answers[BOB] = BUSY
    world.send(ANN, BOB)
    gaps = []
    for _ in range(5):
        [item] = waiting(world)
        gap = item.next_try - world.clock.seconds()
        gaps.append(gap)
        world.later(gap + 1)
    assert gaps == pytest.approx([60, 300, 900, 1800, 3600])


def test_a_refusal_comes_back_with_headers_only(world: World) -> None:
    world.relay.answers[BOB] = NO
    world.send(ANN, [BOB, "eve@outside.test"], "the text")
    [notice] = world.sent_to(ANN)
    assert notice.sender == ""
    assert b"no such user" in notice.raw
    assert b"the text" not in notice.raw
    assert b"eve@outside.test" not in notice.raw.split(b"message/delivery-status")[1].split(b"rfc822-headers")[0]
    assert len(world.sent_to("eve@outside.test")) == 1
    assert waiting(world) == []


def test_who_does_not_answer_for_five_days_is_given_up(world: World) -> None:
    world.relay.answers[BOB] = BUSY
    world.send(ANN, BOB)
    for _ in range(80):
        world.later(4 * 3600)
    assert waiting(world) == []
    assert len(world.sent_to(ANN)) == 1


def test_no_notice_about_a_notice(world: World) -> None:
    world.relay.answers[BOB] = NO
    world.send("", BOB)
    assert world.relay.taken == []
    assert waiting(world) == []


def test_what_happened_can_be_told(world: World) -> None:
    world.relay.answers[BOB] = BUSY
    trace = world.send(ANN, BOB)
    del world.relay.answers[BOB]
    world.later(61)
    kinds = [event.kind for event in world.read(lambda c: events.find(c, trace=trace))]
    assert kinds == ["decision", "deferred", "delivered"]


@pytest.mark.parametrize(
    ("hop", "split"),
    [
        ("[mail.inside.test]:2525", ("mail.inside.test", 2525, True)),
        ("[192.0.2.1]", ("192.0.2.1", 25, True)),
        ("smart.test:587", ("smart.test", 587, False)),
        ("smart.test", ("smart.test", 25, False)),
    ],
)
def test_hops(hop: str, split: tuple[str, int, bool]) -> None:
    assert split_hop(hop) == split


@pytest.mark.parametrize("hop", ["", "a b", "[x", "x]:25", "x:y"])
def test_bad_hops(hop: str) -> None:
    with pytest.raises(NoSuchDomain):
        split_hop(hop)
