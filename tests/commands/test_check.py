"""A configuration with mistakes: all of them at once, each with file, line and key, and no port is opened."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from securegw.commands.check import complaints
from securegw.commands.sentences import sentences
from tests.commands.conftest import Run

TEN = """\
[gateway]
host = "not a host"
langage = "en"
master_key = 7

[database]
url = 5
readers = 0

[smtp]
listen = "nowhere"

[intake]
relay_networks = ["10.0.0.0/33"]
size_limit = "much"

[portal]
organisation = "Inside"
url = "ftp://gw.inside.test"
certificate = "tls.pem"
key = "tls.key"

[workers]
threads = "two"
"""

# Every mistake above: its line and its key.
PLACES = (
    (2, "host"), (3, "langage"), (4, "master_key"), (7, "url"), (8, "readers"), (11, "listen"),
    (14, "relay_networks"), (15, "size_limit"), (19, "url"), (24, "threads"),
)


@pytest.fixture
def ten(tmp_path: Path) -> Path:
    file = tmp_path / "ten.toml"
    file.write_text(TEN)
    return file


def assert_all_ten(file: Path, err: str) -> None:
    lines = [line for line in err.splitlines() if str(file) in line]
    assert len(lines) == len(PLACES), err
    for (number, key), line in zip(PLACES, lines, strict=True):
        assert f"{file}:{number}: " in line
        assert key in line


def test_ten_mistakes_are_ten_lines(run: Run, ten: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket.socket, "bind", lambda *_: pytest.fail("a port was opened"))
    ran = run("check", "--config", ten)
    assert (ran.code, ran.out) == (1, "")
    assert_all_ten(ten, ran.err)


def test_every_command_refuses_it_the_same_way(run: Run, ten: Path) -> None:
    ran = run("queue", "list", "--config", ten)
    assert ran.code == 1
    assert_all_ten(ten, ran.err)


def test_the_gateway_itself_opens_no_port(ten: Path) -> None:
    twistd = Path(sys.executable).parent / "twistd"
    words = [str(twistd), "-n", "--pidfile=", "securegw", "--config", str(ten)]
    where = {"cwd": ten.parent, "env": {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}}
    ended = subprocess.run(words, capture_output=True, text=True, timeout=30, check=False, **where)
    assert ended.returncode != 0
    assert_all_ten(ten, ended.stderr)
    assert "Traceback" not in ended.stderr
    assert "Starting factory" not in ended.stdout


def test_a_good_configuration(run: Run, config: Path) -> None:
    ran = run("check", "--config", config)
    assert (ran.code, ran.out, ran.err) == (0, f"{config}: no mistakes\n", "")


def test_a_database_that_is_not_there_yet_is_none(run: Run, config: Path) -> None:
    database = config.parent / "securegw.db"
    for file in config.parent.glob("securegw.db*"):
        file.unlink()
    assert run("check", "--config", config).code == 0
    assert not database.exists()


def test_all_that_is_wrong_around_it_is_told_at_once(run: Run, config: Path) -> None:
    (config.parent / "master.key").chmod(0o640)
    (config.parent / "tls.key").write_text("no key")
    (config.parent / "securegw.db").write_bytes(b"no database" * 100)
    ran = run("check", "--config", config)
    assert ran.code == 1
    assert "0600" in ran.err
    assert "smtp: " in ran.err
    assert "portal: " in ran.err
    assert "pop3: " in ran.err
    assert "ldap: " in ran.err
    assert len(ran.err.splitlines()) == 6
    assert "Traceback" not in ran.err


@pytest.mark.parametrize("name", ["master.key", "tls.pem", "tls.key"])
def test_a_file_that_is_missing_is_named(run: Run, config: Path, name: str) -> None:
    (config.parent / name).unlink()
    ran = run("check", "--config", config)
    assert ran.code == 1
    assert name in ran.err


def test_a_data_directory_that_is_missing(run: Run, config: Path) -> None:
    config.write_text(config.read_text().replace('directory = "."', 'directory = "gone"'))
    assert "gone: No such file or directory" in run("check", "--config", config).err


@pytest.mark.parametrize("url", ["mysql://localhost/x", "nonsense", "sqlite"])
def test_an_address_that_is_no_database(run: Run, config: Path, url: str) -> None:
    config.write_text(config.read_text().replace("sqlite:///securegw.db", url))
    ran = run("check", "--config", config)
    assert ran.code == 1
    assert "database" in ran.err
    assert len(ran.err.splitlines()) == 1


def test_the_key_of_another_certificate(run: Run, config: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    assert run("quickstart", "gw.example.org", "--dir", other).code == 0
    shutil.copy(other / "tls.key", config.parent / "tls.key")
    assert "no certificate with its private key" in run("check", "--config", config).err


def test_a_pop3_door_without_a_certificate(run: Run, config: Path) -> None:
    text = config.read_text()
    head, pop3, rest = text.partition("[pop3]")
    for name in ("certificate", "key"):
        rest = rest.replace(f'{name} = "tls.{"pem" if name == "certificate" else "key"}"', "", 1)
    config.write_text(f'{head}{pop3}\nlisten = ["tcp:110"]\n{rest.replace("listen = []", "", 1)}')
    ran = run("check", "--config", config)
    assert (ran.code, ran.err.count("\n")) == (1, 1)
    assert "pop3: listen and listen_tls need a certificate and a key" in ran.err


def test_a_connector_without_its_field(run: Run, config: Path) -> None:
    config.write_text(config.read_text().replace("[intake]\n", '[intake]\nconnector_networks = ["192.0.2.0/24"]\n', 1))
    ran = run("check", "--config", config)
    assert (ran.code, ran.err.count("\n")) == (1, 1)
    assert "intake: connector_networks and connector_field need each other" in ran.err


def test_mistakes_of_ours_pass_through() -> None:
    assert sentences(ZeroDivisionError()) == []
    with pytest.raises(ZeroDivisionError):
        complaints(lambda settings: 1 / 0, None)  # type: ignore[arg-type,return-value]


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ('certificate = "tls.pem"', "ldap: certificate and key belong together"),
        ('inside_tls = ["tcp:1"]', "ldap: inside_tls, outside_tls and tls_only need a certificate and a key"),
        ("tls_only = true", "ldap: inside_tls, outside_tls and tls_only need a certificate and a key"),
        ('certificate = "tls.key"\nkey = "tls.pem"', "ldap: "),
    ],
)
def test_the_keyservers_certificate(run: Run, config: Path, lines: str, words: str) -> None:
    before, _, _ = config.read_text().partition("\n[ldap]")
    config.write_text(f"{before}\n[ldap]\n{lines}\n")
    ran = run("check", "--config", config)
    assert (ran.code, words in ran.err) == (1, True), ran.err
