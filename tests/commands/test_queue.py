"""The queue at the operator's desk: nothing of a mail's content is shown, every change is an event."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from securegw.store import queue
from securegw.store.database import Database
from securegw.store.items import Entry, Recipient
from tests.commands.conftest import Run


def entry(id: str, received: float, **changed: Any) -> Entry:
    values: dict[str, Any] = {
        "id": id, "kind": "ready", "trace": "t" + id[1:], "sender": "ann@inside.test", "size": 1000,
        "recipients": (Recipient("bob@outside.test", reply="451 later\x1b[2J"), Recipient("carl@outside.test", "done")),
        "source": {"door": "smtp"}, "received": received, "body": (b"sealed",), "message_id": "<m@inside.test>",
        "next_try": 5e9,
    }
    return Entry(**(values | changed))


A, B, C = "a" * 16, "b" * 16, "c" * 16


@pytest.fixture
def filled(config: Path) -> Iterator[Path]:
    database = Database(f"sqlite:///{config.parent}/securegw.db", inline=True)
    for each in (entry(A, 1000.0), entry(B, 2000.0, sender=""), entry(C, 3000.0, state="parked", note="lost workers")):
        database.write_many(queue.put, each).result()
    database.close()
    yield config


def items(run: Run, config: Path, *words: object) -> Any:
    ran = run("queue", "list", "--json", "--config", config, *words)
    assert (ran.code, ran.err) == (0, "")
    return json.loads(ran.out)


def state(run: Run, config: Path, id: str) -> dict[str, Any]:
    ran = run("queue", "show", id, "--json", "--config", config)
    assert ran.code == 0
    return dict(json.loads(ran.out))


def test_an_empty_queue(run: Run, config: Path) -> None:
    assert items(run, config) == []


def test_what_waits_oldest_first(run: Run, filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("securegw.commands.queue.PAGE", 2)
    assert [item["id"] for item in items(run, filled)] == [A, B, C]
    assert [item["id"] for item in items(run, filled, "--state", "parked")] == [C]
    first, second, _third = items(run, filled)
    assert first["recipients"] == ["bob@outside.test"]
    assert second["sender"] == "<>"
    assert items(run, filled, "--address", "nobody") == []


def test_filters(run: Run, filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: 3600.0)
    for words, found in (
        (("--trace", "t" + B[1:]), [B]),
        (("--kind", "accepted"), []),
        (("--kind", "ready", "--state", "waiting"), [A, B]),
        (("--address", "CARL@"), [A, B, C]),
        (("--older", "10m"), [A, B, C]),
        (("--older", "20m"), [A, B]),
        (("--older", "40m", "--state", "parked"), []),
        (("--older", "50m 1s"), []),
        (("--younger", "20m"), [C]),
        (("--younger", "50m", "--older", "20m"), [A, B]),
        (("--sender", "ANN@inside.test"), [A, C]),
        (("--sender", "nn@inside.test"), []),
        (("--recipient", "bob@outside.test"), [A, B, C]),
        (("--recipient", "b@outside.test"), []),
        (("--domain", "inside.test"), [A, C]),
        (("--domain", "side.test"), []),
        (("--domain", "outside.test", "--state", "parked"), [C]),
    ):
        assert [item["id"] for item in items(run, filled, *words)] == found
    assert run("queue", "list", "--older", "tomorrow", "--config", filled).code == 2


def test_one_item_without_its_body(run: Run, filled: Path) -> None:
    shown = state(run, filled, A)
    assert [recipient["state"] for recipient in shown["recipients"]] == ["waiting", "done"]
    assert shown["source"] == {"door": "smtp"}
    text = run("queue", "show", A, "--config", filled).out
    assert "bob@outside.test" in text
    assert "\x1b" not in text
    assert "sealed" not in text


def test_hold_release_retry(run: Run, filled: Path) -> None:
    assert run("queue", "hold", A, B, "--config", filled).code == 0
    assert state(run, filled, A)["state"] == state(run, filled, B)["state"] == "held"
    assert run("queue", "release", A, C, "--config", filled).code == 0
    assert state(run, filled, A)["state"] == state(run, filled, C)["state"] == "waiting"
    run("queue", "release", B, "--config", filled)
    assert run("queue", "retry", B, "--config", filled).out == f"{B}: retried\n"
    assert state(run, filled, B)["next_try"] is None


def test_delete_and_what_is_told(run: Run, filled: Path) -> None:
    assert run("queue", "delete", A, "--config", filled).code == 0
    assert [item["id"] for item in items(run, filled)] == [B, C]
    [event] = json.loads(run("history", "--item", A, "--json", "--config", filled).out)
    assert (event["kind"], event["detail"]["recipients"]) == ("item-deleted", ["bob@outside.test", "carl@outside.test"])
    same = json.loads(run("history", "--message-id", "<m@inside.test>", "--json", "--config", filled).out)
    assert event in same
    assert "item-deleted" in run("history", "--trace", event["trace"], "--config", filled).out


@pytest.mark.parametrize("word", ["show", "hold", "release", "retry", "delete"])
def test_unknown_ids(run: Run, filled: Path, word: str) -> None:
    ran = run("queue", word, "f" * 16, "--config", filled)
    assert (ran.code, ran.err) == (1, f"securegw: {'f' * 16}: there is no such item in the queue\n")


def test_all_or_none(run: Run, filled: Path) -> None:
    assert run("queue", "delete", A, "f" * 16, "--config", filled).code == 1
    ran = run("queue", "hold", A, C, "--config", filled)
    assert (ran.code, ran.err) == (1, f"securegw: {C} is parked: nothing to hold\n")
    assert state(run, filled, A)["state"] == "waiting"
    assert run("queue", "release", A, "--config", filled).code == 1


def test_an_item_that_goes_on_in_the_meantime(run: Run, filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the look and the change the gateway delivers one of two: the other must stay as it is, and no event."""
    from securegw.commands import queue as commands

    look = commands.existing
    monkeypatch.setattr(
        commands, "existing", lambda store, id: look(store, A) if id == A else attrs.evolve(look(store, B), id=id)
    )
    ran = run("queue", "hold", A, "f" * 16, "--config", filled)
    assert ran.code == 1
    assert "nothing was changed" in ran.err
    monkeypatch.undo()
    assert state(run, filled, A)["state"] == "waiting"
    told = json.loads(run("history", "--item", A, "--json", "--config", filled).out)
    assert [each["actor"] for each in told] == ["queue", "queue"]


def test_changes_by_what_the_items_are(run: Run, filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("securegw.commands.queue.PAGE", 1)
    ran = run("queue", "hold", "--sender", "ann@inside.test", "--json", "--config", filled)
    assert json.loads(ran.out) == [{"id": A, "trace": "t" + A[1:], "done": "held"}]  # C is parked
    assert run("queue", "release", "--state", "held", "--config", filled).out == f"{A}: released\n"
    assert run("queue", "delete", "--domain", "inside.test", "--config", filled).code == 0
    assert [item["id"] for item in items(run, filled)] == [B]
    assert run("queue", "hold", "--all", "--config", filled).out == f"{B}: held\n"
    assert run("queue", "retry", "--all", "--config", filled).out == ""


def test_what_goes_on_in_the_meantime_does_not_keep_the_others(
    run: Run, filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from securegw.commands import queue as commands

    look = commands.every_item
    gone = entry("f" * 16, 1500.0)
    monkeypatch.setattr(commands, "every_item", lambda store, wanted: [*look(store, wanted), gone.item()])
    assert run("queue", "hold", "--all", "--config", filled).out == f"{A}: held\n{B}: held\n"
    told = json.loads(run("history", "--item", A, "--json", "--config", filled).out)
    assert [event["kind"] for event in told].count("item-held") == 1


@pytest.mark.parametrize("words", [(), (A, "--all"), (A, "--sender", "ann@inside.test")])
def test_a_change_is_either_of_items_or_by_filters(run: Run, filled: Path, words: tuple[str, ...]) -> None:
    assert run("queue", "delete", *words, "--config", filled).code == 2
    assert len(items(run, filled)) == 3
