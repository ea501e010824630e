"""Drill D5: a disk is full, of bytes or of files, under load: that of everything, or only the database's, the log's, or
the one for temporary files.

The gateway is the real one under twistd. Mail is 452 as long as it cannot be kept, and what has nothing to do with the
full disk goes on. The sums are those of threats 7.0.
"""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import attrs
import pytest

from tests.peers.conftest import demand
from tests.peers.test_drills import FULL, OTTO, QUICK, judge, notices, portal_answers, report, summed, wait_for
from tests.support import ldap_client
from tests.support.full_disks import NoMount, fill, fill_with_files, give_back, small_disk
from tests.support.load import Patient, write_drill
from tests.support.ports import free_port
from tests.support.running import Gateway, Process, prepare
from tests.support.sink import sink

DISK_MAILS, ENOUGH = (200, 20) if FULL else (60, 10)
BOUNDARY = "bbb"
Settings = dict[str, dict[str, object]]
Record = Callable[[str, object], None]


@pytest.fixture
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A small file system of our own; the parameter is how many files it has."""
    with contextlib.ExitStack() as stack:
        try:
            made = stack.enter_context(small_disk(tmp_path / "disk", files=getattr(request, "param", 10_000)))
        except NoMount as problem:
            demand(str(problem))
        yield made


@attrs.frozen
class Loaded:
    """A gateway under load, what it has answered, and what the load was."""

    gateway: Gateway
    load: Patient
    ldap_port: int

    @property
    def codes(self) -> set[str]:
        return {reply[:3] for one in self.load.outcomes.values() for reply in one.replies}

    def reads_go_on(self) -> bool:
        """Who only reads does not notice (REL4)."""
        return portal_answers(self.gateway) == 200 and ldap_client.code_of(self.ldap_port, "(mail=x@inside.test)") == 0


@contextlib.contextmanager
def loaded(
    tmp_path: Path,
    record: Record,
    what: str,
    *,
    folder: Path,
    settings: Mapping[str, Mapping[str, object]],
    database: str | None = None,
    size: int = 20_000,
    kills: list[float] | None = None,
    start: Callable[[Gateway], object] = Gateway.start,
) -> Iterator[Loaded]:
    """Some mails have been taken when the block begins; when it ends the rest must get through, each once."""
    drills = [
        write_drill(number, "plain", OTTO, [f"p{number}@outside.test"], run="d5", subject="news", size=size)
        for number in range(DISK_MAILS)
    ]
    ldap = free_port()
    more = {**QUICK, "ldap": {"outside": [f"tcp:{ldap}:interface=127.0.0.1"]}, **settings}
    with sink() as inside, sink() as outside:
        gateway = prepare(folder, inside=inside.port, outside=outside.port, settings=more, database=database)
        try:
            start(gateway)
            load = Patient(gateway.smtp_port, drills, tmp_path / "journal", connections=4, longest=0.5)
            sender = threading.Thread(target=load.run)
            sender.start()
            load.wait_for(ENOUGH)
            full = time.time()
            yield Loaded(gateway, load, ldap)
            free, pid = time.monotonic(), gateway.pid
            sender.join(60)
            assert not sender.is_alive(), "the load did not end"
            gateway.wait_empty(20)  # longer than the lease of a session
            recovery = time.monotonic() - free
            assert gateway.pid == pid and gateway.process is not None and gateway.process.popen.poll() is None
        finally:
            gateway.stop()
        sums = summed(load, inside, outside, kills=[full, *(kills or ())])
    codes = sorted({reply[:3] for one in load.outcomes.values() for reply in one.replies})
    report(record, f"D5 {what}: {sums.line()} replies={codes} recovery={recovery:.1f}s")
    judge(sums)
    assert set(codes) <= {"250", "421", "451", "452"}
    assert not notices(inside)


@pytest.mark.parametrize(
    ("floor", "killed"),
    [
        pytest.param("1 KB", False, id="it goes on by itself"),
        pytest.param("1 KB", True, id="SQLite finds out, and it is killed"),
        pytest.param("4 MB", True, id="the intake looks, and it is killed"),
    ],
)
def test_d5_a_full_disk_is_later_and_never_lost(
    floor: str, killed: bool, disk: Path, tmp_path: Path, record_property: Record
) -> None:
    settings, kills = {"intake": {"free_space": floor}}, []
    with loaded(tmp_path, record_property, floor, folder=disk, settings=settings, kills=kills) as here:
        filler = fill(disk)
        wait_for(lambda: len(here.load.refusals()) >= ENOUGH, "nothing was refused while the disk was full")
        assert here.reads_go_on()
        if killed:
            kills.append(time.time())
            here.gateway.kill()
        filler.unlink()
        if killed:
            here.gateway.start()
    assert {"451", "452"} & here.codes


def test_d5_only_the_database_has_a_full_disk(disk: Path, tmp_path: Path, record_property: Record) -> None:
    settings, url = {"intake": {"free_space": "1 KB"}}, f"sqlite:///{disk}/securegw.db"
    with loaded(tmp_path, record_property, "database", folder=tmp_path, settings=settings, database=url) as here:
        filler = fill(disk)
        wait_for(lambda: len(here.load.refusals()) >= ENOUGH, "nothing was refused while the disk was full")
        assert here.reads_go_on()
        filler.unlink()
    assert "452" in here.codes
    assert not any("4.3.1" not in reply for reply in here.load.refusals() if reply.startswith("452"))


@pytest.mark.parametrize("disk", [200], indirect=True)
def test_d5_no_more_files_on_the_disk(disk: Path, tmp_path: Path, record_property: Record) -> None:
    """Large texts are files beside the database: without room for one more they are told to come later."""
    settings = {"intake": {"free_space": "1 KB"}}
    with loaded(tmp_path, record_property, "files", folder=disk, settings=settings, size=300_000) as here:
        # A mail that was delivered gives its file back, so there is something to fill each time.
        wait_for(lambda: bool(fill_with_files(disk)) and len(here.load.refusals()) >= ENOUGH, "nothing was refused")
        assert here.reads_go_on()
        give_back(fill_with_files(disk))
    assert "452" in here.codes


def test_d5_only_the_log_has_a_full_disk(disk: Path, tmp_path: Path, record_property: Record) -> None:
    """Lines are lost and counted, and the check of the log says so; mails are not even late."""
    metrics = free_port()
    settings: Settings = {
        "log": {"file": str(disk / "securegw.log")},
        "health": {"every": "200ms"},
        "monitoring": {"listen": [f"tcp:{metrics}:interface=127.0.0.1"]},
    }

    def lost() -> float:
        lines = page(metrics, "/metrics").splitlines()
        return next(float(line.split()[1]) for line in lines if line.startswith("securegw_log_lost_total "))

    with loaded(tmp_path, record_property, "log", folder=tmp_path, settings=settings, start=start_quietly) as here:
        filler = fill(disk)
        here.load.wait_for(DISK_MAILS)
        wait_for(lambda: lost() > 0, "no line was lost")
        wait_for(lambda: re.search(r"^log +CRITICAL ", page(metrics, "/health"), re.M) is not None, "the log is well")
        assert here.reads_go_on()
        filler.unlink()
        written = (disk / "securegw.log").stat().st_size
    assert here.codes == {"250"}
    assert (disk / "securegw.log").stat().st_size > written, "the log does not go on"


def test_d5_only_temporary_files_have_no_room(
    disk: Path, tmp_path: Path, record_property: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mail needs none; a large letter that somebody brings to the portal has to come later."""
    monkeypatch.setenv("TMPDIR", str(disk))
    with loaded(tmp_path, record_property, "temporary files", folder=tmp_path, settings={}) as here:
        assert bring_letter(here.gateway) == 400  # it is none of ours; and now the portal knows where its files go
        filler = fill(disk)
        here.load.wait_for(DISK_MAILS)
        assert bring_letter(here.gateway) == 503
        assert here.reads_go_on()
        filler.unlink()
        assert bring_letter(here.gateway) == 400
    assert here.codes == {"250"}


def start_quietly(gateway: Gateway) -> None:
    """Its log goes elsewhere, so it is open when it answers."""
    words = ["-n", "--pidfile=", "--no_save", "securegw", "--config", str(gateway.config)]
    gateway.process = Process.start(words, gateway.folder)

    def answers() -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", gateway.smtp_port), 1):
            return portal_answers(gateway) == 200
        return False

    wait_for(answers, "it never opened")


def page(port: int, path: str) -> str:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=20) as answer:
            return bytes(answer.read()).decode()
    except urllib.error.HTTPError as error:
        return error.read().decode()


def bring_letter(gateway: Gateway) -> int:
    """The status that a browser gets for a sealed letter of three megabytes."""
    lines = (
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="letter"\r\n\r\n' + "A" * 3_000_000,
        f"\r\n--{BOUNDARY}--\r\n",
    )
    asking = urllib.request.Request(f"https://localhost:{gateway.portal_port}/open", "".join(lines).encode())
    asking.add_header("Content-Type", f"multipart/form-data; boundary={BOUNDARY}")
    asking.add_header("Origin", "null")
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with urllib.request.urlopen(asking, timeout=30, context=context) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
