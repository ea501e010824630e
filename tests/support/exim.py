"""An Exim of our own: below a small root, from a configuration made here, ended by its own id.

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

PROGRAM = "/usr/sbin/exim4"
USER, NUMBER = "Debian-exim", 64_001

CONFIGURATION = """\
primary_hostname = exim.test
local_interfaces = 127.0.0.1
daemon_smtp_ports = {port}
pid_file_path = /run/exim.pid
log_file_path = /var/log/exim4/%slog
host_lookup =
rfc1413_query_timeout = 0s
tls_advertise_hosts =
smtp_accept_max = 0
smtp_accept_queue_per_connection = 0
message_size_limit = 60M
acl_smtp_rcpt = rcpt
acl_smtp_data = accept
begin acl
rcpt:
  deny local_parts = nobody
    message = there is no such person
  accept
begin routers
inside:
  driver = manualroute
  domains = inside.test
  route_data = 127.0.0.1
  self = send
  transport = to_inside
world:
  driver = manualroute
  route_data = 127.0.0.1
  self = send
  transport = to_world
begin transports
to_inside:
  driver = smtp
  port = {inside}
  interface = {source}
  allow_localhost
to_world:
  driver = smtp
  port = {world}
  allow_localhost
begin retry
* * F,1h,1s
"""


def missing() -> str | None:
    """Why no Exim can run here, or None."""
    return unpack.missing(PROGRAM, "exim4-daemon-light")


@attrs.frozen
class Exim:
    """A running Exim: its root, its port on 127.0.0.1."""

    root: Path
    port: int

    def log(self) -> str:
        places = sorted((self.root / "var/log/exim4").glob("*log"))
        return "\n".join(place.read_text(errors="replace") for place in places) or "nothing"

    def wait_for_log(self, words: str, seconds: float = 30.0) -> None:
        """Until its log has these words."""
        end = time.monotonic() + seconds
        while words not in self.log():
            assert time.monotonic() < end, f"no {words!r} in:\n{self.log()}"
            time.sleep(0.05)

    def run(self, *words: str) -> str:
        """Its program with other words; what it said."""
        command = ["chroot", str(self.root), PROGRAM, *words]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60, stdin=subprocess.DEVNULL)
        return done.stdout

    def flush(self) -> None:
        """Try everything that waits now."""
        self.run("-qff")

    def queue_size(self) -> int:
        """How many mails wait in its queue."""
        return int(self.run("-bpc"))


@contextlib.contextmanager
def exim(*, inside: int, world: int, source: str) -> Iterator[Exim]:
    """It hands mail for inside.test to port ``inside``, from the address ``source``, and all other to ``world``."""
    root = Path(tempfile.mkdtemp(prefix="sg-exim-"))
    running = Exim(root, free_port())
    text = CONFIGURATION.format(port=running.port, inside=inside, world=world, source=source)
    try:
        _lay_out(root, text)
        with subprocess.Popen(
            ["chroot", str(root), PROGRAM, "-bdf", "-oY"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as daemon:
            try:
                wait_for_port(running.port, alive=lambda: daemon.poll() is None)
                yield running
            finally:
                daemon.terminate()
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _lay_out(root: Path, text: str) -> None:
    unpack.small_root(root, [PROGRAM], {USER: NUMBER})
    (root / PROGRAM.lstrip("/")).chmod(0o4755)  # as the package has it: its children become root again to deliver
    for place in ("var/spool/exim4", "var/log/exim4"):
        (root / place).mkdir(parents=True)
        os.chown(root / place, NUMBER, NUMBER)
    etc = root / "etc/exim4"
    etc.mkdir()
    (etc / "exim4.conf").write_text(text)
