"""Who may connect."""

from __future__ import annotations

from pathlib import Path

import attrs
from twisted.internet.task import Clock

from securegw.counters import exposition
from securegw.gateway import doors
from securegw.servers.connections import Doorkeeper, Room
from tests.support.certificates import TestAuthority
from tests.support.world import World


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


def test_all_smtp_doors_share_one_room(tmp_path: Path) -> None:
    """Else who knocks at two doors gets twice the limit, and the gauge of one hides the other's."""
    pair, world = TestAuthority(tmp_path).issue("gw.test"), World()
    smtp = attrs.evolve(world.house.settings.smtp, certificate=pair.certificate, key=pair.key, connections=2)
    settings = attrs.evolve(world.house.settings, smtp=smtp)
    house = attrs.evolve(world.house, settings=settings, callers=Doorkeeper(smtp.room(), world.clock.seconds))
    plain, wrapped = doors._smtp(house, world.clock), doors._smtp(house, world.clock, implicit_tls=True)
    assert plain.doorkeeper.enter("192.0.2.1") == wrapped.doorkeeper.enter("192.0.2.2") == ""
    assert plain.doorkeeper.enter("192.0.2.3") == wrapped.doorkeeper.enter("192.0.2.3") == "too many connections"
    assert 'securegw_open_connections{door="smtp"} 2.0' in exposition().decode()
    world.close()


def test_each_kind_of_door_has_a_gauge_of_its_own() -> None:
    for door, count in (("pop3s", 1), ("ldap-inside", 2)):
        keeper = Doorkeeper(Room(), Clock().seconds, door)
        for _ in range(count):
            keeper.enter("192.0.2.1")
        assert f'securegw_open_connections{{door="{door}"}} {float(count)}' in exposition().decode()
