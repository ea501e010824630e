"""Which address is called first, and which of them are ourselves."""

from __future__ import annotations

from pathlib import Path

import pytest

from securegw.clients.destinations import ADDRESSES_LIMIT, in_order, is_ourselves, source_address
from securegw.clients.hop import Hop, is_address
from securegw.clients.hosts_file import HostsFile


def test_what_can_be_reached_comes_first_and_then_ipv6() -> None:
    found = ("192.0.2.1", "2001:db8::1", "192.0.2.2", "2001:db8::2")
    assert in_order(found, lambda address: "x") == ("2001:db8::1", "2001:db8::2", "192.0.2.1", "192.0.2.2")
    assert in_order(found, lambda address: None if ":" in address else "x")[:2] == ("192.0.2.1", "192.0.2.2")
    assert in_order(["192.0.2.1"] * 3) == ("192.0.2.1",)
    assert len(in_order((f"192.0.2.{number}" for number in range(100)), lambda address: "x")) == ADDRESSES_LIMIT


def test_the_way_to_the_loopback_is_known_without_sending() -> None:
    assert source_address("127.0.0.1") == "127.0.0.1"
    assert source_address("no address") is None


@pytest.mark.parametrize(
    ("address", "door", "ours"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:DB8:0::1", "2001:db8::1", True),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("127.0.0.1", "0.0.0.0", True),
        ("127.8.8.8", "0.0.0.0", True),
        ("0.0.0.0", "0.0.0.0", True),
        ("::1", "::", True),
        ("127.0.0.1", "::", True),
        ("192.0.2.1", "0.0.0.0", False),
        ("127.0.0.1", "192.0.2.1", False),
    ],
)
def test_5_2_18_ourselves(address: str, door: str, ours: bool) -> None:
    assert is_ourselves((address, 25), [(door, 25)]) is ours
    assert not is_ourselves((address, 26), [(door, 25)])


def test_5_2_18_a_stranger_means_ourselves_by_the_loopback_on_any_port() -> None:
    assert is_ourselves(("127.0.0.1", 25), (), any_port=True)
    assert is_ourselves(("0.0.0.0", 25), (), any_port=True)
    assert not is_ourselves(("10.0.0.1", 25), (), any_port=True)  # a private range may well be the clinic next door


@pytest.mark.parametrize(
    ("name", "domain"),
    [
        ("outside.test", "outside.test"),
        ("[mail.outside.test]:25", "mail.outside.test"),
        ("[mail.outside.test]", "mail.outside.test"),
        ("Mail.outside.test:587", "mail.outside.test"),
        ("[192.0.2.1]:25", "192.0.2.1"),
        ("[2001:db8::1]:25", "2001:db8::1"),
        ("2001:db8::1", "2001:db8::1"),
        ("", ""),
    ],
)
def test_the_domain_of_a_hop(name: str, domain: str) -> None:
    assert Hop((), name=name).domain == domain


def test_secure_never_wants_a_host_outside_of_the_hop() -> None:
    hop = Hop((), tls="secure", name="outside.test")
    assert hop.wanted("mx.outside.test").names == ("outside.test", "mx.outside.test")
    for host in ("mx.evil.test", "evil-outside.test", "outside.test.evil.test"):
        assert hop.wanted(host).names == ("outside.test",)


def test_the_hosts_file_is_read_again_when_it_changed(tmp_path: Path) -> None:
    path = tmp_path / "hosts"
    hosts = HostsFile(path)
    assert hosts.addresses("localhost") == ("127.0.0.1", "::1") and hosts.addresses("mail.test") == ()
    path.write_text("# x\n192.0.2.1 mail.test Mail # comment\n\nnonsense here\n2001:db8::1 mail.test\n")
    assert hosts.addresses("MAIL.test.") == ("192.0.2.1", "2001:db8::1")
    assert hosts.addresses("mail") == ("192.0.2.1",) and hosts.addresses("here") == ()
    path.unlink()
    assert hosts.addresses("mail.test") == ()


def test_addresses_are_told_from_names() -> None:
    assert is_address("::1") and is_address("192.0.2.1") and not is_address("1.2.3.4.test") and not is_address("1")
