"""A Dovecot of our own with full Maildirs: started from a configuration in a temporary folder, ended by its own id."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.support.processes import end
from tests.support.ports import free_port, wait_for_port

OWNER = "nobody"
PASSWORD = "secret"
CONFIGURATION = """\
protocols = pop3
listen = 127.0.0.1
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/log
ssl = required
ssl_cert = <{certificate}
ssl_key = <{key}
mail_location = maildir:{folder}/mail/%u
first_valid_uid = 1
default_internal_user = dovecot
default_login_user = dovenull
pop3_no_flag_updates = yes
passdb {{
  driver = static
  args = password={password}
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={folder}/home/%u
}}
service pop3-login {{
  inet_listener pop3 {{
    port = 0
  }}
  inet_listener pop3s {{
    port = {port}
    ssl = yes
  }}
  service_count = 0
}}
service pop3 {{
  service_count = 100
}}
"""


def missing() -> str | None:
    """Why no Dovecot can run here, or None."""
    if _program() is None:
        return "Dovecot with POP3 is not installed"
    return None if os.geteuid() == 0 else "Dovecot starts as root only"


def _program() -> str | None:
    if not Path("/usr/lib/dovecot/pop3").exists():
        return None
    return shutil.which("dovecot", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


@contextlib.contextmanager
def dovecot(boxes: Sequence[str], mails: Sequence[bytes], certificate: Path, key: Path) -> Iterator[tuple[int, int]]:
    """The port for POP3S and the id of a Dovecot in which each of the boxes has these mails."""
    folder, port, owner = Path(tempfile.mkdtemp(prefix="sg-dovecot-")), free_port(), pwd.getpwnam(OWNER)
    folder.chmod(0o755)
    try:
        for box in boxes:
            _fill(folder / "mail" / box, mails, owner)
        own = {"uid": owner.pw_uid, "gid": owner.pw_gid, "port": port, "password": PASSWORD}
        file = folder / "dovecot.conf"
        file.write_text(CONFIGURATION.format(folder=folder, certificate=certificate, key=key, **own))
        process = subprocess.Popen([str(_program()), "-F", "-c", str(file)], text=True)
        try:
            wait_for_port(port, alive=lambda: process.poll() is None)
            yield port, process.pid
        finally:
            end(process)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _fill(box: Path, mails: Sequence[bytes], owner: pwd.struct_passwd) -> None:
    for name in ("cur", "new", "tmp"):
        (box / name).mkdir(parents=True)
    for number, raw in enumerate(mails):
        (box / "cur" / f"{1_700_000_000 + number}.M{number}.bench,S={len(raw)},W={len(raw)}:2,").write_bytes(raw)
    for place in (box, *box.rglob("*")):
        os.chown(place, owner.pw_uid, owner.pw_gid)
