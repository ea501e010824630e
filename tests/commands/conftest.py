"""A gateway made by quickstart, once, and copied for each test; and the command run with its output kept."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import attrs
import pytest
import txaio

txaio.use_twisted()

from securegw.commands.main import main  # noqa: E402


@attrs.frozen
class Ran:
    """What came of a command."""

    code: int
    out: str
    err: str


Run = Callable[..., Ran]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command with these words; usage errors end as exit code too."""
    monkeypatch.delenv("SECUREGW_CONFIG", raising=False)
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)

    def go(*words: object) -> Ran:
        capsys.readouterr()
        try:
            code = main([str(word) for word in words])
        except SystemExit as end:
            code = int(end.code or 0)
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    return go


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("quickstart") / "gw"
    words = ["quickstart", "gw.inside.test", "--dir", str(folder), "--inside-server", "[192.0.2.7]:2525"]
    assert main(words) == 0
    return folder


@pytest.fixture
def config(template: Path, tmp_path: Path) -> Path:
    """The configuration of a fresh gateway for gw.inside.test."""
    folder = tmp_path / "gw"
    shutil.copytree(template, folder)
    return folder / "securegw.toml"
