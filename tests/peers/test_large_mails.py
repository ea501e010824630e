"""Large mails: many at once through a gateway with little room for them, and one as large as mails may be set to be."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import attrs

from securegw.crypto import authority, smime
from securegw.mail.address import parse_address
from securegw.mail.message import read
from tests.peers.test_drills import FULL, is_whole, judge, memory_of
from tests.support.drill import count
from tests.support.load import Drill, Load, write_drill
from tests.support.running import Gateway, admin, gateway
from tests.support.sink import Arrived, sink

MB = 1 << 20
MEMORY = 600 * MB
SETTINGS: dict[str, dict[str, object]] = {
    "smtp": {"memory": "12 MB"},
    "intake": {"size_limit": "150 MB"},
    "delivery": {"first_retry": "1s"},
}


LINE = b"All that is said here has been said before, and will be said again below; dots begin no line.\r\n"


def write(number: int, size: int, kind: str = "plain", subject: str = "large", to: str = "") -> Drill:
    recipient = to or f"p{number}@outside.test"
    small = write_drill(number, kind, "otto@inside.test", [recipient], run="large", subject=subject, size=1000)
    return attrs.evolve(small, raw=small.raw + LINE * (size // len(LINE)))


def test_many_large_mails_and_one_of_the_largest(tmp_path: Path) -> None:
    drills = [write(number, size) for number, size in enumerate([10 * MB] * 6 + [148 * MB])]
    with sink() as outside, gateway(tmp_path, inside=1, outside=outside.port, settings=SETTINGS) as running:
        load = Load(running.smtp_port, drills[:-1], tmp_path / "journal", connections=6)
        sender = threading.Thread(target=load.run, daemon=True)
        sender.start()
        sender.join(120)
        running.wait_empty(60)
        memory = memory_of(running.pid)
        largest = Load(running.smtp_port, drills[-1:], tmp_path / "journal", connections=1)
        sender = threading.Thread(target=largest.run, daemon=True)
        sender.start()
        sender.join(120)
        running.wait_empty(120)
    outcomes = load.outcomes | largest.outcomes
    codes = {reply[:3] for one in outcomes.values() for reply in one.replies}
    judge(count(outcomes, outside.arrived, [], [], is_good=is_whole, is_clear=lambda one, arrived: False))
    assert len(outside.arrived) == len(drills)
    assert codes <= {"250", "452"}
    print(f"after six of 10 MB at once: {memory / MB:.0f} MB; replies {codes}")
    assert memory < MEMORY


# --- ten at once: none is refused, and memory is bounded -------------------------------------------------------------

EACH, BOUND = (50_000_000, 600 * MB) if FULL else (12 * MB, 280 * MB)
# Ten texts of this size do not fit into the first, nor two that are treated into the second.
TIGHT: dict[str, dict[str, object]] = (
    {} if FULL else {"smtp": {"memory": "32 MB"}, "workers": {"large_memory": "64 MB"}}
)
CAROL = "carol@outside.test"


@attrs.frozen
class Carol:
    """Somebody with a certificate that the gateway knows and trusts."""

    key: bytes
    certificate: bytes

    def open(self, raw: bytes) -> bytes:
        opened = smime.open(raw, [(self.key, self.certificate)], (), time.time(), parse_address("otto@inside.test"))
        assert opened.verdict.encrypted == "opened" and "signed" in opened.layers
        return opened.raw


def introduce(running: Gateway, folder: Path) -> Carol:
    now = time.time()
    root_key, root = authority.make_authority("Partner people", years=2, now=now, kind="p-256")
    key, der = authority.issue(root_key, root, address=CAROL, name="Carol", days=300, now=now)
    for name, certificate in (("root", root), ("carol", der)):
        (folder / f"{name}.pem").write_bytes(authority.to_pem(certificate))
        admin(running.config, "keys", "import", str(folder / f"{name}.pem"), "--trust")
    return Carol(key, der)


@contextmanager
def watched(pid: int) -> Iterator[list[int]]:
    """The memory of the gateway and its processes, again and again."""
    seen, over = [memory_of(pid)], threading.Event()

    def look() -> None:
        while not over.wait(0.02):
            seen.append(memory_of(pid))

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


def is_there(drill: Drill, arrived: list[Arrived], carol: Carol) -> bool:
    """One of those that arrived has the whole text of this mail, in the form that it was to have."""
    text = read(drill.raw).body
    for mail in arrived:
        if set(mail.recipients) != set(drill.recipients):
            continue
        if drill.kind == "carrier" and b"secure-email.html" in mail.raw and len(mail.raw) > len(text):
            return text[:200] not in mail.raw
        if drill.kind == "key" and text in carol.open(mail.raw):
            return text[:200] not in mail.raw
        if drill.kind == "plain" and text in mail.raw:
            return True
    return False


def test_ten_large_mails_at_once_are_taken_and_sent_in_bounded_memory(tmp_path: Path) -> None:
    drills = [write(number, EACH) for number in range(4)]
    drills += [write(number, EACH, "key", "[confidential] large", CAROL) for number in range(4, 7)]
    drills += [write(number, EACH, "carrier", "[priv] large") for number in range(7, 10)]
    with sink() as outside, sink() as inside, gateway(
        tmp_path, inside=inside.port, outside=outside.port, settings=TIGHT
    ) as running:
        carol = introduce(running, tmp_path)
        load = Load(running.smtp_port, drills, tmp_path / "journal", connections=10)
        sender = threading.Thread(target=load.run, daemon=True)
        with watched(running.pid) as seen:
            sender.start()
            sender.join(300)
            running.wait_empty(300)
        left = list(tmp_path.rglob("*.bodies/*"))
    assert [reply for one in load.outcomes.values() for reply in one.replies if not reply.startswith("250")] == []
    assert [drill.id for drill in drills if not is_there(drill, outside.arrived, carol)] == []
    assert left == []
    print(f"ten of {EACH / MB:.0f} MB at once: {min(seen) / MB:.0f} to {max(seen) / MB:.0f} MB")
    assert max(seen) < BOUND


def test_kills_while_large_mails_come_lose_none_and_leave_nothing(tmp_path: Path) -> None:
    """Each time when a text is half on the disk; what was not accepted is sent again, and no file of it stays."""
    drills = [write(number, 12 * MB) for number in range(6)]
    load = Load(0, drills, tmp_path / "journal", connections=3)
    sender = threading.Thread(target=load.run, daemon=True)
    with sink() as outside, gateway(tmp_path, inside=1, outside=outside.port, settings=SETTINGS) as running:
        load.port = running.smtp_port
        bodies = next(tmp_path.rglob("securegw.db")).with_name("securegw.db.bodies")
        sender.start()
        for _ in range(3):
            half_written = await_half(bodies, sender)
            running.kill()
            assert half_written is None or half_written.exists()
            running.start()
        sender.join(120)
        running.retry_all()
        running.wait_empty(60)
        left = list(bodies.iterdir())
    judge(count(load.outcomes, outside.arrived, [], [0.0] * 3, is_good=is_whole, is_clear=lambda one, arrived: False))
    assert {one.drill.id for one in load.outcomes.values() if one.accepted} == {drill.id for drill in drills}
    assert left == []


def await_half(bodies: Path, sender: threading.Thread) -> Path | None:
    """A body of which a part is on the disk; None if all have been sent."""
    end = time.monotonic() + 60
    while sender.is_alive():
        assert time.monotonic() < end
        for path in bodies.glob("*"):
            with suppress(FileNotFoundError):
                if MB < path.stat().st_size < 11 * MB:
                    return path
    return None
