"""The list of inside addresses: one by one and by the file, all or nothing, every mistake told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.commands.conftest import Run


def listed(run: Run, config: Path, *words: object) -> list[str]:
    ran = run("recipients", "list", "--json", "--config", config, *words)
    assert ran.code == 0
    return [row["address"] for row in json.loads(ran.out)]


def test_add_and_remove(run: Run, config: Path) -> None:
    added = run("recipients", "add", "Ann@Inside.test", "bob@inside.test", "--config", config)
    assert (added.code, added.out) == (0, "2 added\n")
    again = run("recipients", "add", "ann@inside.test", "carl@inside.test", "--config", config)
    assert again.out == "1 added, 1 were there already\n"
    assert listed(run, config) == ["ann@inside.test", "bob@inside.test", "carl@inside.test"]
    assert listed(run, config, "--address", "BO") == ["bob@inside.test"]
    assert run("recipients", "remove", "ANN@inside.test", "--config", config).out == "1 removed\n"
    ran = run("recipients", "remove", "bob@inside.test", "ann@inside.test", "--config", config)
    assert (ran.code, ran.err) == (1, "securegw: ann@inside.test: not in the list; nothing was removed\n")
    assert listed(run, config) == ["bob@inside.test", "carl@inside.test"]
    told = json.loads(run("history", "--address", "ann@inside.test", "--json", "--config", config).out)
    assert [event["kind"] for event in told] == ["recipient-added", "recipient-added", "recipient-removed"]


def test_a_file(run: Run, config: Path, tmp_path: Path) -> None:
    run("recipients", "add", "old@inside.test", "ann@inside.test", "--config", config)
    file = tmp_path / "list"
    file.write_text("# all of us\nAnn@inside.test\n\n  a#b@inside.test  # in the lab\nann@inside.test\n")
    ran = run("recipients", "import", file, "--config", config)
    assert (ran.code, ran.out) == (0, "1 added, 0 removed, 1 were there already\n")
    assert listed(run, config) == ["a#b@inside.test", "ann@inside.test", "old@inside.test"]
    ran = run("recipients", "import", file, "--replace", "--config", config)
    assert ran.out == "0 added, 1 removed, 2 were there already\n"
    assert listed(run, config) == ["a#b@inside.test", "ann@inside.test"]


def test_replace_leaves_other_domains_alone(run: Run, config: Path, tmp_path: Path) -> None:
    run("domains", "add", "second.test", "--route", "[192.0.2.9]", "--config", config)
    run("recipients", "add", "eve@second.test", "old@inside.test", "--config", config)
    (tmp_path / "list").write_text("ann@inside.test\n")
    run("recipients", "import", tmp_path / "list", "--replace", "--config", config)
    assert listed(run, config) == ["ann@inside.test", "eve@second.test"]


def test_all_mistakes_of_a_file_at_once_and_nothing_imported(run: Run, config: Path, tmp_path: Path) -> None:
    file = tmp_path / "list"
    file.write_text("ann@inside.test\nno address\nbob@inside.test\n@inside.test\n")
    ran = run("recipients", "import", file, "--config", config)
    assert ran.code == 1
    assert [line.split(" ")[1] for line in ran.err.splitlines()] == [f"{file}:2:", f"{file}:4:"]
    assert listed(run, config) == []


def test_a_file_of_something_else_does_not_fill_the_terminal(run: Run, config: Path, tmp_path: Path) -> None:
    (tmp_path / "list").write_text("nonsense\x1b[2J\n" * 1000)
    ran = run("recipients", "import", tmp_path / "list", "--config", config)
    assert (ran.code, len(ran.err.splitlines()), "\x1b" in ran.err) == (1, 21, False)
    assert "and 980 more" in ran.err


@pytest.mark.parametrize("content", ["", "# nobody\n"])
def test_an_empty_file_removes_nobody(run: Run, config: Path, tmp_path: Path, content: str) -> None:
    run("recipients", "add", "ann@inside.test", "--config", config)
    (tmp_path / "list").write_text(content)
    assert run("recipients", "import", tmp_path / "list", "--replace", "--config", config).code == 1
    assert listed(run, config) == ["ann@inside.test"]


def test_only_for_domains_of_ours(run: Run, config: Path, tmp_path: Path) -> None:
    (tmp_path / "list").write_text("ann@inside.test\nbob@outside.test\n")
    for words in (("add", "ann@inside.test", "bob@outside.test"), ("import", tmp_path / "list")):
        ran = run("recipients", *words, "--config", config)
        assert (ran.code, "outside.test: no domain of ours" in ran.err) == (1, True)
    assert listed(run, config) == []
    assert run("recipients", "add", "no address", "--config", config).code == 2


def test_more_than_a_page(run: Run, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("securegw.commands.recipients.PAGE", 3)
    (tmp_path / "list").write_text("".join(f"u{number}@inside.test\n" for number in range(10)))
    assert run("recipients", "import", tmp_path / "list", "--config", config).code == 0
    assert len(listed(run, config)) == 10
