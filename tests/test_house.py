"""The house keeps its own promises: walls, forbidden names, the reference of settings, the list of RFCs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from securegw import config, gateway

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "securegw").rglob("*.py"))
FORBIDDEN = {"utils", "helpers", "common", "base", "core", "misc", "manager", "handler"}


def test_arrows_point_down() -> None:
    lint = Path(sys.executable).with_name("lint-imports")
    if not lint.exists():
        pytest.skip("import-linter is not installed")
    done = subprocess.run([lint, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_reference_of_settings_is_what_describe_prints() -> None:
    assert (ROOT / "etc" / "securegw.toml").read_text("utf-8") == config.describe(gateway.Settings)


def test_names_are_nouns_of_mail() -> None:
    assert not [path for path in SOURCES if path.stem in FORBIDDEN]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_file_has_a_caption_and_one_subject(path: Path) -> None:
    text = path.read_text("utf-8")
    assert text.startswith('"""')
    assert text.count("\n") < 400


def test_nothing_dangerous_is_in_the_tree() -> None:
    """Threats, section 4: no evaluation of text, no pickle of strangers, no shell."""
    danger = re.compile(r"(?<![\w.])(?:eval|exec|compile)\(|yaml\.load|shell=True|os\.system|__import__")
    found = [
        f"{path.name}: {line.strip()}"
        for path in SOURCES
        for line in path.read_text("utf-8").splitlines()
        if danger.search(line) and "re.compile" not in line
    ]
    assert found == []


def test_only_parcels_of_workers_are_pickled() -> None:
    """Threats, section 4: what a process answers is read by a reader that knows our own values only."""
    assert [path.name for path in SOURCES if re.search("(?i)pickle", path.read_text("utf-8"))] == ["parcels.py"]
    assert not re.search(r"pickle\.loads?\b", (ROOT / "securegw" / "workers" / "parcels.py").read_text("utf-8"))


def test_only_the_smtp_door_says_that_a_mail_came_by_it() -> None:
    """What came by it is not looked through again for lone line ends before it leaves (RFC 5321 2.3.8)."""
    assert [path.name for path in SOURCES if 'Source("smtp"' in path.read_text("utf-8")] == ["smtp_peer.py"]


def test_every_rfc_in_the_code_is_graded_in_the_documents() -> None:
    graded = set(re.findall(r"^RFC (\d+)", (ROOT / "docs" / "rfc.rst").read_text("utf-8"), re.MULTILINE))
    named = {number for path in SOURCES for number in re.findall(r"RFC (\d{3,5})", path.read_text("utf-8"))}
    assert named - graded == set()
    assert graded - named == set()
