"""Quarantine with a running gateway: swaks hands mails in, the administrator decides by command, servers take them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.files import docx
from tests.support.mails import read
from tests.support.running import Gateway, admin, prepare, securegw
from tests.support.sink import Sink, sink

ANN, BOB, POST = "ann@inside.test", "bob@outside.test", "postmaster@inside.test"
WORDS = "file no. 12345678"
RULES = """
[patterns]
file = "file no. ########"

[[rule]]
name = "numbers"
when = { direction = "outgoing", pattern = "file" }
quarantine = "Please look whether this may leave."
encrypt = "must"
methods = ["carrier"]

[[rule]]
name = "rest"
encrypt = "never"
"""
Hand = Callable[..., None]


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Gateway, Sink, Sink]]:
    settings = {"quarantine": {"notify": [POST], "every": "1h"}}
    with sink() as inside, sink() as outside:
        folder = tmp_path_factory.mktemp("quarantine")
        gateway = prepare(folder, inside=inside.port, outside=outside.port, settings=settings)
        (folder / "new.toml").write_text(RULES)
        admin(gateway.config, "rules", "load", str(folder / "new.toml"))
        try:
            gateway.start()
            yield gateway, inside, outside
        finally:
            gateway.stop()


@pytest.fixture
def hand(program: Callable[[str], str], servers: tuple[Gateway, Sink, Sink], tmp_path: Path) -> Hand:
    swaks = program("swaks")

    def go(subject: str, body: str, *more: str) -> None:
        server = ["--server", f"127.0.0.1:{servers[0].smtp_port}", "--from", ANN, "--to", BOB]
        words = [swaks, *server, "--header", f"Subject: {subject}", "--body", body, *more]
        done = subprocess.run(words, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL, check=False)
        assert done.returncode == 0, done.stdout

    return go


def listed(gateway: Gateway) -> list[dict[str, object]]:
    said = securegw("quarantine", "list", "--json", "--config", str(gateway.config))
    rows: list[dict[str, object]] = json.loads(said)
    return rows


def test_kept_told_released_and_returned(
    servers: tuple[Gateway, Sink, Sink], hand: Hand, tmp_path: Path
) -> None:
    gateway, inside, outside = servers
    (tmp_path / "report.docx").write_bytes(docx(WORDS))
    hand("first", f"The words: {WORDS}.")
    hand("second", "see the file", "--attach", f"@{tmp_path / 'report.docx'}")
    hand("third", "harmless")
    assert outside.sent_to(BOB).raw.count(b"harmless") == 1
    gateway.wait_for_queue(lambda items: [item.state for item in items] == ["held", "held"])
    first, second = listed(gateway)
    assert (first["rule"], first["found"]) == ("numbers", ["pattern file"])

    shown = securegw("quarantine", "show", str(second["id"]), "--config", str(gateway.config))
    assert "report.docx" in shown
    assert WORDS not in shown

    admin(gateway.config, "quarantine", "release", str(first["id"]))
    admin(gateway.config, "quarantine", "return", str(second["id"]))
    gateway.wait_empty(30)
    [_, sealed] = outside.wait(lambda mails: len(mails) == 2)
    assert b"secure-email.html" in sealed.raw
    assert WORDS.encode() not in sealed.raw
    back = next(mail for mail in inside.arrived if b"does not let it pass" in mail.raw)
    assert back.recipients == (ANN,) or list(back.recipients) == [ANN]
    assert read(back.raw).get_content_type() == "multipart/report"
    history = securegw("history", "--trace", str(first["trace"]), "--config", str(gateway.config))
    assert "quarantine-released" in history
    assert WORDS not in gateway.log


def test_the_administrator_is_told_once(servers: tuple[Gateway, Sink, Sink], hand: Hand) -> None:
    """The look is once a minute, and at once when the gateway starts."""
    gateway, inside, _ = servers
    for number in range(3):
        hand(f"number {number}", f"The words: {WORDS}.")
    gateway.wait_for_queue(lambda items: len(items) == 3)
    gateway.stop()
    gateway.start()
    notice = inside.sent_to(POST)
    assert "Quarantine:" in str(read(notice.raw)["Subject"])
    assert b"number 2" in notice.raw
    assert WORDS.encode() not in notice.raw
    gateway.stop()
    gateway.start()
    admin(gateway.config, "quarantine", "delete", "--all")
    gateway.wait_empty(30)
    assert sum(POST in mail.recipients for mail in inside.arrived) == 1
