"""Drill D1: 300 mails of all classes, the gateway killed six times under load, nothing lost.

Its variants: only the workers are killed, the gateway is told to go, or it is stopped for longer than it may hold what
it has claimed.

With ``SECUREGW_FULL=1`` it is 2,000 mails and twenty kills.

The counts are those of threats 7.0. The gateway is the real one under twistd, killed with SIGKILL by its id and
started again by us, its supervisor.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import attrs
import pytest

from securegw.crypto import authority, smime
from securegw.crypto.certificate import read_certificate
from securegw.mail.address import parse_address
from tests.support.drill import Sums, body_of, count, digest
from tests.support.load import Drill, Load, Outcome, write_drill
from tests.support.mails import STRANGER, mail, send
from tests.support.postgres import postgres
from tests.support.running import TWISTD, Gateway, admin, prepare
from tests.support.sink import Arrived, Sink, sink
from tests.support.starting import start_by

__all__ = ["postgres"]

FULL = "SECUREGW_FULL" in os.environ
MAILS, KILLS = (2000, 20) if FULL else (300, 6)
CONNECTIONS = 20
RUN = "d1"
ANN, CAROL = "ann@inside.test", "carol@partner.test"
# Out of 20 in a row; the share of OpenPGP falls to S/MIME as long as there is no OpenPGP.
CLASSES = ["plain"] * 8 + ["smime"] * 6 + ["carrier"] * 2 + ["opened"] * 3 + ["verified"]
INCOMING = {"opened": STRANGER, "verified": STRANGER}
READY = 5.0


@attrs.frozen
class Papers:
    """Carol's key and certificate, her authority, Ann's certificate."""

    key: bytes
    certificate: bytes
    root: bytes
    ann: bytes

    def sign(self, raw: bytes) -> bytes:
        return smime.sign(raw, self.key, self.certificate, (), time.time())

    def encrypt(self, raw: bytes) -> bytes:
        return smime.encrypt(raw, (self.ann,))


@attrs.frozen
class Drilled:
    """A gateway to be killed, its neighbours, and the papers of the people."""

    gateway: Gateway
    inside: Sink
    outside: Sink
    papers: Papers


@pytest.fixture(params=["sqlite", "postgresql"])
def drilled(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Drilled]:
    """Started, with certificates for Ann and Carol."""
    url = None
    if request.param == "postgresql":
        server = request.getfixturevalue("postgres")
        url = server.url(server.database())
    with ground(tmp_path, url) as made:
        made.gateway.start()
        yield made


@contextlib.contextmanager
def ground(tmp_path: Path, url: str | None = None) -> Iterator[Drilled]:
    """A gateway that is not started yet, with certificates for Ann and Carol."""
    more = {"delivery": {"first_retry": "1s"}, "smtp": {"connections_per_minute": 100_000}}
    with sink(journal=tmp_path / "inside") as inside, sink(journal=tmp_path / "outside") as outside:
        gateway = prepare(tmp_path, inside=inside.port, outside=outside.port, settings=more, database=url)
        papers = give_papers(gateway, tmp_path)
        try:
            yield Drilled(gateway, inside, outside, papers)
        finally:
            gateway.stop()


def give_papers(gateway: Gateway, folder: Path) -> Papers:
    """Carol is known and trusted; Ann has a certificate of the internal authority."""
    now = time.time()
    root_key, root = authority.make_authority("Partner people", years=2, now=now, kind="p-256")
    key, der = authority.issue(root_key, root, address=CAROL, name="Carol", days=300, now=now)
    for name, content in (("root.pem", root), ("carol.pem", der)):
        (folder / name).write_bytes(authority.to_pem(content))
        admin(gateway.config, "keys", "import", str(folder / name), "--trust")
    admin(gateway.config, "users", "add", ANN, "--name", "Ann Keller")
    admin(gateway.config, "keys", "issue", ANN)
    return Papers(key, der, root, gateway.certificate_of(ANN))


def drills(papers: Papers) -> list[Drill]:
    """The mails, all different, always the same for the same papers."""
    return [write(number, CLASSES[number % len(CLASSES)], papers) for number in range(MAILS)]


def write(number: int, kind: str, papers: Papers) -> Drill:
    make = partial(write_drill, number, kind, run=RUN)
    if kind == "plain":
        people = [f"p{number}-{each}@outside.test" for each in range(1 + number % 5)]
        return make("otto@inside.test", people, subject="news")
    if kind == "carrier":
        return make(ANN, [f"c{number}@outside.test"], subject="[confidential] letter")
    if kind == "smime":
        return make(ANN, [CAROL], subject="[confidential] closed")
    drill = make(CAROL, [ANN], subject=kind)
    signed = papers.sign(drill.raw)
    return attrs.evolve(drill, raw=papers.encrypt(signed) if kind == "opened" else signed)


def originals() -> dict[str, bytes]:
    """The body of each drill as it was written, by id."""
    written = [write_drill(number, "", ANN, [ANN], run=RUN, subject="") for number in range(MAILS)]
    return {drill.id: body_of(drill.raw) for drill in written}


def kill_and_restart(
    gateway: Gateway, load: Load, instants: random.Random
) -> tuple[list[float], list[float]]:
    """All kills, spread over the load, each at a random instant; when they were and how long each start took."""
    kills, starts = [], []
    for number in range(1, KILLS + 1):
        load.wait_for(number * MAILS // (KILLS + 1), 600 if FULL else 120)
        time.sleep(instants.uniform(0, 0.2))
        kills.append(time.time())
        gateway.kill()
        starts.append(gateway.start())
    return kills, starts


def test_nothing_is_lost_when_it_is_killed_under_load(
    drilled: Drilled, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    texts = originals()
    load = Load(
        drilled.gateway.smtp_port,
        drills(drilled.papers),
        tmp_path / "journal",
        connections=CONNECTIONS,
        sources=INCOMING,
    )
    sender = threading.Thread(target=load.run)
    sender.start()
    kills, starts = kill_and_restart(drilled.gateway, load, random.Random(1))
    sender.join(600 if FULL else 120)
    assert not sender.is_alive(), "the load did not end"
    drilled.gateway.wait_empty(300 if FULL else 90)

    sums = summed(load, drilled, texts, kills)
    line = f"D1{'' if FULL else ' short'}: {sums.line()} kills={len(kills)} recovery={max(starts):.1f}s"
    print(line)
    record_property("drill", line)
    judge(sums, drilled, texts)
    assert sorted(starts)[KILLS // 2] < READY, f"slow to come back: {starts}"


def summed(load: Load, drilled: Drilled, texts: dict[str, bytes], kills: list[float]) -> Sums:
    return count(
        load.outcomes,
        [*drilled.inside.arrived, *drilled.outside.arrived],
        [(item.id, recipient.address) for item in drilled.gateway.queue() for recipient in item.recipients],
        kills,
        is_good=partial(is_whole, texts, drilled.papers, drilled.gateway.authority()),
        is_clear=partial(is_clear, texts),
    )


# --- variants ---------------------------------------------------------------------------------------------------------

FEW = 600 if FULL else 60
# A killed worker's mail is tried again soon; who is stopped has lost its claims after two seconds, not fifteen.
HASTY = (sys.executable, "-m", "tests.support.hasty", "pause=0.1", "lease=2")
STOPPED = 30.0 if FULL else 3.0
Trouble = Callable[[int], None]


def kill_workers(pid: int) -> None:
    """All worker processes that the gateway has; it has one as soon as an S/MIME mail came."""
    end = time.monotonic() + 30
    while not (workers := children(pid)):
        assert time.monotonic() < end, "there is no worker"
        time.sleep(0.01)
    for each in workers:
        with contextlib.suppress(ProcessLookupError):
            os.kill(each, signal.SIGKILL)


def children(pid: int) -> list[int]:
    """Those who work; Python's own watcher over shared memory is none."""
    found = map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
    return [each for each in found if b"spawn_main" in Path(f"/proc/{each}/cmdline").read_bytes()]


def stop_for_a_while(pid: int) -> None:
    os.kill(pid, signal.SIGSTOP)
    time.sleep(STOPPED)  # this is the fault
    os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize(
    ("trouble", "words", "doubles"),
    [
        pytest.param(kill_workers, HASTY, False, id="its workers are killed"),
        pytest.param(stop_for_a_while, TWISTD if FULL else HASTY, True, id="it is stopped for a while"),
    ],
)
def test_d1_what_else_may_befall_its_processes(
    trouble: Trouble,
    words: tuple[str, ...],
    doubles: bool,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    record_property: Callable[[str, object], None],
) -> None:
    texts, times = originals(), []
    with ground(tmp_path) as made:
        start_by(made.gateway, *words)
        load = Load(
            made.gateway.smtp_port,
            [write(number, CLASSES[number % len(CLASSES)], made.papers) for number in range(FEW)],
            tmp_path / "journal",
            connections=5,
            sources=INCOMING,
        )
        sender, pid = threading.Thread(target=load.run, daemon=True), made.gateway.pid
        sender.start()
        for number in (1, 2):
            load.wait_for(number * FEW // 4, 60)
            times.append(time.time())
            trouble(pid)
            times.append(time.time())
        sender.join(120)
        assert not sender.is_alive(), "the load did not end"
        made.gateway.wait_empty(90)
        assert made.gateway.pid == pid and made.gateway.process is not None
        assert made.gateway.process.popen.poll() is None
        sums = summed(load, made, texts, times if doubles else [])
        line = f"D1 {request.node.callspec.id}: {sums.line()}"
        print(line)
        record_property("drill", line)
        judge(sums, made, texts)


# --- the rules --------------------------------------------------------------------------------------------------------


def judge(sums: Sums, drilled: Drilled, texts: dict[str, bytes]) -> None:
    """The drill's rules (threats 7.0, 7.1)."""
    assert len(sums.accepted) >= 0.9 * sums.planned, f"void: {sums.line()}"
    assert not sums.lost, f"lost: {sorted(sums.lost)[:10]}"
    assert not sums.ghosts
    assert not sums.corrupt, f"corrupt: {sorted(sums.corrupt)[:10]}"
    assert not sums.clear, f"clear: {sorted(sums.clear)[:10]}"
    assert not sums.wrong_permanent
    assert not sums.strange_doubles, f"doubles without a kill: {sums.strange_doubles}"
    assert sum(sums.doubles.values()) <= KILLS * CONNECTIONS
    assert not [mail for mail in drilled.inside.arrived if b"multipart/report" in mail.raw], (
        "a notice was sent"
    )
    for name, text in texts.items():
        assert secret(text) not in drilled.gateway.log, f"{name} stands in the log"


def secret(text: bytes) -> str:
    """A line of the body that stands nowhere else."""
    return text.split(b"\r\n")[1].decode()


def is_whole(
    texts: dict[str, bytes], papers: Papers, inside_root: bytes, one: Outcome, mail: Arrived
) -> bool:
    """Whether this copy is what was sent, opened with the key of who may open it."""
    text, kind = texts[one.drill.id], one.drill.kind
    if kind == "plain":
        return digest(body_of(mail.raw)) == digest(text)
    if kind == "carrier":
        return b'filename="secure-email.html"' in mail.raw or b"filename=secure-email.html" in mail.raw
    if kind == "smime":
        keys = [(papers.key, read_certificate(papers.certificate).der)]
        opened = smime.open(mail.raw, keys, [inside_root], time.time(), parse_address(ANN))
        return opened.verdict.encrypted == "opened" and opened.verdict.signed_ok and text in opened.raw
    wanted = b"encrypted=opened; integrity=good" if kind == "opened" else b"encrypted=none; integrity=good"
    return text in mail.raw and wanted in mail.raw


def is_clear(texts: dict[str, bytes], one: Outcome, mail: Arrived) -> bool:
    """Whether this copy should be closed and can be read."""
    return one.drill.kind in ("smime", "carrier") and secret(texts[one.drill.id]).encode() in mail.raw


def test_it_hands_back_within_ten_seconds_when_it_is_told_to_go(tmp_path: Path) -> None:
    """SIGTERM while the next hop keeps every connection waiting: nothing is lost, nothing arrives twice."""
    recipients = [f"r{number}@outside.test" for number in range(30)]
    with socket.create_server(("127.0.0.1", 0), backlog=100) as dead, sink() as outside:
        gateway = prepare(tmp_path, inside=1, outside=dead.getsockname()[1])
        try:
            gateway.start()
            for to in recipients:
                send(gateway.smtp_port, "otto@inside.test", to, mail("otto@inside.test", to, "wait", "for it"))
            gateway.wait_for_queue(lambda items: len(items) == 30 and any(item.kind == "ready" for item in items))
            took = gateway.stop()
            admin(gateway.config, "routes", "set", "*", f"[127.0.0.1]:{outside.port}")
            gateway.start()
            gateway.wait_empty(60)
        finally:
            gateway.kill()
    assert sorted(to for arrived in outside.arrived for to in arrived.recipients) == sorted(recipients)
    assert took < 10
