"""Drill D10: PostgreSQL is stopped, frozen, full of clients, without its standby, killed in a commit, or undoes every
twentieth step (deadlocks and serialization failures), all under load.

SMTP says 451 within thirty seconds or takes nothing; no 250 is lost, nothing is refused for good, and the gateway,
which nobody restarts, works on by itself. Where the database cannot be read either, LDAP says 52 and the portal 503.
A step of which the gateway cannot know whether it was stored counts as failed: a mail that was answered 451, or
delivered, in such a step may come twice (threats 7.2).
"""

from __future__ import annotations

import os
import ssl
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import attrs
import pytest

from tests.support import ldap_client
from tests.support.drill import Sums, body_of, count
from tests.support.ill_postgres import IllPostgres, ill_postgres
from tests.support.load import Outcome, Patient, write_drill
from tests.support.ports import free_port
from tests.support.running import TWISTD, Gateway, prepare
from tests.support.sink import Arrived, Sink, sink
from tests.support.starting import start_by

FULL = "SECUREGW_FULL" in os.environ
MAILS, REFUSED = (1000, 12) if FULL else (60, 4)
SECONDS = 60.0 if FULL else 0.0  # that the trouble lasts at least
HASTY = ("lease=5", "deadline=2", "connect=2", "stale=1")
WORDS = TWISTD if FULL else (sys.executable, "-m", "tests.support.hasty", *HASTY)
QUICK: dict[str, dict[str, object]] = {
    "delivery": {"first_retry": "1s"},
    "smtp": {"connections_per_minute": 100_000},
}
LONGEST_REPLY, BACK = 30.0, 30.0
PATIENCE = 400.0 if FULL else 150.0
Trouble = Callable[[IllPostgres], AbstractContextManager[None]]
TROUBLES: dict[str, Trouble] = {
    "stopped": IllPostgres.stopped,
    "frozen": IllPostgres.frozen,
    "no more clients": IllPostgres.crowded,
    "no standby": IllPostgres.alone,
    "killed in commit": IllPostgres.killed_in_commit,
    "at odds": IllPostgres.at_odds,
}
UNREADABLE = ("stopped", "frozen", "no more clients")
OK, UNAVAILABLE = 0, 52
UNREAD = (UNAVAILABLE, 503)  # LDAP, portal


@attrs.frozen
class Drilled:
    """One gateway and its database, through all troubles."""

    gateway: Gateway
    server: IllPostgres
    outside: Sink
    ldap_port: int

    def ldap(self, address: str) -> int:
        """The code of the answer to a search for the certificate of an address that nobody has asked for before."""
        return ldap_client.code_of(self.ldap_port, f"(mail={address})", LONGEST_REPLY)

    def portal(self) -> int:
        """The status of a page for which the portal must find out who is there."""
        url = f"https://localhost:{self.gateway.portal_port}/first"
        asking = urllib.request.Request(url, headers={"Cookie": f"__Host-s={'x' * 43}"})
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        try:
            with urllib.request.urlopen(asking, timeout=LONGEST_REPLY, context=context) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code


@pytest.fixture(scope="module")
def drilled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Drilled]:
    folder = tmp_path_factory.mktemp("away")
    with ill_postgres() as server, sink() as outside:
        url = server.url(server.database())
        ldap = free_port()
        settings = {**QUICK, "ldap": {"outside": [f"tcp:{ldap}:interface=127.0.0.1"]}}
        gateway = prepare(folder, inside=1, outside=outside.port, settings=settings, database=url)
        try:
            start_by(gateway, *WORDS)
            yield Drilled(gateway, server, outside, ldap)
        finally:
            gateway.kill()


def ask_readers(drilled: Drilled, run: str, *, lasting: bool) -> tuple[int, int]:
    """What LDAP and the portal say to who asks for something that only the database knows.

    A server whose process was killed recovers for a moment; where that does not last, they are asked until it is over.
    """
    heard: list[tuple[int, int]] = []

    def hear() -> bool:
        heard.append((drilled.ldap(f"nobody-{run}-{len(heard)}@inside.test"), drilled.portal()))
        return lasting or heard[-1] != UNREAD

    wait_for(hear, "nobody can read")
    return heard[-1]


@pytest.mark.parametrize("trouble", TROUBLES)
def test_d10_without_its_database_it_says_later(
    trouble: str, drilled: Drilled, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    gateway, run = drilled.gateway, trouble.replace(" ", "")
    drills = [
        write_drill(number, "plain", "otto@inside.test", [f"{run}{number}@outside.test"], run=run, subject="news")
        for number in range(MAILS)
    ]
    pid = gateway.pid
    load = Patient(gateway.smtp_port, drills, tmp_path / "journal", connections=4, longest=0.3)
    load.tries += round(SECONDS / load.longest)
    sender = threading.Thread(target=load.run, daemon=True)
    sender.start()
    load.wait_for(MAILS // 10)
    with TROUBLES[trouble](drilled.server):
        ill = time.monotonic()
        wait_for(lambda: felt(trouble, drilled, load) >= REFUSED, f"nobody felt it: {gateway.log[-2000:]}")
        readers = ask_readers(drilled, run, lasting=trouble in UNREADABLE)
        time.sleep(max(0.0, SECONDS - (time.monotonic() - ill)))
        undone = drilled.server.undone() if trouble == "at odds" else 0
    well = time.monotonic()
    wait_for(lambda: load.counts()["accepted"] > 0.5 * MAILS, "it takes nothing any more")
    back = time.monotonic() - well
    sender.join(PATIENCE)
    assert not sender.is_alive(), "the load did not end"
    gateway.wait_empty(60)

    sums = summed(load, drilled.outside)
    codes = sorted({reply[:3] for one in load.outcomes.values() for reply in one.replies})
    line = (
        f"D10 {trouble}: {sums.line()} refused={len(load.refusals())} replies={codes} "
        f"longest-reply={load.longest_reply:.1f}s back={back:.1f}s undone={undone} readers={readers}"
    )
    print(line)
    record_property("drill", line)
    assert gateway.pid == pid and gateway.process is not None and gateway.process.popen.poll() is None
    judge(sums, load)
    assert set(codes) <= {"250", "451"}
    assert load.longest_reply < LONGEST_REPLY
    assert back < BACK
    assert (readers == UNREAD) is (trouble in UNREADABLE), readers
    assert drilled.ldap(f"somebody-{run}@inside.test") == OK and drilled.portal() < 500


def felt(trouble: str, drilled: Drilled, load: Patient) -> int:
    """How often the trouble was noticed: by who sends, or, where that is worked off in silence, by the database."""
    return drilled.server.undone() if trouble == "at odds" else len(load.refusals())


def wait_for(test: Callable[[], bool], words: str, seconds: float = PATIENCE) -> None:
    end = time.monotonic() + seconds
    while not test():
        assert time.monotonic() < end, words
        time.sleep(0.02)


def summed(load: Patient, outside: Sink) -> Sums:
    known = {to for one in load.outcomes.values() for to in one.drill.recipients}
    ours = [arrived for arrived in list(outside.arrived) if set(arrived.recipients) & known]
    return count(load.outcomes, ours, [], [], is_good=is_whole, is_clear=lambda one, arrived: False)


def is_whole(one: Outcome, arrived: Arrived) -> bool:
    return body_of(one.drill.raw) == body_of(arrived.raw)


def judge(sums: Sums, load: Patient) -> None:
    assert len(sums.accepted) == sums.planned, f"void: {sums.line()}"
    assert not sums.lost
    assert not sums.ghosts
    assert not sums.corrupt
    assert not sums.wrong_permanent
    for (name, _), more in sums.doubles.items():
        assert more <= 1 + sum(reply.startswith("451") for reply in load.outcomes[name].replies), name
