"""The way of a mail, from its connection to the last reply: found by each of its names, readable, and whole."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from securegw.commands.timeline import elapsed
from securegw.store import events, queue
from securegw.store.database import Database
from securegw.store.events import Event
from securegw.store.items import Entry, Recipient
from tests.commands.conftest import Run

ANN, BOB, CARL, DORA = "ann@inside.test", "bob@outside.test", "carl@outside.test", "dora@outside.test"
A, B = "a" * 16, "b" * 16
SOURCE = {"door": "smtp", "address": "192.0.2.7", "port": 4711, "helo": "mail.inside.test\x1b[2J", "tls": "TLSv1.3"}
NOON = 1_800_000_000.0


def event(kind: str, after: float, item: str, address: str, **detail: Any) -> Event:
    return Event(
        time=NOON + after,
        kind=kind,
        actor="gateway",
        trace="t1",
        item=item,
        message_id="<m@inside.test>",
        address=address,
        detail=detail,
    )


@pytest.fixture
def told(config: Path) -> Iterator[Path]:
    """A mail to two people: delivered to one, waiting for the other; and a mail of somebody else."""
    waiting = Entry(
        id=B,
        kind="ready",
        trace="t1",
        sender=ANN,
        size=1234,
        source=SOURCE,
        received=NOON,
        body=(b"sealed",),
        recipients=(Recipient(CARL, reply="451 4.4.1 no route"),),
        message_id="<m@inside.test>",
        next_try=NOON + 600,
    )
    notice = Entry(
        id="c" * 16,
        kind="ready",
        trace="t1",
        sender="",
        size=1,
        source={"door": "gateway"},
        received=NOON - 1,
        recipients=(Recipient(ANN, state="done"),),
        body=(b"sealed",),
    )
    database = Database(f"sqlite:///{config.parent}/securegw.db", inline=True)
    for step in (
        event("decision", 0.01, A, BOB, outcome="send", method="smime", sign=True, reason="asked", rule="conf"),
        event("decision", 0.01, A, CARL, outcome="wait", method="smime", sign=False, reason="no key yet", rule=""),
        event("delivered", 200.0, A, BOB, reply="250 2.0.0 kept"),
        event("deferred", 90_000.0, B, CARL, reply="451 4.4.1 no route\r\n"),
        Event(time=NOON, kind="delivered", trace="t2", item="d" * 16, address=DORA, detail={"reply": "250"}),
    ):
        database.write(events.record, step).result()
    for entry in (notice, waiting):
        database.write_many(queue.put, entry).result()
    database.close()
    yield config


def kinds(run: Run, config: Path, *words: object) -> list[str]:
    ran = run("history", *words, "--json", "--config", config)
    assert (ran.code, ran.err) == (0, "")
    return [row["kind"] for row in json.loads(ran.out)]


WHOLE = ["accepted", "decision", "decision", "delivered", "deferred", "waiting"]


@pytest.mark.parametrize(
    "words",
    [
        ("--trace", "t1"),
        ("--item", A),
        ("--item", B),
        ("--message-id", "<m@inside.test>"),
        ("--address", "Bob@Outside.test"),
        ("--address", CARL),
        ("--address", ANN),
        ("--address", CARL, "--since", "2027-01-16"),
    ],
)
def test_by_whatever_name_the_whole_way(run: Run, told: Path, words: tuple[str, ...]) -> None:
    assert kinds(run, told, *words) == WHOLE


def test_since(run: Run, told: Path) -> None:
    assert kinds(run, told, "--since", "2027-01-15T07:59:00Z") == ["delivered", *WHOLE]
    assert run("history", "--address", DORA, "--since", "2028-01-01", "--config", told).code == 1
    assert run("history", "--since", "yesterday", "--config", told).code == 2


def test_the_time_line_can_be_read(run: Run, told: Path) -> None:
    ran = run("history", "--trace", "t1", "--config", told)
    assert "\x1b" not in ran.out
    head, *lines = ran.out.splitlines()
    assert head == "mail t1 <m@inside.test>"
    assert [line.split()[2] for line in lines] == WHOLE
    for line, words in zip(
        lines,
        (
            "+0.000s  accepted   ann@inside.test   by smtp, from mail.inside.test",
            "+0.010s  decision   bob@outside.test  smime, signed; asked; rule conf",
            "decision   carl@outside.test  wait; no key yet",
            "+0h03m   delivered  bob@outside.test  250 2.0.0 kept",
            "+1d1h00m  deferred   carl@outside.test",
            "451 4.4.1 no route; 0 tries; next try 2027-01-15T08:10:00Z",
        ),
        strict=True,
    ):
        assert " ".join(words.split()) in " ".join(line.split())
    assert "[192.0.2.7]:4711, TLSv1.3, 1234 bytes" in lines[0]


def test_once_an_event_says_how_it_came_the_queue_does_not(run: Run, told: Path) -> None:
    database = Database(f"sqlite:///{told.parent}/securegw.db", inline=True)
    came = attrs.evolve(event("accepted", 0.0, A, ANN), detail={**SOURCE, "size": 99})
    database.write(events.record, came).result()
    database.close()
    assert kinds(run, told, "--trace", "t1") == WHOLE
    assert "99 bytes" in run("history", "--trace", "t1", "--config", told).out


def test_several_mails_are_several_paragraphs(run: Run, told: Path) -> None:
    run("users", "add", ANN, "--config", told)
    out = run("history", "--since", "2000-01-01", "--config", told).out
    heads = [line for line in out.splitlines() if line and not line.startswith(" ")]
    assert heads[0] == "not about a mail"
    assert heads[1:] == ["mail t2", "mail t1 <m@inside.test>"] or heads[1:] == ["mail t1 <m@inside.test>", "mail t2"]
    assert "(by command:" in out


def test_a_change_is_told_by_what_is_different(run: Run, config: Path) -> None:
    run("domains", "set", "inside.test", "--tls", "secure", "--config", config)
    last = run("history", "--since", "1h", "--config", config).out.splitlines()[-1]
    assert "domain=inside.test; tls: may -> secure (by command:" in last
    assert "route" not in last


def test_nothing_asked_is_wrong_usage(run: Run, told: Path) -> None:
    assert run("history", "--config", told).code == 2
    assert run("history", "--trace", "t1", "--item", "x", "--config", told).code == 2


@pytest.mark.parametrize(
    ("seconds", "words"), [(0, "+0.000s"), (99.9, "+99.900s"), (100, "+0h01m"), (3661, "+1h01m"), (90_000, "+1d1h00m")]
)
def test_elapsed(seconds: float, words: str) -> None:
    assert elapsed(seconds) == words
