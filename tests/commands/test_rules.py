"""Rules by command: mistakes with their places, versions and what they differ in, a trial on a folder of mails."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from securegw.policy.rules import default_rules_text
from tests.commands.conftest import Run
from tests.commands.keys_of_two import person, root, write_pem

BOB = "bob@outside.test"
LAB = '[[rule]]\nname = "lab"\nwhen = { recipient = "@outside.test" }\nencrypt = "must"\nmethods = ["carrier"]\n'


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def mails(tmp_path: Path) -> Path:
    folder = tmp_path / "mails"
    (folder / "deeper").mkdir(parents=True)
    for name, subject, to in (
        ("a.eml", "hello", BOB), ("b.eml", "[confidential] x", BOB), ("deeper/c.eml", "[plain] y", "x@third.test"),
        ("d.eml", "both", f"{BOB}, x@third.test"),
    ):  # fmt: skip
        text = f"From: Ann <ann@inside.test>\r\nTo: {to}\r\nSubject: {subject}\r\n\r\nfile no. 12\r\n"
        (folder / name).write_text(text, newline="")
    (folder / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n\0\0")
    return folder


def new_rules(tmp_path: Path, own: str, sections: str = "") -> Path:
    file = tmp_path / "new.toml"
    file.write_text(default_rules_text().replace("\n[[rule]]\n", f"\n{own}\n[[rule]]\n", 1) + sections)
    return file


def tried(run: Run, *words: object) -> Any:
    ran = run("rules", "try", *words, "--json")
    assert (ran.code, ran.err) == (0, "")
    return json.loads(ran.out)


def test_check_names_file_line_and_what_would_be_right(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "r.toml"
    file.write_text(
        '[patterns]\nx = "---"\n[banners.b]\nplace = "left"\ntext = "x"\n'
        '[[rule]]\nname = "a"\nwhen = { patern = "x" }\nencrypt = "most"\nbanner = "c"\nstrip = ["From"]\n'
    )
    ran = run("rules", "check", file)
    assert ran.code == 1
    lines = ran.err.splitlines()
    assert len(lines) == 6
    for line, said in [
        (2, "no letter and no digit"), (3, "bottom and top"), (8, "wanted: pattern"), (9, '"must", "possible"'),
        (10, "there is no banner 'c'"), (11, "a mail needs its field 'From'"),
    ]:  # fmt: skip
        assert any(each.startswith(f"securegw: {file}:{line}: ") and said in each for each in lines), (line, ran.err)


def test_the_same_rules_change_nothing(run: Run, tmp_path: Path, mails: Path) -> None:
    found = tried(run, mails, "--with", new_rules(tmp_path, ""))
    assert (found["compared"], found["changed"], found["changes"]) == (5, 0, [])
    assert found["unread"] == [str(mails / "picture.png")]


def test_what_would_change_is_told_for_each_recipient(run: Run, tmp_path: Path, mails: Path) -> None:
    found = tried(run, mails, "--with", new_rules(tmp_path, LAB))
    changed = {(Path(each["mail"]).name, each["recipient"]): each for each in found["changes"]}
    assert set(changed) == {("a.eml", BOB), ("b.eml", BOB), ("d.eml", BOB)} - {("b.eml", BOB)}
    one = changed["a.eml", BOB]
    assert one["changes"]["method"] == {"old": "plain", "new": "carrier"}
    assert (one["old"]["rule"], one["new"]["rule"]) == ("everything else", "lab")


def test_in_words(run: Run, tmp_path: Path, mails: Path) -> None:
    ran = run("rules", "try", mails / "a.eml", "--with", new_rules(tmp_path, LAB))
    assert (ran.code, ran.err) == (0, "")
    assert "method: plain -> carrier" in ran.out
    assert ran.out.endswith("1 decisions compared, 1 would change\n")


def test_patterns_are_looked_for(run: Run, tmp_path: Path, mails: Path) -> None:
    own = '[[rule]]\nname = "p"\nwhen = { direction = "outgoing", pattern = "no" }\nencrypt = "must"\n'
    rules = new_rules(tmp_path, own + 'methods = ["carrier"]\n', '\n[patterns]\nno = "file no. ##"\n')
    found = tried(run, mails, "--with", rules)
    assert {each["new"]["rule"] for each in found["changes"]} == {"p"}
    assert len(found["changes"]) == 4


def test_against_another_file_and_by_the_database(run: Run, config: Path, tmp_path: Path, mails: Path) -> None:
    rules = new_rules(tmp_path, LAB)
    assert tried(run, mails, "--with", rules, "--old", rules)["changed"] == 0
    run("keys", "import", write_pem(tmp_path / "bob.pem", person(BOB)), "--config", config)
    run("keys", "import", write_pem(tmp_path / "root.pem", root()), "--trust", "--config", config)
    [change] = tried(run, mails / "a.eml", "--with", rules, "--config", config)["changes"]
    assert change["changes"]["method"] == {"old": "smime", "new": "carrier"}


def test_a_trial_loads_nothing_and_refuses_bad_rules(run: Run, config: Path, tmp_path: Path, mails: Path) -> None:
    assert run("rules", "try", mails, "--with", new_rules(tmp_path, LAB), "--config", config).code == 0
    assert len(json.loads(run("rules", "history", "--json", "--config", config).out)) == 1
    bad = new_rules(tmp_path, "[[rule]]\n")
    ran = run("rules", "try", mails, "--with", bad)
    assert (ran.code, f"{bad}:" in ran.err) == (1, True)
    assert run("rules", "try", tmp_path / "none", "--with", new_rules(tmp_path, LAB)).code == 1


def test_history_difference_and_roll_back(run: Run, config: Path, tmp_path: Path) -> None:
    assert run("rules", "load", new_rules(tmp_path, LAB), "--config", config).code == 0
    ran = run("rules", "diff", 1, "--config", config)
    assert "--- version 1\n+++ version 2\n" in ran.out
    assert '+name = "lab"' in ran.out
    assert run("rules", "diff", 1, 7, "--config", config).code == 1
    assert run("rules", "rollback", 1, "--config", config).code == 0
    assert run("rules", "diff", 1, 3, "--config", config).out == ""
    rows = json.loads(run("rules", "history", "--json", "--config", config).out)
    assert [(row["version"], row["in_force"]) for row in rows] == [(3, True), (2, False), (1, False)]
