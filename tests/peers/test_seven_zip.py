"""7-Zip opens what a mail is sealed into by ``[zip:PASSWORD]`` (S8), with the password and with nothing else."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from securegw.crypto import sealed_zip
from tests.support.mails import read
from tests.support.running import Gateway
from tests.support.sink import Sink

TEXT, PASSWORD = "The blood count is fine.", "Correct horse 9"
SECRET = "Correct horse 9 '; id #"
FILES = {"letter.html": b"<p>The blood count is fine.</p>\n" * 2000, "files.zip": os.urandom(300_000), "empty": b""}


@pytest.fixture
def seven_zip(program: Callable[[str], str]) -> str:
    return program("7z")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "letter.zip").write_bytes(sealed_zip.pack(FILES.items(), SECRET, 1_790_000_000.0))
    return tmp_path / "letter.zip"


def run(program: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([program, *arguments], stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False)


def test_it_opens_with_the_password(seven_zip: str, file: Path) -> None:
    done = run(seven_zip, "x", f"-p{SECRET}", f"-o{file.parent / 'out'}", str(file))
    assert done.returncode == 0, done.stdout
    assert {each.name: each.read_bytes() for each in (file.parent / "out").iterdir()} == FILES


@pytest.mark.parametrize("password", ["", "correct horse 9 '; id #", SECRET[:-1]])
def test_it_opens_with_no_other(seven_zip: str, file: Path, password: str) -> None:
    done = run(seven_zip, "x", f"-p{password}", f"-o{file.parent / 'out'}", str(file))
    assert done.returncode != 0
    assert all(each.read_bytes() == b"" for each in (file.parent / "out").glob("*"))


def test_it_is_aes_of_256_bits(seven_zip: str, file: Path) -> None:
    listed = run(seven_zip, "l", "-slt", str(file)).stdout.decode()
    assert listed.count("Method = AES-256") == 3


def test_s8_a_mail_from_swaks(
    seven_zip: str, program: Callable[[str], str], running: Gateway, outside: Sink, tmp_path: Path
) -> None:
    (tmp_path / "blood count.csv").write_bytes(b"1;2;3\n" * 1000)
    server = ["--server", f"127.0.0.1:{running.smtp_port}", "--from", "ann@inside.test", "--to", "bob@outside.test"]
    file = ["--attach-name", "blood count.csv", "--attach", f"@{tmp_path / 'blood count.csv'}"]
    done = run(program("swaks"), *server, "--header", f"Subject: [zip:{PASSWORD}] results", "--body", TEXT, *file)
    assert done.returncode == 0, done.stdout

    sent = outside.sent_to("bob@outside.test")
    assert not any(word in sent.raw for word in (PASSWORD.encode(), TEXT.encode(), b"blood", b"results"))
    [sealed] = [part for part in read(sent.raw).walk() if part.get_filename() == "letter.zip"]
    (tmp_path / "letter.zip").write_bytes(sealed.get_payload(decode=True))
    assert run(seven_zip, "x", f"-p{PASSWORD}", f"-o{tmp_path}", str(tmp_path / "letter.zip")).returncode == 0
    assert run(seven_zip, "x", f"-o{tmp_path / 'files'}", str(tmp_path / "files.zip")).returncode == 0
    assert TEXT in (tmp_path / "letter.html").read_text()
    assert (tmp_path / "files" / "blood count.csv").read_bytes() == (tmp_path / "blood count.csv").read_bytes()
    assert PASSWORD not in running.log
