"""An OpenSMTPD of our own: below a small root, from a configuration made here, ended by its own id.

It takes everything from the loopback, hands mail for inside.test to one port and all other mail to another.
"""

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

from tests.support import unpack
from tests.support.ports import free_port, wait_for_port

PROGRAM, CONTROL = "/usr/sbin/smtpd", "/usr/sbin/smtpctl"
USERS = {"opensmtpd": 64_002, "opensmtpq": 64_003}

CONFIGURATION = """\
listen on 127.0.0.1 port {port} hostname opensmtpd.test
action "inside" relay host "smtp://127.0.0.1:{inside}" src {source} helo opensmtpd.test
action "world" relay host "smtp://127.0.0.1:{world}" helo opensmtpd.test
match from any for any rcpt-to "nobody@outside.test" reject
match from any for domain "inside.test" action "inside"
match from any for any action "world"
"""


def missing() -> str | None:
    """Why no OpenSMTPD can run here, or None."""
    return unpack.missing(PROGRAM, "opensmtpd")


@attrs.frozen
class OpenSmtpd:
    """A running OpenSMTPD: its root, its port on 127.0.0.1."""

    root: Path
    port: int

    def log(self) -> str:
        return (self.root / "log").read_text(errors="replace")

    def wait_for_log(self, words: str, seconds: float = 30.0) -> None:
        """Until its log has these words."""
        end = time.monotonic() + seconds
        while words not in self.log():
            assert time.monotonic() < end, f"no {words!r} in:\n{self.log()}"
            time.sleep(0.05)

    def flush(self) -> None:
        """Try everything that waits now."""
        self._control("schedule", "all")

    def queue_size(self) -> int:
        """How many mails wait in its queue, counted by recipients."""
        return len(self._control("show", "queue").splitlines())

    def _control(self, *words: str) -> str:
        command = ["chroot", str(self.root), CONTROL, *words]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60, stdin=subprocess.DEVNULL)
        return done.stdout


@contextlib.contextmanager
def opensmtpd(*, inside: int, world: int, source: str) -> Iterator[OpenSmtpd]:
    """It hands mail for inside.test to port ``inside``, from the address ``source``, and all other to ``world``."""
    root = Path(tempfile.mkdtemp(prefix="sg-opensmtpd-"))
    running = OpenSmtpd(root, free_port())
    text = CONFIGURATION.format(port=running.port, inside=inside, world=world, source=source)
    try:
        _lay_out(root, text)
        with (
            (root / "log").open("wb") as log,
            subprocess.Popen(
                ["chroot", str(root), PROGRAM, "-d"], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            ) as daemon,
        ):
            try:
                wait_for_port(running.port, alive=lambda: daemon.poll() is None)
                yield running
            finally:
                daemon.terminate()  # the first of its processes, which ends the others
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _lay_out(root: Path, text: str) -> None:
    unpack.small_root(root, [PROGRAM, CONTROL], USERS)
    for place in ("var/lib/opensmtpd/empty", "var/spool"):
        (root / place).mkdir(parents=True)
    control = root / CONTROL.lstrip("/")
    os.chown(control, 0, USERS["opensmtpq"])
    control.chmod(0o2755)  # as the package has it, and it checks that
    (root / "etc/smtpd.conf").write_text(text)
