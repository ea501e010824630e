"""Large mails: many at once through a gateway with little room for them, and one as large as mails may be set to be."""

from __future__ import annotations

import threading
from pathlib import Path

import attrs

from tests.peers.test_drills import is_whole, judge, memory_of
from tests.support.drill import count
from tests.support.load import Drill, Load, write_drill
from tests.support.running import gateway
from tests.support.sink import sink

MB = 1 << 20
MEMORY = 600 * MB
SETTINGS: dict[str, dict[str, object]] = {
    "smtp": {"memory": "12 MB"},
    "intake": {"size_limit": "150 MB"},
    "delivery": {"first_retry": "1s"},
}


LINE = b"All that is said here has been said before, and will be said again below; dots begin no line.\r\n"


def write(number: int, size: int) -> Drill:
    small = write_drill(
        number, "plain", "otto@inside.test", [f"p{number}@outside.test"], run="large", subject="large", size=1000
    )
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
