"""Postfix's smtp-source: two hundred sessions at once, a thousand mails, from somebody who is not one of ours."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.support.running import Gateway, prepare
from tests.support.sink import Sink, sink

SESSIONS, MAILS = 200, 1000
LIMITS = {
    "connections": 2 * SESSIONS,
    "connections_per_address": SESSIONS,
    "connections_per_minute": 2 * MAILS,
}
SECONDS = 60.0


def smtp_source(found: str, port: int, *more: str) -> subprocess.CompletedProcess[str]:
    """smtp-source, which ends itself at the first reply that is not the expected one."""
    size = ["-s", str(SESSIONS), "-m", str(MAILS), "-l", "2000", "-C", "10"]
    people = ["-M", "load.test", "-f", "load@outside.test", "-N", "-t", "person@inside.test"]
    return subprocess.run(
        [found, *size, *people, *more, f"inet:127.0.0.1:{port}"],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        stdin=subprocess.DEVNULL,
        check=False,
    )


def strangers(gateway: Gateway) -> None:
    """Nobody is one of our own servers: all limits hold."""
    text = gateway.config.read_text()
    gateway.config.write_text(text.replace('relay_networks = ["127.0.0.1/32"]', "relay_networks = []"))


def all_arrive_once(gateway: Gateway, inside: Sink) -> None:
    inside.wait_count(MAILS, SECONDS)
    gateway.wait_empty(SECONDS)
    people = [person for mail in inside.arrived for person in mail.recipients]
    assert len(people) == len(set(people)) == MAILS
    assert {mail.sender for mail in inside.arrived} == {"load@outside.test"}


def test_a_thousand_mails_over_two_hundred_sessions(program: Callable[[str], str], tmp_path: Path) -> None:
    found = program("smtp-source")
    with sink() as inside:
        gateway = prepare(tmp_path, inside=inside.port, outside=inside.port, settings={"smtp": LIMITS})
        strangers(gateway)
        gateway.start()
        try:
            done = smtp_source(found, gateway.smtp_port)

            assert done.returncode == 0, f"{done.stderr}\n{gateway.log[-2000:]}"
            all_arrive_once(gateway, inside)
        finally:
            gateway.stop()
