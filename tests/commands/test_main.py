"""The table of commands, exit codes, and errors as one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from securegw.commands import main as main_module
from securegw.commands.main import COMMANDS, main
from tests.commands.conftest import Run


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_every_row_has_a_module_with_the_two_functions(command: main_module.Command) -> None:
    module = command.load()
    assert callable(module.add_arguments)
    assert callable(module.run)


def test_help_names_every_command(run: Run) -> None:
    ran = run("--help")
    assert ran.code == 0
    assert all(command.name in ran.out for command in COMMANDS)


def test_no_command_and_unknown_command_are_usage_errors(run: Run) -> None:
    assert run().code == 2
    assert run("frobnicate").code == 2
    assert run("domains").code == 2


def test_a_missing_configuration_is_one_line(run: Run, tmp_path: Path) -> None:
    ran = run("domains", "list", "--config", tmp_path / "none.toml")
    assert ran.code == 1
    assert ran.err == f"securegw: {tmp_path}/none.toml: No such file or directory\n"


def test_the_configuration_is_found_by_the_environment(
    run: Run, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECUREGW_CONFIG", str(config))
    assert "inside.test" in run("domains", "list").out


def test_a_configuration_that_is_no_text(run: Run, tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_bytes(b"\xff\xfe")
    ran = run("check", "--config", tmp_path / "c.toml")
    assert (ran.code, "not UTF-8" in ran.err, ran.err.count("\n")) == (1, True, 1)


def test_mistakes_of_ours_are_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    from securegw.commands import describe

    monkeypatch.setattr(describe, "reference", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        main(["describe"])
