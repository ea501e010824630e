"""Quarantine at the administrator's desk: looked at without its text, ended by a word, every time an event."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from securegw.crypto.seal import MasterKey, load_master_key
from securegw.flow.claims import BODY
from securegw.store import quarantine, queue
from securegw.store.database import Database
from securegw.store.items import Entry, Recipient
from tests.commands.conftest import Run

A, B, C = "a" * 16, "b" * 16, "c" * 16
RAW = (
    b"From: Ann <ann@inside.test>\r\nTo: bob@outside.test\r\nSubject: =?utf-8?q?plan_=1B[2J?=\r\nMIME-Version: 1.0\r\n"
    b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nthe secret words\r\n--b\r\n"
    b'Content-Type: application/pdf; name="a.pdf"\r\n\r\n12345\r\n--b--\r\n'
)


def entry(master: MasterKey, id: str, **changed: Any) -> Entry:
    decision = {"outcome": "hold", "rule": "numbers", "reason": "x", "quarantine": True, "found": ["pattern file"]}
    values: dict[str, Any] = {
        "id": id, "kind": "accepted", "trace": "t" + id[1:], "sender": "ann@inside.test", "size": len(RAW),
        "recipients": (Recipient("bob@outside.test", decision=decision),), "source": {"door": "smtp", "inside": True},
        "received": 1000.0, "body": tuple(master.seal_parts(BODY, id, RAW)), "state": "held", "note": "Please look.",
    }
    return Entry(**(values | changed))


@pytest.fixture
def filled(config: Path) -> Iterator[Path]:
    """Two in quarantine, one that is held for another reason."""
    master = load_master_key(config.parent / "master.key")
    database = Database(f"sqlite:///{config.parent}/securegw.db", inline=True)
    for id in (A, B, C):
        database.write_many(queue.put, entry(master, id)).result()
    rows = [quarantine.Kept(A, 1000.0, "numbers"), quarantine.Kept(B, 2000.0, "others")]
    database.write(quarantine.keep, rows).result()
    database.close()
    yield config


def listed(run: Run, config: Path, *words: object) -> list[str]:
    ran = run("quarantine", "list", "--json", "--config", config, *words)
    assert (ran.code, ran.err) == (0, "")
    return [row["id"] for row in json.loads(ran.out)]


def item(run: Run, config: Path, id: str) -> dict[str, Any]:
    return dict(json.loads(run("queue", "show", id, "--json", "--config", config).out))


def events_of(run: Run, config: Path, id: str) -> list[str]:
    ran = run("history", "--item", id, "--json", "--config", config)
    return [event["kind"] for event in json.loads(ran.out)["events"]] if ran.code == 0 else []


def test_what_is_in_it(run: Run, filled: Path) -> None:
    assert listed(run, filled) == [A, B]
    assert listed(run, filled, "--rule", "others") == [B]
    assert listed(run, filled, "--older", "3000w") == []
    text = run("quarantine", "list", "--config", filled).out
    for word in (A, "ann@inside.test", "bob@outside.test", "numbers", "pattern file", "Please look."):
        assert word in text


def test_shown_by_its_header_and_files_and_never_its_text(run: Run, filled: Path) -> None:
    ran = run("quarantine", "show", A, "--config", filled)
    assert ran.code == 0
    for word in ("plan", "Ann <ann@inside.test>", "application/pdf a.pdf (5 bytes)", "numbers", "pattern file"):
        assert word in ran.out
    assert "secret words" not in ran.out
    assert "\x1b" not in ran.out
    shown = json.loads(run("quarantine", "show", A, "--json", "--config", filled).out)
    assert shown["fields"]["To"] == "bob@outside.test"
    assert "quarantine-shown" in run("history", "--item", A, "--config", filled).out


@pytest.mark.parametrize(("word", "fate"), [("release", "released"), ("return", "returned")])
def test_it_goes_on_to_its_fate(run: Run, filled: Path, word: str, fate: str) -> None:
    ran = run("quarantine", word, A, "--config", filled)
    assert (ran.code, ran.out) == (0, f"{A}: {fate}\n")
    assert listed(run, filled) == [B]
    now = item(run, filled, A)
    assert (now["state"], now["source"]["quarantine"]) == ("waiting", fate)
    told = run("history", "--item", A, "--json", "--config", filled).out
    assert f"quarantine-{fate}" in told
    assert "command:" in told


def test_deleted_it_is_gone(run: Run, filled: Path) -> None:
    assert run("quarantine", "delete", A, B, "--config", filled).code == 0
    assert listed(run, filled) == []
    assert run("queue", "show", A, "--config", filled).code == 1
    assert "quarantine-deleted" in run("history", "--item", A, "--config", filled).out


def test_all_of_them_or_by_rule(run: Run, filled: Path) -> None:
    assert run("quarantine", "release", "--rule", "others", "--config", filled).out == f"{B}: released\n"
    assert run("quarantine", "return", "--all", "--config", filled).out == f"{A}: returned\n"
    assert item(run, filled, C)["state"] == "held"


def test_what_is_not_there(run: Run, filled: Path) -> None:
    for word in ("show", "release", "return", "delete"):
        ran = run("quarantine", word, C, "--config", filled)
        assert (ran.code, ran.out) == (1, "")
        assert f"{C}: there is no such mail in quarantine" in ran.err
    assert run("quarantine", "release", A, C, "--config", filled).code == 1
    assert listed(run, filled) == [A, B]
    assert run("quarantine", "release", "--config", filled).code == 2
    assert run("quarantine", "release", A, "--all", "--config", filled).code == 2


def test_the_queue_does_not_let_it_go(run: Run, filled: Path) -> None:
    ran = run("queue", "release", A, "--config", filled)
    assert ran.code == 1
    assert f"securegw quarantine release {A}" in ran.err
    assert run("queue", "release", "--all", "--config", filled).out == f"{C}: released\n"
    assert listed(run, filled) == [A, B]
    assert run("queue", "delete", A, "--config", filled).code == 0
    assert listed(run, filled) == [B]
