"""A Dovecot of our own with full Maildirs: started from a configuration in a temporary folder, ended by its own id.

With ``sealed`` its mails lie encrypted by its own plugin (mail_crypt), under a key of the server.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

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
service auth {{
  client_limit = 2000
}}
service stats {{
  unix_listener stats-writer {{
    mode = 0666
  }}
}}
"""
SEALED = """mail_plugins = mail_crypt
plugin {{
  mail_crypt_global_private_key = <{folder}/mails.key
  mail_crypt_global_public_key = <{folder}/mails.pub
  mail_crypt_save_version = 2
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
def dovecot(
    boxes: Sequence[str], mails: Sequence[bytes], certificate: Path, key: Path, *, sealed: bool = False
) -> Iterator[tuple[int, int]]:
    """The port for POP3S and the id of a Dovecot in which each of the boxes has these mails."""
    folder, port, owner = Path(tempfile.mkdtemp(prefix="sg-dovecot-")), free_port(), pwd.getpwnam(OWNER)
    folder.chmod(0o755)
    for name in ("mail", "home", "source"):
        (folder / name).mkdir()
        os.chown(folder / name, owner.pw_uid, owner.pw_gid)
    own = {"uid": owner.pw_uid, "gid": owner.pw_gid, "port": port, "password": PASSWORD}
    text = CONFIGURATION + (SEALED if sealed else "")
    file = folder / "dovecot.conf"
    file.write_text(text.format(folder=folder, certificate=certificate, key=key, **own))
    try:
        if sealed:
            _make_keys(folder)
        else:
            for box in boxes:
                _fill(folder / "mail" / box, mails, owner)
        process = subprocess.Popen([str(_program()), "-F", "-c", str(file)], text=True)
        try:
            wait_for_port(port, alive=lambda: process.poll() is None)
            if sealed:
                _import(file, folder, boxes, mails, owner)
            yield port, process.pid
        finally:
            end(process)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _make_keys(folder: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    for name, pem in (("mails.key", private), ("mails.pub", public)):
        (folder / name).write_bytes(pem)
        (folder / name).chmod(0o644)  # its processes run as nobody; the key is good for this bench only


def _import(file: Path, folder: Path, boxes: Sequence[str], mails: Sequence[bytes], owner: pwd.struct_passwd) -> None:
    """Out of an mbox, so that Dovecot saves each mail itself."""
    source = folder / "source" / "mbox"
    line = b"From a@b Mon Nov 23 08:00:00 2026\n"
    source.write_bytes(b"".join(line + raw.replace(b"\r", b"") + b"\n" for raw in mails))
    os.chown(source, owner.pw_uid, owner.pw_gid)
    for box in boxes:
        words = ("doveadm", "-c", str(file), "import", "-u", box, f"mbox:{source.parent}:INBOX={source}", "", "ALL")
        subprocess.run(words, check=True, timeout=300)
    saved = [path for path in (folder / "mail").rglob("*") if path.is_file() and path.parent.name in ("cur", "new")]
    assert len(saved) == len(boxes) * len(mails)
    assert not any(b"quick brown fox" in path.read_bytes() for path in saved), "they can be read"


def _fill(box: Path, mails: Sequence[bytes], owner: pwd.struct_passwd) -> None:
    for name in ("cur", "new", "tmp"):
        (box / name).mkdir(parents=True)
    for number, raw in enumerate(mails):
        (box / "cur" / f"{1_700_000_000 + number}.M{number}.bench,S={len(raw)},W={len(raw)}:2,").write_bytes(raw)
    for place in (box, *box.rglob("*")):
        os.chown(place, owner.pw_uid, owner.pw_gid)
