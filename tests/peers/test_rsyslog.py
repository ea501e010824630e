"""The log forwarded to rsyslog: by UDP, TCP and TLS, and while it is killed and started again under load."""

from __future__ import annotations

import smtplib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.peers.conftest import demand
from tests.support import rsyslog as peers
from tests.support.certificates import TestAuthority
from tests.support.log_source import log_source
from tests.support.rsyslog import Rsyslog
from tests.support.running import gateway
from tests.support.sink import sink


@pytest.fixture
def rsyslog(tmp_path: Path) -> Iterator[Rsyslog]:
    demand(peers.missing())
    authority = TestAuthority(tmp_path)
    pair = authority.issue("localhost")
    made = Rsyslog.prepare(tmp_path, pair, authority.roots)
    try:
        made.start()
        yield made
    finally:
        made.stop()


def assert_complete(rsyslog: Rsyslog, count: int) -> None:
    """All numbers in their order; one may come again after a connection was lost, but none is missing."""
    numbers = rsyslog.numbers()
    first = {number: at for at, number in reversed(list(enumerate(numbers)))}
    assert sorted(first) == list(range(count))
    places = [first[number] for number in range(count)]
    assert places == sorted(places)


def test_a_running_gateway_tells_three_ways(rsyslog: Rsyslog, tmp_path: Path) -> None:
    ways = [f"udp://127.0.0.1:{rsyslog.udp}", f"tcp://127.0.0.1:{rsyslog.tcp}", f"tls://localhost:{rsyslog.tls}"]
    settings = {"syslog": {"receivers": ways, "authorities": str(tmp_path / "roots.pem"), "facility": "local3"}}
    with sink() as outside, gateway(tmp_path, inside=outside.port, outside=outside.port, settings=settings) as running:
        with smtplib.SMTP("127.0.0.1", running.smtp_port, timeout=30) as client:
            client.sendmail("ann@inside.test", ["bob@outside.test"], "Subject: secret-news\r\n\r\nhello\r\n")
        rsyslog.wait_for(lambda r: len(told(r, "accepted")) == 3 and len(told(r, "done")) == 3)
    accepted, done = told(rsyslog, "accepted"), told(rsyslog, "done")
    assert len(set(accepted)) == len(set(done)) == 1  # the same by all ways
    assert accepted[0].startswith('local3.info gw.inside.test securegw flow.intake [securegw@32473 trace="')
    assert 'peer="127.0.0.1" count="1"' in accepted[0]
    assert done[0].startswith('local3.info gw.inside.test securegw flow.delivery [securegw@32473 state="done" trace="')
    assert "secret-news" not in "".join(rsyslog.raw())
    assert rsyslog.said() == ""  # it complains where TLS ends without close_notify


def told(rsyslog: Rsyslog, word: str) -> list[str]:
    """The lines whose text begins with this word."""
    return [line for line in rsyslog.read() if f"]\ufeff{word} " in line or f"] {word} " in line]


@pytest.mark.parametrize("way", ["udp", "tcp", "tls"])
def test_everything_arrives_in_order(rsyslog: Rsyslog, tmp_path: Path, way: str) -> None:
    place = f"{way}://localhost:{getattr(rsyslog, way)}"
    count = 500 if way == "udp" else 5000
    with log_source(tmp_path, receivers=[place], authorities=str(tmp_path / "roots.pem")) as source:
        source.wait_for(lambda state: state["connected"] == [True])
        source.emit(count)
        rsyslog.wait_for(lambda r: len(r.numbers()) >= count)
        source.stop()
    assert_complete(rsyslog, count)
    assert len(rsyslog.numbers()) == count
    assert rsyslog.said() == ""


def test_killed_and_started_again_under_load(rsyslog: Rsyslog, tmp_path: Path) -> None:
    place = f"tls://localhost:{rsyslog.tls}"
    with log_source(tmp_path, receivers=[place], authorities=str(tmp_path / "roots.pem")) as source:
        source.wait_for(lambda state: state["connected"] == [True])
        source.begin(10_000)
        rsyslog.wait_for(lambda r: len(r.numbers()) > 1000)
        rsyslog.kill()
        source.finish()
        source.wait_for(lambda state: state["on_disk"][0] > 100_000)
        rsyslog.start()
        source.begin(4000)
        rsyslog.wait_for(lambda r: len(r.numbers()) > 6000)
        rsyslog.kill()
        source.finish()
        rsyslog.start()
        rsyslog.wait_for(lambda r: len(set(r.numbers())) >= 14_000)
        assert source.state()["lost"] == [0]
        source.stop()
    assert_complete(rsyslog, 14_000)


def test_a_full_buffer_loses_the_newest_and_counts_them(rsyslog: Rsyslog, tmp_path: Path) -> None:
    rsyslog.stop()
    place = f"tcp://127.0.0.1:{rsyslog.tcp}"
    with log_source(tmp_path, receivers=[place], buffer=200_000) as source:
        source.emit(5000)
        source.wait_for(lambda state: state["waiting"] == [0])
        [lost] = source.state()["lost"]
        assert 0 < lost < 5000
        rsyslog.start()
        rsyslog.wait_for(lambda r: len(set(r.numbers())) >= 4990 - lost)
        source.wait_for(lambda state: state["on_disk"] == [0])
        source.emit(10)
        rsyslog.wait_for(lambda r: 5009 in r.numbers())
        source.stop()
    numbers = [number for number in dict.fromkeys(rsyslog.numbers()) if number < 5000]
    assert numbers == list(range(len(numbers)))
    assert abs(len(numbers) - (5000 - lost)) <= 2  # a line of its own, that the receiver is away, is among the lost


def test_what_waits_survives_the_gateway(rsyslog: Rsyslog, tmp_path: Path) -> None:
    rsyslog.stop()
    place = f"tcp://127.0.0.1:{rsyslog.tcp}"
    with log_source(tmp_path, receivers=[place]) as source:
        source.emit(300)
        source.stop()
    rsyslog.start()
    with log_source(tmp_path, receivers=[place]) as source:
        rsyslog.wait_for(lambda r: len(r.numbers()) >= 300)
        source.stop()
    assert_complete(rsyslog, 300)


def test_another_certificate_is_not_believed(rsyslog: Rsyslog, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    roots = TestAuthority(other).roots
    with log_source(tmp_path, receivers=[f"tls://localhost:{rsyslog.tls}"], authorities=str(roots)) as source:
        source.emit(10)
        source.wait_for(lambda state: state["on_disk"][0] > 0)
        assert source.state()["connected"] == [False]
        source.stop()
    assert rsyslog.numbers() == []


def test_another_name_is_not_believed(rsyslog: Rsyslog, tmp_path: Path) -> None:
    place = f"tls://127.0.0.1:{rsyslog.tls}"  # the certificate is for localhost
    with log_source(tmp_path, receivers=[place], authorities=str(tmp_path / "roots.pem")) as source:
        source.emit(10)
        source.wait_for(lambda state: state["on_disk"][0] > 0)
        source.stop()
    assert rsyslog.numbers() == []


def test_a_receiver_that_wants_to_know_who_we_are(tmp_path: Path) -> None:
    demand(peers.missing())
    authority = TestAuthority(tmp_path)
    pair, own = authority.issue("localhost"), authority.issue("gw.inside.test", file="own")
    rsyslog = Rsyslog.prepare(tmp_path, pair, authority.roots, peer="gw.inside.test")
    names = {"authorities": str(authority.roots), "certificate": str(own.certificate), "key": str(own.key)}
    try:
        rsyslog.start()
        with log_source(tmp_path, receivers=[f"tls://localhost:{rsyslog.tls}"], **names) as source:
            source.emit(10)
            rsyslog.wait_for(lambda r: len(r.numbers()) >= 10)
            source.stop()
    finally:
        rsyslog.stop()
    assert_complete(rsyslog, 10)
