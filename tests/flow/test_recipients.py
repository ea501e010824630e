"""Recipients: unknown ones are refused at the door, and nobody is refused because something is down."""

from __future__ import annotations

import attrs
import pytest
from twisted.internet.defer import Deferred

from securegw.clients.relay import Reply
from securegw.flow.recipients import means_no_such
from securegw.mail.address import parse_path
from securegw.mail.errors import NameServerTrouble, UnknownRecipient
from securegw.store import domains, recipients
from tests.support.world import INSIDE, OUTSIDE, World

ANN, GONE = "ann@inside.test", "gone@inside.test"
NO = Reply(550, "5.1.1", "no such user", remote="mail.inside.test")


def use(world: World, source: str, **more: object) -> None:
    domain = attrs.evolve(world.read(domains.find_domain, "inside.test"), recipients=source, **more)
    world.write(domains.change_domain, domain)
    world.later(1)


def ask(world: World, recipient: str, source: object = OUTSIDE) -> None:
    world.wait(world.house.intake.recipient(source, None, parse_path(recipient, utf8=True)))


def test_any_address_is_taken_where_nobody_knows_better(world: World) -> None:
    ask(world, GONE)
    assert world.inside_server.asked == []


def test_a_list_is_the_law_for_everybody(world: World) -> None:
    use(world, "list")
    world.write(recipients.add, [ANN])
    ask(world, "Ann@INSIDE.test")
    ask(world, "ann+bills@inside.test")
    for source in (OUTSIDE, INSIDE):
        with pytest.raises(UnknownRecipient) as caught:
            ask(world, GONE, source)
        assert (caught.value.code, caught.value.status) == (550, "5.1.1")


def test_a_change_of_the_list_counts_at_once(world: World) -> None:
    use(world, "list")
    with pytest.raises(UnknownRecipient):
        ask(world, GONE)
    world.write(recipients.add, [GONE])
    world.later(1)
    ask(world, GONE)
    world.write(recipients.remove, [GONE])
    world.later(1)
    with pytest.raises(UnknownRecipient):
        ask(world, GONE)


@pytest.mark.parametrize("source", ["list", "call"])
def test_a_postmaster_is_always_there(world: World, source: str) -> None:
    use(world, source)
    world.inside_server.answers["Postmaster@inside.test"] = NO
    ask(world, "Postmaster@inside.test")


def test_the_inside_server_is_asked_and_remembered(world: World) -> None:
    use(world, "call")
    server = world.inside_server
    server.answers[GONE] = NO
    for _ in range(3):
        ask(world, ANN)
        with pytest.raises(UnknownRecipient):
            ask(world, GONE)
    assert server.asked == [ANN, GONE]
    server.answers[GONE] = Reply(250, "2.1.5", "new here")
    world.later(301)
    ask(world, GONE)
    ask(world, ANN)
    assert server.asked == [ANN, GONE, GONE]
    server.answers[ANN] = NO
    world.later(3301)
    with pytest.raises(UnknownRecipient):
        ask(world, ANN)


def test_a_server_that_is_down_refuses_nobody_and_is_left_in_peace(world: World) -> None:
    use(world, "call")
    world.inside_server.down = True
    world.inside_server.answers[GONE] = NO
    for _ in range(20):
        ask(world, GONE)
    assert len(world.inside_server.asked) == 1
    world.inside_server.down = False
    world.later(61)
    with pytest.raises(UnknownRecipient):
        ask(world, GONE)


def test_what_it_said_before_holds_while_it_is_down(world: World) -> None:
    use(world, "call")
    world.inside_server.answers[GONE] = NO
    with pytest.raises(UnknownRecipient):
        ask(world, GONE)
    world.inside_server.down = True
    ask(world, ANN)
    with pytest.raises(UnknownRecipient):
        ask(world, GONE)


@pytest.mark.parametrize(
    ("reply", "no_such"),
    [
        (Reply(550, "5.1.1", "x"), True),
        (Reply(550, "5.1.10", "RecipientNotFound"), True),
        (Reply(550, "5.0.0", "unknown user"), True),
        (Reply(553, "5.0.0", "x"), True),
        (Reply(551, "5.1.6", "moved"), True),
        (Reply(250, "2.1.5", "x"), False),
        (Reply(450, "4.1.1", "x"), False),
        (Reply(451, "4.7.1", "greylisted"), False),
        (Reply(452, "4.2.2", "full"), False),
        (Reply(550, "5.7.1", "we do not like you"), False),
        (Reply(554, "5.0.0", "rejected"), False),
        (Reply(552, "5.2.2", "full"), False),
        (Reply(550, "5.1.8", "bad sender"), False),
        (Reply(530, "5.7.0", "authenticate first"), False),
        (Reply(550, "5.2.1", "disabled"), False),
    ],
)
def test_only_no_such_mailbox_means_that(world: World, reply: Reply, no_such: bool) -> None:
    """REL4: never a permanent refusal for something that is about us, or about today."""
    assert means_no_such(reply) is no_such
    use(world, "call")
    world.inside_server.answers[ANN] = reply
    if no_such:
        with pytest.raises(UnknownRecipient):
            ask(world, ANN)
    else:
        ask(world, ANN)


def test_a_route_that_leads_nowhere_now_refuses_nobody(world: World) -> None:
    world.resolver.hosts["mail.inside.test"] = NameServerTrouble()
    use(world, "call", route="mail.inside.test")
    ask(world, GONE)
    assert world.inside_server.asked == []


class Slow:
    """Never answers; ``asked`` and ``cancelled`` are how many."""

    def __init__(self) -> None:
        self.asked = self.cancelled = 0

    async def ask(self, hop: object, recipient: str) -> None:
        self.asked += 1
        await Deferred(lambda _: self._count())

    def _count(self) -> None:
        self.cancelled += 1


def test_time_and_number_of_questions_are_bounded(world: World) -> None:
    use(world, "call")
    slow = Slow()
    room = world.house.intake.recipients
    room.caller = slow
    ends: list[object] = []
    for number in range(300):
        address = parse_path(f"u{number}@inside.test")
        Deferred.fromCoroutine(room.check(address)).addBoth(ends.append)
    assert slow.asked == 5
    assert len(ends) == 100  # two hundred wait, the rest is let in unasked
    world.clock.advance(9.9)
    assert len(ends) == 100
    world.clock.advance(0.2)
    assert ends == [None] * 300
    assert slow.cancelled == slow.asked
    assert room.asking == 0


def test_an_international_address_is_known_by_its_key(world: World) -> None:
    use(world, "list")
    world.write(recipients.add, ["jürgen@inside.test"])
    ask(world, "Jürgen@inside.test")
