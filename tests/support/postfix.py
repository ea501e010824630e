"""A Postfix of our own: started from a configuration in a temporary folder, ended by its own id.

Needs root, as Postfix does; ``missing()`` says in words why it cannot run here. The real programs of the system's
package do the work: real queue, real delivery to a Maildir.
"""

from __future__ import annotations

import contextlib
import mailbox
import os
import pwd
import select
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from email.message import Message
from pathlib import Path

import attrs

from tests.support.ports import free_port, wait_for_port

OWNER = "nobody"
SYSTEM = Path("/etc/postfix")
SERVICES = """\
127.0.0.1:{port} inet n - n - {smtpd} smtpd{words}
pickup    unix n - n 60    1 pickup
cleanup   unix n - n -     0 cleanup
qmgr      unix n - n 300   1 qmgr
rewrite   unix - - n -     - trivial-rewrite
bounce    unix - - n -     0 bounce
defer     unix - - n -     0 bounce
trace     unix - - n -     0 bounce
verify    unix - - n -     1 verify
flush     unix n - n 1000? 0 flush
proxymap  unix - - n -     - proxymap
proxywrite unix - - n -    1 proxymap
smtp      unix - - n -     {smtp} smtp
relay     unix - - n -     {smtp} smtp
showq     unix n - n -     - showq
error     unix - - n -     - error
retry     unix - - n -     - error
discard   unix - - n -     - discard
local     unix - n n -     - local
virtual   unix - n n -     - virtual
anvil     unix - - n -     1 anvil
scache    unix - - n -     1 scache
tlsmgr    unix - - n 1000? 1 tlsmgr
postlog   unix-dgram n - n - 1 postlogd
"""


def missing() -> str | None:
    """Why no Postfix can run here, or None."""
    if shutil.which("postfix") is None:
        return "Postfix is not installed"
    return None if os.geteuid() == 0 else "Postfix starts as root only"


@attrs.frozen
class Postfix:
    """A running Postfix: its folder, its port on 127.0.0.1."""

    folder: Path
    port: int
    as_system: bool = False

    def mails(self, box: str) -> list[Message]:
        """What was delivered to the Maildir of this address."""
        place = self.folder / "mail" / box
        if not (place / "cur").is_dir():  # the last folder that it makes
            return []
        return [message for _, message in sorted(mailbox.Maildir(place, create=False).items())]

    def wait_for_mail(self, box: str, count: int = 1) -> list[Message]:
        """The mails of an address as soon as there are ``count``."""
        return self.wait_until(box, lambda mails: len(mails) >= count)

    def wait_until(
        self, box: str, content: Callable[[list[Message]], bool], seconds: float = 60.0
    ) -> list[Message]:
        """The mails of an address as soon as ``content`` says so; AssertionError with Postfix's log otherwise."""
        end = time.monotonic() + seconds
        while not content(found := self.mails(box)):
            assert time.monotonic() < end, f"{len(found)} mails for {box}; Postfix says:\n{self.log()}"
            time.sleep(0.05)
        return found

    def wait_for_log(self, words: str, seconds: float = 30.0) -> None:
        """Until its log has these words."""
        end = time.monotonic() + seconds
        while words not in self._whole_log():
            assert time.monotonic() < end, f"no {words!r} in:\n{self.log()}"
            time.sleep(0.05)

    def flush(self) -> None:
        """Try everything that waits now."""
        subprocess.run([program("postqueue"), "-c", str(self.folder / "etc"), "-f"], check=True, timeout=30)

    def start(self) -> None:
        _postfix(self.folder, "start", in_place_of_system=self.as_system)
        wait_for_port(self.port, seconds=30)

    def stop(self) -> None:
        """End the master, which ends its children; ``postfix stop`` does the same and sleeps for a second."""
        place = self.folder / "spool" / "pid" / "master.pid"
        master = os.pidfd_open(self.master_pid())
        try:
            signal.pidfd_send_signal(master, signal.SIGTERM)
            gone, _, _ = select.select([master], [], [], 30)
        finally:
            os.close(master)
        assert gone, f"the master did not end:\n{self.log()}"
        place.unlink()  # the number may come to mean another process

    def sendmail(self, sender: str, recipients: list[str], raw: bytes) -> None:
        """Hand in a mail as a local program would (sendmail, postdrop, pickup)."""
        command = [
            program("sendmail"),
            "-C",
            str(self.folder / "etc"),
            "-i",
            "-f",
            sender,
            "--",
            *recipients,
        ]
        subprocess.run(command, input=raw.replace(b"\r\n", b"\n"), check=True, timeout=30)

    def queue_size(self) -> int:
        """How many mails wait in its queue."""
        command = [program("postqueue"), "-c", str(self.folder / "etc"), "-j"]
        return len(subprocess.run(command, check=True, capture_output=True, timeout=30).stdout.splitlines())

    def held(self) -> int:
        """How many mails lie in the hold queue."""
        return sum(len(files) for _, _, files in os.walk(self.folder / "spool" / "hold"))

    def log(self) -> str:
        """Its last words."""
        return "\n".join(self._whole_log().splitlines()[-40:])

    def _whole_log(self) -> str:
        place = self.folder / "log"
        return place.read_text(errors="replace") if place.exists() else "nothing"

    def master_pid(self) -> int:
        return int((self.folder / "spool" / "pid" / "master.pid").read_text().strip())


def program(name: str) -> str:
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    assert found is not None, f"{name} is not installed"
    return found


def settings(folder: Path, boxes: Iterable[str], own: Mapping[str, str]) -> dict[str, str]:
    """main.cf as a table: nothing of the system's configuration, everything below ``folder``."""
    owner = pwd.getpwnam(OWNER)
    table = {
        "compatibility_level": "3.6",
        "queue_directory": f"{folder}/spool",
        "data_directory": f"{folder}/data",
        "maillog_file": f"{folder}/log",
        "maillog_file_prefixes": str(folder),
        "inet_interfaces": "127.0.0.1",
        "inet_protocols": "ipv4",
        "myhostname": "postfix.test",
        "mydestination": "",
        "mynetworks": "127.0.0.0/8",
        "smtpd_relay_restrictions": "permit_mynetworks, reject",
        "alias_maps": "",
        "alias_database": "",
        "local_recipient_maps": "",
        "virtual_mailbox_domains": " ".join(sorted({box.partition("@")[2] for box in boxes})),
        "virtual_mailbox_base": f"{folder}/mail",
        "virtual_mailbox_maps": f"texthash:{folder}/etc/boxes",
        "virtual_minimum_uid": "1",
        "virtual_uid_maps": f"static:{owner.pw_uid}",
        "virtual_gid_maps": f"static:{owner.pw_gid}",
        "message_size_limit": "60000000",
        "mailbox_size_limit": "0",
        "virtual_mailbox_limit": "0",
        "smtp_dns_support_level": "disabled",
        "smtp_host_lookup": "native",
        "smtpd_tls_security_level": "none",
        "smtp_tls_security_level": "none",
        "in_flow_delay": "0",
        "smtpd_client_connection_count_limit": "0",
        "default_process_limit": "100",
    }
    return {**table, **own}


@contextlib.contextmanager
def postfix(
    boxes: Sequence[str] = (),
    *,
    processes: int = 100,
    services: str = "",
    smtpd_words: str = "",
    as_system: bool = False,
    **own: str,
) -> Iterator[Postfix]:
    """A Postfix that delivers the addresses ``boxes`` to Maildirs and obeys ``own`` main.cf lines.

    ``services`` are more lines of master.cf, ``smtpd_words`` more words for its SMTP server. ``as_system``: what it
    starts sees its configuration in the place of the system's, so that their sendmail(1) hands in to it.
    """
    folder = Path(tempfile.mkdtemp(prefix="sg-postfix-"))
    # Delivery runs as another user, who must be able to walk through.
    folder.chmod(0o755)
    running = Postfix(folder, free_port(), as_system)
    lines = SERVICES.format(port=running.port, smtpd=processes, smtp=processes, words=smtpd_words)
    try:
        _lay_out(running, boxes, lines + services, own)
        running.start()
        yield running
    finally:
        _end(running)
        shutil.rmtree(folder, ignore_errors=True)


def _lay_out(running: Postfix, boxes: Sequence[str], services: str, own: Mapping[str, str]) -> None:
    folder, owner = running.folder, pwd.getpwnam(OWNER)
    for name in ("etc", "spool", "data", "mail"):
        (folder / name).mkdir()
    os.chown(folder / "mail", owner.pw_uid, owner.pw_gid)
    os.chown(folder / "data", pwd.getpwnam("postfix").pw_uid, -1)
    table = settings(folder, boxes, own)
    etc = folder / "etc"
    if running.as_system:
        table["alternate_config_directories"] = str(etc)
        for name in ("postfix-files", "postfix-script", "post-install", "dynamicmaps.cf"):
            shutil.copy2(SYSTEM / name, etc)
    write_old(etc / "main.cf", "".join(f"{name} = {value}\n" for name, value in table.items()))
    write_old(etc / "master.cf", services)
    write_old(etc / "boxes", "".join(f"{box} {box}/\n" for box in boxes))


def write_old(file: Path, text: str) -> None:
    """A file of yesterday: Postfix takes its time with one of this second, which may be only half written."""
    fresh = file.with_name(f"{file.name}.new")
    fresh.write_text(text)
    yesterday = time.time() - 86_400
    os.utime(fresh, (yesterday, yesterday))
    fresh.replace(file)


def _postfix(folder: Path, word: str, *, in_place_of_system: bool = False) -> None:
    etc = str(folder / "etc")
    command = [program("postfix"), "-c", etc, word]
    if in_place_of_system:  # for what is started here, and for nobody else
        mount = 'mount --bind "$0" "$1" && shift && exec "$@"'
        command = ["unshare", "--mount", "--propagation=private", "sh", "-c", mount, etc, str(SYSTEM), *command]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
    log = folder / "log"
    words = log.read_text(errors="replace") if log.exists() else ""
    assert done.returncode == 0, f"postfix {word}: {done.stdout}{done.stderr}{words}"


def _end(running: Postfix) -> None:
    """Nothing of this folder runs any more, unless it has ended by itself."""
    if (running.folder / "spool" / "pid" / "master.pid").exists():
        with contextlib.suppress(AssertionError, ProcessLookupError):
            running.stop()
