"""Who may sign in to send mail: added, listed, removed; passwords hashed, and shown only when they were made here."""

from __future__ import annotations

import getpass
import json
import re
from pathlib import Path
from typing import Any

import pytest

from securegw.crypto.passwords import Cost, check_password
from securegw.store import logins
from securegw.store.database import Database
from securegw.store.logins import Login
from tests.commands.conftest import Run

PASSWORD = "Nachts fahren keine Züge"


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("securegw.commands.logins.Cost", lambda: Cost(64, 1, 1))


@pytest.fixture
def password(tmp_path: Path) -> Path:
    file = tmp_path / "password"
    file.write_text(f"{PASSWORD}\n")
    return file


def stored(config: Path, name: str) -> Login:
    database = Database(f"sqlite:///{config.parent}/securegw.db", inline=True)
    try:
        found = database.read(logins.get, name).result()
        assert found is not None
        return found
    finally:
        database.close()


def listed(run: Run, config: Path) -> Any:
    ran = run("logins", "list", "--json", "--config", config)
    assert ran.code == 0
    return json.loads(ran.out)


def test_add_list_remove(run: Run, config: Path, password: Path) -> None:
    who = ("--sender", "Scanner@inside.test", "--sender", "@lab.Inside.test", "--sender", "scanner@inside.test")
    added = run("logins", "add", "Scanner", *who, "--password-file", password, "--config", config)
    assert (added.code, added.out) == (0, "scanner: added\n")
    [row] = listed(run, config)
    assert (row["name"], row["senders"]) == ("scanner", ["scanner@inside.test", "@lab.inside.test"])
    assert check_password(PASSWORD, stored(config, "SCANNER").secret)
    again = run("logins", "add", "SCANNER", *who, "--password-file", password, "--config", config)
    assert (again.code, again.err) == (1, "securegw: scanner: is there already\n")
    assert run("logins", "remove", "Scanner", "--config", config).out == "scanner: removed\n"
    assert listed(run, config) == []
    gone = run("logins", "remove", "scanner", "--config", config)
    assert (gone.code, gone.err) == (1, "securegw: scanner: there is no such login\n")


def test_a_password_that_is_made_here_is_shown_once(run: Run, config: Path) -> None:
    ran = run("logins", "add", "scanner", "--sender", "*", "--generate", "--config", config)
    made = ran.out.splitlines()[1].removeprefix("password: ")
    assert re.fullmatch(r"([2-9A-HJKMNP-TV-Z]{5}-){5}[2-9A-HJKMNP-TV-Z]{5}", made)
    assert check_password(made, stored(config, "scanner").secret)
    told = run("logins", "list", "--config", config).out
    told += run("history", "--since", "1h", "--json", "--config", config).out
    assert "login-added" in told
    assert made not in told
    assert "argon2" not in told


def test_another_password(run: Run, config: Path, password: Path) -> None:
    run("logins", "add", "scanner", "--sender", "*", "--generate", "--config", config)
    before = stored(config, "scanner")
    ran = run("logins", "password", "scanner", "--password-file", password, "--config", config)
    assert (ran.code, ran.out) == (0, "scanner: has another password\n")
    after = stored(config, "scanner")
    assert check_password(PASSWORD, after.secret)
    assert (after.senders, after.created) == (before.senders, before.created)
    assert run("logins", "password", "nobody", "--generate", "--config", config).code == 1


def test_the_password_is_asked_for_twice(run: Run, config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    answers = [PASSWORD, "Nachts fahren keine Busse", PASSWORD, PASSWORD]
    monkeypatch.setattr(getpass, "getpass", lambda prompt: answers.pop(0))
    words = ("logins", "add", "scanner", "--sender", "*", "--config", config)
    differ = run(*words)
    assert (differ.code, differ.err) == (1, "securegw: the two passwords differ\n")
    assert run(*words).code == 0
    assert check_password(PASSWORD, stored(config, "scanner").secret)


@pytest.mark.parametrize(
    ("weak", "why"),
    [
        ("too few", "fewer than 15"),
        ("x" * 20, "very few letters"),
        ("correct horse battery", "known words"),
        ("a" * 300, "too long"),
    ],
)
def test_a_weak_password_is_refused_in_words(run: Run, config: Path, tmp_path: Path, weak: str, why: str) -> None:
    (tmp_path / "weak").write_text(weak)
    words = ("--sender", "*", "--password-file", tmp_path / "weak", "--config", config)
    ran = run("logins", "add", "scanner", *words)
    assert (ran.code, why in ran.err, weak in ran.err) == (1, True, False)
    assert listed(run, config) == []


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("add", "scanner", "--sender", "*"), 1),  # no terminal, no file
        (("add", "scanner", "--generate"), 2),
        (("add", "two words", "--sender", "*", "--generate"), 2),
        (("add", "", "--sender", "*", "--generate"), 2),
        (("add", "scanner", "--sender", "@nodot", "--generate"), 2),
        (("add", "scanner", "--sender", "no address", "--generate"), 2),
        (("add", "scanner", "--sender", "*", "--generate", "--password-file", "x"), 1),
    ],
)
def test_wrong_words(run: Run, config: Path, words: tuple[str, ...], code: int) -> None:
    assert run("logins", *words, "--config", config).code == code
    assert listed(run, config) == []
