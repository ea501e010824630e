"""Who may connect."""

from __future__ import annotations

from twisted.internet.task import Clock

from securegw.servers.connections import Doorkeeper, Room


def test_room_in_all_and_for_one() -> None:
    keeper = Doorkeeper(Room(total=3, per_address=2, per_minute=100), Clock().seconds)
    assert keeper.enter("192.0.2.1") == "" == keeper.enter("192.0.2.1")
    assert "from this address" in keeper.enter("192.0.2.1")
    assert keeper.enter("192.0.2.2") == ""
    assert keeper.enter("192.0.2.3") == "too many connections"
    keeper.leave("192.0.2.1")
    assert keeper.enter("192.0.2.3") == "" and keeper.count == 3


def test_a_new_minute() -> None:
    clock = Clock()
    keeper = Doorkeeper(Room(per_minute=2), clock.seconds)
    for _ in range(2):
        assert keeper.enter("192.0.2.1") == ""
        keeper.leave("192.0.2.1")
    assert "within a minute" in keeper.enter("192.0.2.1")
    clock.advance(60)
    assert keeper.enter("192.0.2.1") == ""


def test_an_ipv6_network_is_one_address() -> None:
    keeper = Doorkeeper(Room(per_address=1), Clock().seconds)
    assert keeper.enter("2001:db8::1") == ""
    assert keeper.enter("2001:db8::ffff:2") != ""
    assert keeper.enter("2001:db8:0:1::1") == ""
    assert keeper.enter("::ffff:192.0.2.1") == ""
    assert keeper.enter("192.0.2.1") != ""
