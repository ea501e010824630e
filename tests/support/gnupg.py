"""GnuPG with a home of its own: what it starts beside itself - agent, dirmngr - is told to end, and waited for."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import attrs

PROGRAMS = ("gpg", "gpgsm", "dirmngr", "gpgconf", "gpg-connect-agent")


@attrs.frozen
class GnuPG:
    home: Path

    def run(self, program: str, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "GNUPGHOME": str(self.home), "LC_ALL": "C"}
        done = subprocess.run(
            [program, "--batch", *words], env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        told = f"{program} {' '.join(words)}:\n{done.stdout}{done.stderr}\n{self.log()}"
        assert not check or done.returncode == 0, told
        return done

    def log(self) -> str:
        file = self.home / "dirmngr.log"
        return file.read_text("utf-8", "replace")[-3000:] if file.exists() else ""


@contextlib.contextmanager
def gnupg() -> Iterator[GnuPG]:
    """A new home; its path is short, because sockets lie in it."""
    home = Path(tempfile.mkdtemp(prefix="sg-gpg-"))
    (home / "dirmngr.conf").write_text(f"log-file {home}/dirmngr.log\nverbose\nno-use-tor\n")
    one = GnuPG(home)
    try:
        yield one
    finally:
        started = _started(home)
        environment = {**os.environ, "GNUPGHOME": str(home)}
        subprocess.run(["gpgconf", "--kill", "all"], env=environment, check=False, timeout=30, capture_output=True)
        _wait_gone(started)
        shutil.rmtree(home, ignore_errors=True)


def _started(home: Path) -> list[int]:
    """The processes that have been started for this home."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if f"GNUPGHOME={home}".encode() in (place / "environ").read_bytes().split(b"\0"):
                found.append(int(place.name))
    return found


def _wait_gone(pids: list[int]) -> None:
    end = time.monotonic() + 10
    while any(_alive(pid) for pid in pids) and time.monotonic() < end:
        time.sleep(0.05)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
