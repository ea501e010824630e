"""Short forms of the drills D2, D3 and D22 (threats 7): order of system calls, kill points, slow peers.

The gateway is always the real one under twistd. The sums are those of threats 7.0.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import re
import signal
import smtplib
import socket
import sqlite3
import ssl
import statistics
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import attrs
import pytest

from securegw.store.database import Database
from securegw.store.items import Item
from securegw.store.upgrade import upgrade
from tests.support import ldap_client
from tests.support import load as loads
from tests.support.drill import Pair, Sums, body_of, count, digest
from tests.support.killing import Trap
from tests.support.load import Drill, Load, Outcome, write_drill
from tests.support.mails import mail, read, send
from tests.support.nrpe_door import query, read_response
from tests.support.ports import free_port
from tests.support.postgres import Postgres, postgres
from tests.support.running import Gateway, admin, prepare
from tests.support.sink import Arrived, Sink, sink
from tests.support.slow import slow_peers
from tests.support.starting import PLAIN, end_of, start_by, started_by
from tests.support.tracing import STRACE, Call, calls, first_after, only

__all__ = ["postgres"]

OTTO = "otto@inside.test"
QUICK: dict[str, dict[str, object]] = {
    "delivery": {"first_retry": "1s"},
    "smtp": {"connections_per_minute": 100_000},
}
Find = Callable[[str], str]
Record = Callable[[str, object], None]
# The same drills at their full length, some minutes more: before a release, not with every change.
FULL = "SECUREGW_FULL" in os.environ


def demand(problem: str | None) -> None:
    """Skip with these words, or fail where all drills must be run."""
    if problem is None:
        return
    if os.environ.get("CI"):
        pytest.fail(f"CI must run this drill: {problem}")
    pytest.skip(problem)


def report(record_property: Record, words: str) -> None:
    print(words)
    record_property("drill", words)


# --- D2: the order of system calls ------------------------------------------------------------------------------------


@pytest.fixture
def strace(program: Find) -> str:
    found = program("strace")
    tried = subprocess.run([found, "-o", "/dev/null", "true"], capture_output=True, timeout=20, check=False)
    demand(None if tried.returncode == 0 else f"strace may not trace here: {tried.stderr.decode()}")
    return found


def test_d2_every_250_follows_the_sync_of_what_it_promises(strace: str, tmp_path: Path) -> None:
    trace, to = tmp_path / "trace", "d2@outside.test"
    with sink() as outside:
        gateway = prepare(tmp_path, inside=1, outside=outside.port)
        with started_by(gateway, strace, *STRACE, "-o", str(trace), *PLAIN):
            send(gateway.smtp_port, OTTO, to, mail(OTTO, to, "traced", "one mail"))
            outside.sent_to(to)
            gateway.wait_empty(20)
            gateway.stop()
        found = [call for call in calls(trace) if call.good]

    log = partial(touches, str(gateway.folder / "securegw.db-wal"))
    ours, theirs = f":{gateway.smtp_port}->", f":{outside.port}]"
    taken = only(
        found,
        "250",
        lambda call: is_write(call) and ours in call.arguments and "250 2.0.0 Taken" in call.arguments,
    )
    row = first_after(
        found,
        "the row",
        -1,
        lambda call: log(call) and call.name == "pwrite64" and f"{OTTO}" in call.arguments,
    )
    # All that was written to the log before the 250 was synced before it, and the mail's row was among it.
    assert row.ended < taken.began
    written = [call for call in found if log(call) and call.name == "pwrite64" and call.began < taken.began]
    synced = first_after(
        found, "the sync", max(call.ended for call in written), lambda call: log(call) and is_sync(call)
    )
    assert synced.ended < taken.began, f"250 in line {taken.began}, the sync ended in line {synced.ended}"

    kept = only(
        found, "the next hop's 250", lambda call: theirs in call.arguments and "2.0.0 kept" in call.arguments
    )
    # The row goes in the transaction that writes the reply down: such a page stands in the log after the reply only.
    noted = first_after(
        found,
        "the end",
        -1,
        lambda call: log(call) and call.name == "pwrite64" and "2.0.0 kept" in call.arguments,
    )
    assert noted.began > kept.ended
    assert first_after(found, "its sync", noted.ended, lambda call: log(call) and is_sync(call))


def test_d2_with_postgresql_every_250_follows_the_answer_to_its_commit(
    strace: str, postgres: Postgres, tmp_path: Path
) -> None:
    """That a commit is on the disk there is a setting of the session, which tests/store/test_server.py looks at."""
    trace, to = tmp_path / "trace", "d2@outside.test"
    with sink() as outside:
        url = postgres.url(postgres.database())
        gateway = prepare(tmp_path, inside=1, outside=outside.port, database=url)
        with started_by(gateway, strace, *STRACE, "-o", str(trace), *PLAIN):
            send(gateway.smtp_port, OTTO, to, mail(OTTO, to, "traced", "one mail"))
            outside.sent_to(to)
            gateway.wait_empty(20)
            gateway.stop()
        found = [call for call in calls(trace) if call.good]

    taken = only(found, "250", lambda call: is_write(call) and "250 2.0.0 Taken" in call.arguments)
    row = first_after(found, "the row", -1, lambda call: is_write(call) and is_row(call))
    asked = first_after(found, "COMMIT", row.ended, lambda call: is_write(call) and "COMMIT" in call.arguments)
    # PostgreSQL says COMMIT, the tag of the command, when it has committed, and ROLLBACK when it has not.
    answer = first_after(found, "its answer", asked.began, lambda call: is_read(call) and "COMMIT" in call.arguments)
    assert answer.ended < taken.began, f"250 in line {taken.began}, the answer ended in line {answer.ended}"

    kept = only(found, "the next hop's 250", lambda call: is_read(call) and "2.0.0 kept" in call.arguments)
    first_after(found, "the end", kept.ended, lambda call: is_write(call) and "2.0.0 kept" in call.arguments)


def is_row(call: Call) -> bool:
    """The mail's sender on its way to the database, which is reached by a Unix socket."""
    return "<UNIX" in call.arguments and OTTO in call.arguments


def is_read(call: Call) -> bool:
    return call.name in ("read", "recvfrom", "recvmsg")


def touches(path: str, call: Call) -> bool:
    return f"<{path}>" in call.arguments[: len(path) + 20]


def is_sync(call: Call) -> bool:
    return call.name in ("fsync", "fdatasync")


def is_write(call: Call) -> bool:
    return call.name in ("write", "sendto", "sendmsg")


def test_d2_a_mail_stays_in_the_queue_until_the_next_hop_has_said_250(tmp_path: Path) -> None:
    there, go, to = threading.Event(), threading.Event(), "held@outside.test"

    def answers(verb: str, argument: str) -> bytes | None:
        if verb == ".":
            there.set()
            assert go.wait(20)
        return None

    with sink(answers=answers) as outside:
        gateway = prepare(tmp_path, inside=1, outside=outside.port)
        try:
            gateway.start()
            send(gateway.smtp_port, OTTO, to, mail(OTTO, to, "held", "one mail"))
            assert there.wait(20), "the mail never came"
            gateway.wait_for_queue(lambda items: [item.kind for item in items] == ["ready"])
            go.set()
            gateway.wait_empty(20)
        finally:
            go.set()
            gateway.stop()
    assert len(outside.arrived) == 1


# --- D3: kill points --------------------------------------------------------------------------------------------------


@attrs.frozen
class Point:
    """Where the gateway kills itself, the mails that lead there, and whether the next hop has one of them by then."""

    name: str
    kind: str = "plain"
    twice: bool = False


POINTS = (
    Point("body"),
    Point("take, asked"),
    Point("take, uncommitted"),
    Point("take, committed"),
    Point("reply"),
    Point("treat, asked", "carrier"),
    Point("treat, uncommitted", "carrier"),
    Point("treat, committed", "carrier"),
    Point("make an account, uncommitted", "carrier"),
    Point("make an account, committed", "carrier"),
    Point("make a key, uncommitted", "key"),
    Point("make a key, committed", "key"),
    Point("deliver, asked", "carrier", twice=True),
    Point("deliver, uncommitted", "carrier", twice=True),
    Point("deliver, committed", "carrier"),
    Point("deliver at once, asked", twice=True),
    Point("deliver at once, uncommitted", twice=True),
    Point("deliver at once, committed"),
    Point("give up, uncommitted", "gone"),
    Point("give up, committed", "gone"),
    Point("put off, uncommitted", "late"),
    Point("put off, committed", "late"),
)
MAILS = 20 if FULL else 4
FIRST, SECOND = 1, 2
DRIVER = (sys.executable, "-m", "tests.support.killing")


class Fickle:
    """A next hop's answers: ``gone...`` does not exist, ``late...`` must come twice."""

    def __init__(self) -> None:
        self.seen: set[str] = set()

    def __call__(self, verb: str, argument: str) -> bytes | None:
        if verb != "RCPT":
            return None
        if "<gone" in argument:
            return b"550 5.1.1 nobody\r\n"
        if "<late" in argument and argument not in self.seen:
            self.seen.add(argument)
            return b"451 4.2.1 not now\r\n"
        return None


@attrs.frozen
class Mortal:
    """A gateway that dies at many points, one after the other, and its next hops."""

    gateway: Gateway
    inside: Sink
    outside: Sink
    trap: Trap

    def live(self) -> None:
        """Begin the next life, which ends where the trap says; until it is laid, nothing is different."""
        start_by(self.gateway, *DRIVER, str(self.trap.file))


@pytest.fixture(scope="module")
def mortals(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mortal]:
    folder = tmp_path_factory.mktemp("mortal")
    with sink() as inside, sink(answers=Fickle()) as outside:
        gateway = prepare(folder, inside=inside.port, outside=outside.port, settings=QUICK)
        admin(gateway.config, "users", "add", "ann@inside.test", "--name", "Ann Keller")
        try:
            yield Mortal(gateway, inside, outside, Trap(folder / "trap"))
        finally:
            gateway.kill()


@pytest.fixture
def mortal(mortals: Mortal) -> Iterator[Mortal]:
    """Alive, with an empty queue: the life that the test before has left, or a new one."""
    if mortals.gateway.process is None:
        mortals.live()
    mortals.gateway.wait_empty(60)
    yield mortals
    mortals.trap.lift()
    if mortals.gateway.process is not None and mortals.gateway.process.popen.poll() is not None:
        mortals.gateway.kill()


def written(point: Point, number: int, run: str) -> Drill:
    """One mail of the kind that comes to this point."""
    make = partial(write_drill, number, point.kind, run=run)
    if point.kind == "key":  # each of a user who has none yet
        return make(
            f"{run}-{number}@inside.test", [f"p-{run}-{number}@outside.test"], subject="[sign] signed"
        )
    if point.kind == "carrier":
        return make("ann@inside.test", [f"c-{run}-{number}@outside.test"], subject="[confidential] letter")
    local = point.kind if point.kind in ("gone", "late") else "p"
    return make(OTTO, [f"{local}-{run}-{number}@outside.test"], subject="news")


@pytest.mark.parametrize("point", POINTS, ids=lambda point: point.name)
def test_d3_nothing_is_lost_wherever_it_is_killed(
    point: Point, mortal: Mortal, tmp_path: Path, record_property: Record
) -> None:
    run, gateway = re.sub(r"[^a-z]+", "", point.name), mortal.gateway
    drills = [written(point, number, run) for number in range(MAILS)]
    if point.kind == "key":
        for drill in drills:
            admin(gateway.config, "users", "add", drill.sender, "--name", "New User")
    load = Load(gateway.smtp_port, drills, tmp_path / "journal", connections=3, longest=0.4)
    sender = threading.Thread(target=load.run, daemon=True)
    mortal.trap.lay(point.name, SECOND)
    sender.start()
    await_death(gateway)
    mortal.trap.lift()
    killed, at_kill = time.time(), by_recipient(gateway.queue())
    missing = {to for _, to in pairs(load)} - at_kill.keys() - arrivals(mortal) - notices(mortal.inside)
    # A notice in the queue is sealed: whom it is about is not known, but that it is there.
    assert len(missing) <= sum(item.sender == "" for item in at_kill.values()), f"lost at the kill: {missing}"

    gateway.kill()
    mortal.live()
    sender.join(60)
    assert not sender.is_alive(), "the load did not end"
    gateway.wait_empty(60)

    sums = summed(load, mortal.inside, mortal.outside, kills=[killed])
    report(record_property, f"D3 {point.name}: {sums.line()}")
    judge(sums)
    under_way = {to for to, item in at_kill.items() if is_under_way(item, point)}
    assert {to for _, to in sums.doubles} <= under_way, f"doubles: {sums.doubles}; under way: {under_way}"
    assert set(sums.doubles.values()) <= {1}
    doubled = bool(sums.doubles) or codes_twice(mortal.inside, run)
    assert doubled or not point.twice, "this point must make a double: was it reached?"
    if point.kind == "gone":
        judge_notices(load, told_about(mortal.inside, run), at_kill)


def is_under_way(item: Item, point: Point) -> bool:
    """Whether it was being sent: treated, or with its treatment; a carrier never goes before its letter is there."""
    return item.kind == "ready" or (item.session is not None and point.kind != "carrier")


def told_about(inside: Sink, run: str) -> list[str]:
    """The recipients in the notices of one run, as often as they were told of."""
    texts = (arrived.raw.decode() for arrived in list(inside.arrived))
    return [to for text in texts for to in FINAL.findall(text) if run in to]


def judge_notices(load: Load, told: list[str], at_kill: Mapping[str, Item]) -> None:
    """Everybody is told; twice only of a mail that came twice, or by a notice that was under way at the kill."""
    assert set(told) == {to for one in load.outcomes.values() for to in one.drill.recipients}
    excused = sum(one.unknown for one in load.outcomes.values())
    excused += sum(item.sender == "" and item.kind == "ready" for item in at_kill.values())
    assert len(told) - len(set(told)) <= excused, sorted(told)


def await_death(gateway: Gateway) -> None:
    """Until the driver has killed the gateway; nobody else has."""
    assert gateway.process is not None
    try:
        code = gateway.process.popen.wait(30)
    except subprocess.TimeoutExpired:
        raise AssertionError(f"the point was never reached:\n{gateway.log[-3000:]}") from None
    assert code == -signal.SIGKILL, f"it ended by itself: {code}\n{gateway.log[-3000:]}"


def by_recipient(items: Sequence[Item]) -> dict[str, Item]:
    """Every mail of these drills has a recipient of its own; notices all go to the same, and are kept by their ids."""
    return {
        recipient.address if item.sender else item.id: item for item in items for recipient in item.recipients
    }


def pairs(load: Load) -> set[Pair]:
    return {(name, to) for name, one in load.outcomes.items() for to in tuple(one.accepted)}


def arrivals(mortal: Mortal) -> set[str]:
    return {to for arrived in list(mortal.outside.arrived) for to in arrived.recipients}


FINAL = re.compile(r"Final-Recipient: rfc822; *(\S+)", re.IGNORECASE)


def notices(inside: Sink) -> set[str]:
    """Recipients about whom their sender has got a notice."""
    return {
        to for arrived in list(inside.arrived) for to in FINAL.findall(arrived.raw.decode("utf-8", "replace"))
    }


def codes_twice(inside: Sink, run: str) -> bool:
    """Whether a code for the portal came twice: two mails come of a carrier, and either may be what was asked last."""
    ours = [arrived.raw for arrived in list(inside.arrived) if f"-{run}-".encode() in arrived.raw]
    codes = Counter(read(raw)["Message-ID"] for raw in ours)
    return any(times > 1 for times in codes.values())


def summed(load: Load, inside: Sink, outside: Sink, *, kills: Sequence[float] = ()) -> Sums:
    """The sums when the queue is empty; who got a notice about a mail has not lost it."""
    known = {drill.recipients[0]: name for name, drill in ((n, o.drill) for n, o in load.outcomes.items())}
    ours = [arrived for arrived in list(outside.arrived) if set(arrived.recipients) & known.keys()]
    told = [(known[to], to) for to in notices(inside) if to in known]
    return count(load.outcomes, ours, told, kills, is_good=is_whole, is_clear=is_clear)


def is_whole(one: Outcome, arrived: Arrived) -> bool:
    if one.drill.kind == "carrier":
        return b"secure-email.html" in arrived.raw
    if one.drill.kind == "key":
        return b"multipart/signed" in arrived.raw and body_of(one.drill.raw) in arrived.raw
    return digest(body_of(one.drill.raw)) == digest(body_of(arrived.raw))


def is_clear(one: Outcome, arrived: Arrived) -> bool:
    return one.drill.kind == "carrier" and body_of(one.drill.raw).splitlines()[1] in arrived.raw


def judge(sums: Sums) -> None:
    assert len(sums.accepted) >= 0.9 * sums.planned, f"void: {sums.line()}"
    assert not sums.lost, f"lost: {sorted(sums.lost)[:10]}"
    assert not sums.ghosts
    assert not sums.corrupt
    assert not sums.clear
    assert not sums.wrong_permanent


@pytest.mark.parametrize("point", ["statement", "migrate, uncommitted", "migrate, committed"])
def test_d3_a_migration_that_is_killed_begins_again(point: str, tmp_path: Path) -> None:
    """A database of the first version with mails in its queue; the newest gateway dies while it upgrades it."""
    people = [f"m{number}@outside.test" for number in range(3)]
    with sink(answers=lambda verb, argument: b"421 4.3.2 closed\r\n") as closed, sink() as outside:
        gateway = prepare(tmp_path, inside=1, outside=closed.port, settings=QUICK)
        try:
            gateway.start()
            for to in people:
                send(gateway.smtp_port, OTTO, to, mail(OTTO, to, "old", "kept from an old version"))
            gateway.wait_for_queue(lambda items: [item.tries > 0 for item in items] == [True] * 3)
            gateway.stop()
            admin(gateway.config, "routes", "set", "*", f"[127.0.0.1]:{outside.port}")
            make_old(gateway.folder / "securegw.db")
            trap = Trap(tmp_path / "trap")
            trap.lay(point, FIRST)
            code = end_of(gateway, *DRIVER, str(trap.file))
            assert code == -signal.SIGKILL, gateway.log[-3000:]
            gateway.start()
            gateway.wait_empty(30)
        finally:
            gateway.stop()
    assert sorted(to for arrived in outside.arrived for to in arrived.recipients) == people


def make_old(path: Path) -> None:
    """Turn the database into one of the first migration, with the same rows as far as it has columns for them."""
    old = path.with_name("old.db")
    database = Database(f"sqlite:///{old}", inline=True)
    database.write(upgrade, "0001").result()
    database.close()
    with contextlib.closing(sqlite3.connect(old)) as connection:
        connection.execute("ATTACH ? AS new", [str(path)])
        tables = connection.execute(
            "SELECT name FROM main.sqlite_master WHERE type = 'table' AND name NOT IN ('alembic_version')"
            " AND name NOT LIKE 'sqlite%'"
        ).fetchall()
        for (table,) in tables:
            columns = ", ".join(
                f'"{row[1]}"' for row in connection.execute(f'PRAGMA main.table_info("{table}")')
            )
            connection.execute(f'DELETE FROM main."{table}"')
            connection.execute(f'INSERT INTO main."{table}" ({columns}) SELECT {columns} FROM new."{table}"')
        connection.commit()
    assert not path.with_name(f"{path.name}-wal").exists(), "the gateway has not closed its database"
    old.replace(path)


def wait_for(test: Callable[[], bool], words: str, seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not test():
        assert time.monotonic() < end, words
        time.sleep(0.02)


def portal_answers(gateway: Gateway) -> int:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with urllib.request.urlopen(
        f"https://localhost:{gateway.portal_port}/", timeout=20, context=context
    ) as answer:
        return int(answer.status)


# --- D22: slow peers --------------------------------------------------------------------------------------------------

SLOW_ADDRESSES = tuple(f"127.0.0.{number}" for number in range(3, 13))
GUESSER = "127.0.0.14"
GOOD, MEDIAN, MEMORY = (1500, 2.0, 1 << 30) if FULL else (30, 10.0, 600 << 20)
# How many are slow with SMTP, with its handshake, with HTTPS, with its request, and with LDAP.
SLOW = (280, 20, 100, 100, 100) if FULL else (100, 20, 30, 50, 20)


@contextlib.contextmanager
def over_and_over(work: Callable[[], object]) -> Iterator[list[object]]:
    """Somebody does this again and again while the block runs; what came of it each time, an exception too."""
    came: list[object] = []
    over = threading.Event()

    def go_on() -> None:
        while not over.is_set():
            try:
                came.append(work())
            except (OSError, smtplib.SMTPException) as error:
                came.append(error)

    worker = threading.Thread(target=go_on, daemon=True)
    worker.start()
    try:
        yield came
    finally:
        over.set()
        worker.join(60)


def guess(port: int) -> int:
    """The code that a wrong password gets."""
    with smtplib.SMTP("127.0.0.1", port, timeout=30, source_address=(GUESSER, 0)) as client:
        client.starttls()
        client.ehlo()
        return client.docmd("AUTH", "PLAIN " + base64.b64encode(b"\0ann\0guess").decode())[0]


def ask_nrpe(port: int) -> str:
    with socket.create_connection(("127.0.0.1", port), 30) as asking:
        asking.sendall(query(2, b"check_securegw_refusals"))
        answer = b""
        while piece := asking.recv(4096):
            answer += piece
    return read_response(answer)


def gauges(port: int) -> dict[str, float]:
    """What /metrics says, by name and labels."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        lines = answer.read().decode().splitlines()
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[:1] != "#")}


def test_d22_slow_peers_and_floods_hold_up_nobody(tmp_path: Path, record_property: Record) -> None:
    drills = [
        write_drill(n, "plain", OTTO, [f"p{n}@outside.test"], run="d22", subject="news") for n in range(GOOD)
    ]
    ldap, nrpe, metrics = free_port(), free_port(), free_port()
    doors: dict[str, dict[str, object]] = {
        "ldap": {"outside": [f"tcp:{ldap}:interface=127.0.0.1"]},
        "nrpe": {"listen": [f"tcp:{nrpe}:interface=127.0.0.1"], "protection": "none"},
        "monitoring": {"listen": [f"tcp:{metrics}:interface=127.0.0.1"]},
    }
    talking, shaking, handshakes, requests, searches = SLOW
    with sink() as inside, sink() as outside, slow_peers(*SLOW_ADDRESSES) as slow:
        gateway = prepare(tmp_path, inside=inside.port, outside=outside.port, settings={**QUICK, **doors})
        admin(gateway.config, "logins", "add", "ann", "--sender", "@inside.test", "--generate")
        try:
            gateway.start()
            slow.talk(talking, gateway.smtp_port, says=b"EHLO slow.test\r\n")
            slow.shake(shaking, gateway.smtp_port, after=(b"EHLO slow.test\r\n", b"STARTTLS\r\n"))
            slow.shake(handshakes, gateway.portal_port)
            slow.talk(requests, gateway.portal_port, says=b"GET / HTTP/1.1\r\nX-Slow: ", tls=True)
            slow.talk(searches, ldap, says=b"\x30\x84\x00\x00\xff\x00")
            assert slow.open == sum(SLOW), "the drill is void: not all slow peers were let in"
            with (
                over_and_over(partial(guess, gateway.smtp_port)) as guesses,
                over_and_over(partial(ask_nrpe, nrpe)) as answers,
            ):
                took = asyncio.run(hand_in(gateway.smtp_port, drills))
                assert portal_answers(gateway) == 200
                assert ldap_client.code_of(ldap, "(mail=x@inside.test)") == 0
                came = outside.wait(lambda mails: len(mails) >= GOOD, 120)
                wait_for(lambda: len(guesses) > 5 and len(answers) > 5, "there was no flood")
            memory, still, told = memory_of(gateway.pid), slow.open, gauges(metrics)
            slow.leave()
            closed = partial(count_of, metrics)
            wait_for(lambda: closed('securegw_open_connections{door="smtp"}') == 0, "they never went")
            assert closed('securegw_stress{door="smtp"}') == 0
        finally:
            gateway.stop()
    median, longest = statistics.median(took), max(took)
    report(
        record_property,
        f"D22 {'' if FULL else 'short'}: mails={len(came)} slow={still} median={median:.3f}s longest={longest:.3f}s "
        f"memory={memory >> 20}MB guesses={len(guesses)} nrpe={len(answers)}",
    )
    assert sorted(to for arrived in came for to in arrived.recipients) == sorted(
        d.recipients[0] for d in drills
    )
    assert still >= 100, "the slow peers went away before the mails were in"
    assert median < MEDIAN
    assert memory < MEMORY
    assert set(guesses) <= {535, 454, 421}, guesses
    assert all(str(answer).startswith("2 0 ") or "REFUSALS" in str(answer) for answer in answers), answers[:3]
    assert told['securegw_open_connections{door="smtp"}'] >= 100
    assert told['securegw_open_connections{door="ldap-outside"}'] >= searches * 0.5
    assert told['securegw_limit{name="smtp.connections"}'] == 500
    assert told['securegw_smtp_refusals_total{reason="wrong-password"}'] > 0


def count_of(port: int, name: str) -> float:
    return gauges(port)[name]


async def hand_in(port: int, drills: Sequence[Drill]) -> list[float]:
    """Hand the mails in, five at a time, each in a session of its own; how long each waited for its 250."""
    turn = asyncio.Semaphore(5)

    async def one(drill: Drill) -> float:
        async with turn:
            began = time.monotonic()
            client = await loads.connect(port)
            client.say(loads.envelope(drill.sender, drill.recipients))
            *_, go = await client.expect(len(drill.recipients) + 2)
            assert go.startswith(b"354"), go
            client.say(loads.stuffed(drill.raw))
            [final] = await client.expect()
            client.transport.close()
            assert final.startswith(b"250"), final
            return time.monotonic() - began

    async with asyncio.timeout(120):
        return await asyncio.gather(*map(one, drills))


def memory_of(pid: int) -> int:
    """Proportional memory of a process and its children, in bytes."""
    family = [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]
    sizes = (
        re.search(r"^Pss: +(\d+) kB", Path(f"/proc/{each}/smaps_rollup").read_text(), re.M) for each in family
    )
    return sum(int(found[1]) << 10 for found in sizes if found)
