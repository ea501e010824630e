"""The wheel, installed into a fresh environment outside the checkout: the gateway starts and the demo's story passes.

It asks the package registry for what the wheel needs, as the first command of the README does.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
MADE = frozenset({".git", ".venv", "build", "dist", "demo"})  # of the top folder; the package has a demo of its own
ANYWHERE = shutil.ignore_patterns("*.egg-info", "__pycache__", ".*_cache", "dropin.cache")


def not_source(folder: str, names: list[str]) -> set[str]:
    """What a copy of the checkout leaves out."""
    made = MADE.intersection(names) if Path(folder) == ROOT else frozenset()
    return made | ANYWHERE(folder, names)


def run(words: Sequence[object], folder: Path, seconds: float = 600) -> subprocess.CompletedProcess[str]:
    """A program in a folder far from the checkout, with nothing of the checkout in its environment."""
    return subprocess.run(
        list(map(str, words)),
        cwd=folder,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )


def environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Future[Path]]:
    """The programs of a fresh environment, which is being made while the wheel is built."""

    def make() -> Path:
        folder = tmp_path_factory.mktemp("fresh")
        done = run([sys.executable, "-m", "venv", folder / "venv"], folder)
        assert done.returncode == 0, done.stdout + done.stderr
        return folder / "venv" / "bin"

    with ThreadPoolExecutor(1) as beside:
        yield beside.submit(make)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, so that the checkout stays as it is."""
    folder = tmp_path_factory.mktemp("source")
    shutil.copytree(ROOT, folder / "tree", ignore=not_source)
    done = run([sys.executable, "-m", "build", "--wheel", "--outdir", folder / "dist", folder / "tree"], folder)
    assert done.returncode == 0, done.stdout + done.stderr
    [found] = (folder / "dist").glob("*.whl")
    return found


@pytest.fixture(scope="module")
def programs(fresh: Future[Path], wheel: Path) -> Path:
    """The folder of the programs of a fresh environment with the wheel in it."""
    programs = fresh.result(600)
    words = [programs / "python", "-m", "pip", "install", "--quiet", wheel]
    done = run(words, programs.parent.parent, seconds=1200)
    assert done.returncode == 0, done.stdout + done.stderr
    return programs


def test_the_files_for_monitoring_systems_are_in_the_wheel(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    files = {path.relative_to(ROOT).as_posix() for path in (ROOT / "etc").rglob("*") if path.is_file()}
    assert {f"securegw/{file}" for file in files} <= names
    assert {"etc/nagios/commands.cfg", "etc/snmp/SECUREGW-MIB.txt", "etc/grafana/securegw.json"} <= files


def test_it_is_the_installed_one(programs: Path, tmp_path: Path) -> None:
    done = run([programs / "python", "-c", "import securegw; print(securegw.__file__)"], tmp_path)
    assert str(programs.parent) in done.stdout


def test_the_demo_passes(programs: Path, tmp_path: Path) -> None:
    done = run([programs / "securegw", "demo", "--check", "--dir", tmp_path / "demo"], tmp_path, seconds=180)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "All went well." in done.stdout


def test_quickstart_check_and_twistd(programs: Path, tmp_path: Path) -> None:
    folder = tmp_path / "gateway"
    done = run([programs / "securegw", "quickstart", "gw.inside.test", "--dir", folder], tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    config = folder / "securegw.toml"
    text = config.read_text()
    for door in ("25", "443"):
        here = f'listen = ["tcp:{free_port()}:interface=127.0.0.1"]'
        text, count = re.subn(rf"#? *listen = .*tcp:{door}\b.*", here, text)
        assert count == 1, f"no listen for port {door}"
    for listener in ("inside", "inside_tls", "outside", "outside_tls"):
        here = f'{listener} = ["tcp:{free_port()}:interface=127.0.0.1"]'
        text, count = re.subn(rf"(?m)^{listener} = .*", here, text)
        assert count == 1, f"no LDAP listener {listener}"
    config.write_text(text)

    done = run([programs / "securegw", "check", "--config", config], tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "securegw is open: smtp 127.0.0.1:" in output_until(
        [programs / "twistd", "-n", "--pidfile=", "securegw", "--config", config], tmp_path, "securegw is open"
    )


def output_until(words: Sequence[object], folder: Path, sign: str) -> str:
    """What a server says up to this sign; then it is ended by its id, and must go."""
    process = subprocess.Popen(
        list(map(str, words)),
        cwd=folder,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    said, end = "", time.monotonic() + 60
    assert process.stdout is not None
    try:
        for line in process.stdout:
            said += line
            if sign in line or time.monotonic() > end:
                break
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
    assert process.returncode in (0, -signal.SIGTERM), said  # twistd ends by the signal it was sent
    return said
