"""Delivery: tries, waits, tells; every recipient's reply is his own."""

from __future__ import annotations

import pytest

from securegw.clients.relay import Reply
from securegw.flow.hours import APART, Hours
from securegw.flow.ways import SECRET, split_hop
from securegw.mail.errors import NameServerTrouble, NoSuchDomain, NullMX
from securegw.store import desk, domains, events, schema
from tests.support.world import INSIDE, OUTSIDE, World

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
    assert [b"Action: delayed" in mail.raw for mail in world.sent_to(ANN)] == [True, False]


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
    assert kinds == ["accepted", "decision", "deferred", "delivered"]


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


# --- ways -----------------------------------------------------------------------------------------------------------


def test_a_smarthost_gets_our_name_and_the_opened_password(world: World) -> None:
    sealed = world.master.seal(SECRET, "*", b"drei alte Rechner")
    route = domains.Route(
        "*", "[smart.test]:587", "fingerprint", login="hospital", secret=sealed, fingerprints=("ab" * 32,)
    )
    world.write(domains.put_route, route)
    world.later(1)
    world.send(ANN, BOB)
    hop = world.sent_to(BOB)[0].hop
    assert (hop.login, hop.password, hop.fingerprints) == ("hospital", "drei alte Rechner", ("ab" * 32,))
    assert "Rechner" not in repr(hop) and not hop.stranger


def test_a_password_sealed_for_another_route_makes_the_mail_wait(world: World) -> None:
    """REL5: it is not sent without signing in, and REL4: nobody gets it back for that."""
    sealed = world.master.seal(SECRET, "other.test", b"x")
    world.write(domains.put_route, domains.Route("*", "[smart.test]:587", "encrypt", login="hospital", secret=sealed))
    world.later(1)
    world.send(ANN, BOB)
    assert world.relay.taken == []
    assert [item.state for item in waiting(world)] == ["waiting"]


def test_hosts_that_a_domain_names_are_strangers(world: World) -> None:
    world.send(ANN, BOB)
    assert world.sent_to(BOB)[0].hop.stranger


# --- clocks (D8) ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("jump", [6 * 86400, 3653 * 86400])
def test_d8_a_clock_put_forward_sends_nothing_back(world: World, jump: float) -> None:
    steady = [0.0]
    world.house.delivery.hours = Hours(world.clock.seconds, lambda: steady[0])
    world.relay.answers[BOB] = BUSY
    world.send(ANN, BOB)
    world.later(jump)
    assert [item.state for item in waiting(world)] == ["waiting"]
    assert world.sent_to(ANN) == []
    steady[0] += jump + 5 * 3600  # it was no jump: the time has passed
    world.later(5 * 3600)
    assert waiting(world) == []
    assert len(world.sent_to(ANN)) == 1


def test_hours_agree_within_one(world: World) -> None:
    steady, moved = [100.0], [0.0]
    hours = Hours(lambda: 1e9 + steady[0] + moved[0], lambda: steady[0])
    steady[0] += 1e6
    assert hours.agree()
    for by, agree in ((APART - 1, True), (APART + 1, False), (-APART - 1, False), (0.0, True)):
        moved[0] = by
        assert hours.agree() is agree
        assert hours.moved == pytest.approx(by)


# --- threats 5.2 and drills -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "state"),
    [
        (Reply(421, "4.3.2", "closing"), "waiting"),
        (Reply(451, "4.4.1", "no connection"), "waiting"),
        (Reply(451, "4.4.2", "ended after 354"), "waiting"),
        (Reply(451, "4.5.0", "not understood: a line of a reply is too long"), "waiting"),
        (Reply(451, "4.7.4", "TLS is required and is not offered"), "waiting"),
        (Reply(451, "4.7.5", "the certificate is not for mx.outside.test"), "waiting"),
        (Reply(452, "4.2.2", "full"), "waiting"),
        (Reply(550, "5.1.1", "no such user"), "failed"),
        (Reply(554, "5.6.3", "takes no 8-bit text"), "failed"),
        (Reply(550, "5.6.7", "takes no international mail"), "failed"),
        (Reply(250, "2.0.0", "ok"), "done"),
    ],
)
def test_threat_5_2_17_each_answer_leads_to_the_right_state(world: World, reply: Reply, state: str) -> None:
    """4xx and silence wait, 5xx is one notice, and what happens to one recipient does not touch the other."""
    world.relay.answers[BOB] = reply
    world.send(ANN, [BOB, "eve@outside.test"])
    assert len(world.sent_to("eve@outside.test")) == 1
    assert [len(waiting(world)), len(world.sent_to(ANN))] == {"waiting": [1, 0], "failed": [0, 1], "done": [0, 0]}[
        state
    ]
    if state == "waiting":
        assert [each.state for each in waiting(world)[0].recipients] == ["waiting", "done"]


@pytest.mark.parametrize("tls", ["encrypt", "verify", "secure", "fingerprint"])
def test_threat_5_2_17_what_is_demanded_is_demanded_of_the_relay(world: World, tls: str) -> None:
    world.write(domains.put_route, domains.Route("outside.test", "[mx.outside.test]:25", tls))
    world.later(1)
    world.relay.hold(BOB)
    world.send(ANN, BOB)
    world.relay.answers.clear()
    world.later(61)
    assert world.sent_to(BOB)[0].hop.tls == tls


def test_threat_5_2_18_an_mx_that_is_ourselves_is_a_loop(world: World) -> None:
    world.resolver.hosts["outside.test"] = ("GW.inside.test.", "mx2.outside.test")
    world.send(ANN, BOB)
    [notice] = world.sent_to(ANN)
    assert b"Status: 5.4.6" in notice.raw
    assert world.sent_to(BOB) == []


def test_threat_5_2_18_hosts_behind_ourselves_are_never_asked(world: World) -> None:
    """RFC 5321 5.1: a worse one would send it back to us."""
    world.resolver.hosts["outside.test"] = ("mx1.outside.test", "gw.inside.test", "mx2.outside.test")
    world.send(ANN, BOB)
    assert world.sent_to(BOB)[0].hop.hosts == (("mx1.outside.test", 25),)


@pytest.mark.parametrize(
    ("error", "comes_back"), [(NullMX(), True), (NoSuchDomain(), True), (NameServerTrouble(), False)]
)
def test_threat_5_2_18_what_name_servers_say(world: World, error: Exception, comes_back: bool) -> None:
    """NXDOMAIN and null MX are final; SERVFAIL and silence are of today."""
    world.resolver.hosts["outside.test"] = error
    world.send(ANN, BOB)
    assert len(world.sent_to(ANN)) == comes_back
    assert len(waiting(world)) == (not comes_back)


@pytest.mark.parametrize(
    "evil", ["bob@outside.test>\r\nRCPT TO:<eve@evil.test", "bob\n@outside.test", "a@b@c", "", "bob@outside.test\0"]
)
def test_threat_5_2_19_no_row_puts_a_command_on_the_wire(world: World, evil: str) -> None:
    """What stands in the table as a recipient is an address, or it is refused before the socket."""
    world.relay.answers[BOB] = BUSY
    world.send(ANN, BOB)
    rows = [{"address": evil}, {"address": "eve@outside.test"}]
    world.write(lambda c: c.execute(schema.item.update().values(recipients=rows)))
    world.later(61)
    assert [mail.recipients for mail in world.relay.taken] == [("eve@outside.test",), (ANN,)]
    assert waiting(world) == []
    [notice] = world.sent_to(ANN)
    assert notice.raw.count(b"Final-Recipient") == 1
    assert b"Status: 5.1.3" in notice.raw and b"\r\nRCPT" not in notice.raw


def test_d23_a_storm_of_refusals_is_one_notice_each(world: World) -> None:
    """Null senders mixed in: none for them."""
    for number in range(60):
        sender = "" if number % 3 == 0 else ANN
        world.relay.answers[f"u{number}@dead.test"] = NO
        world.send(sender, f"u{number}@dead.test", source=INSIDE)
    assert len(world.relay.taken) == len(world.sent_to(ANN)) == 40
    assert waiting(world) == []


def test_d12_a_dead_domain_does_not_hold_up_another(world: World) -> None:
    world.resolver.hosts["dead.test"] = NameServerTrouble()
    world.relay.answers["x@down.test"] = BUSY
    world.send(ANN, ["x@dead.test", "x@down.test", BOB])
    assert len(world.sent_to(BOB)) == 1
    assert [each.state for each in waiting(world)[0].recipients] == ["waiting", "waiting", "done"]
