"""What Postfix servers need around a gateway: transport tables that are written once all ports are known, a master.cf
for a server that hands over only what it chooses, and a smarthost's passwords.

The passwords are told to Postfix by the protocol of Dovecot's authentication server, so that no other program is
needed: https://doc.dovecot.org/main/developers/design/auth_protocol.html.
"""

from __future__ import annotations

import base64
import contextlib
import shutil
import socketserver
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from email.message import Message
from pathlib import Path

from tests.support.mails import STRANGER
from tests.support.postfix import Postfix, write_old

HELLO = b"VERSION\t1\t2\nMECH\tPLAIN\tplaintext\nSPID\t1\nCUID\t1\nCOOKIE\t00000000000000000000000000000000\nDONE\n"

CHOSEN_IN = r"/^Content-Type:[[:space:]]*(multipart\/signed|application\/(x-)?pkcs7-)/  FILTER gw-in:[127.0.0.1]:{port}"
CHOSEN_OUT = r"/^Subject:.*\[(confidential|priv|plain|sign|nosign|noenc)\]/  FILTER gw-out:[127.0.0.1]:{port}"

# As in docs/placements.rst, with ports of the loopback; the stranger's address stands for the edge's first one.
CHOOSING = """\
127.0.0.1:{ours}  inet n - n - - smtpd
    -o cleanup_service_name=cleanup-out
    -o smtpd_client_restrictions=permit_mynetworks,reject
127.0.0.1:{back}  inet n - n - - smtpd
    -o receive_override_options=no_header_body_checks
    -o smtpd_client_restrictions=permit_mynetworks,reject
cleanup-out       unix n - n - 0 cleanup
    -o header_checks=regexp:{folder}/chosen-out
    -o nested_header_checks=
gw-in             unix - - n - - smtp
    -o smtp_bind_address={stranger}
gw-out            unix - - n - - smtp
"""


class Tables:
    """A folder that Postfix may read, with tables that are written after the servers have their ports."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def transport(self, name: str) -> str:
        """The main.cf value for a table that ``lead`` writes before the first mail."""
        return f"texthash:{self.folder / name}"

    def lead(self, name: str, ways: Mapping[str, str]) -> None:
        """Where mail for each domain (or ``*``) goes, as ``transport:nexthop``."""
        write_old(self.folder / name, "".join(f"{domain} {way}\n" for domain, way in ways.items()))

    def choose(self, gateway: int) -> None:
        """What the edge hands over."""
        write_old(self.folder / "chosen-in", CHOSEN_IN.format(port=gateway) + "\n")
        write_old(self.folder / "chosen-out", CHOSEN_OUT.format(port=gateway) + "\n")

    def choosing(self, *, ours: int, back: int) -> str:
        """The master.cf lines of an edge that chooses."""
        return CHOOSING.format(ours=ours, back=back, folder=self.folder, stranger=STRANGER)


def to(port: int, transport: str = "smtp") -> str:
    """A way to a port of the loopback."""
    return f"{transport}:[127.0.0.1]:{port}"


def first(server: Postfix, box: str, wanted: Callable[[Message], bool], seconds: float = 60.0) -> Message:
    """The first mail of a Maildir that is the wanted one."""
    return next(filter(wanted, server.wait_until(box, lambda mails: any(map(wanted, mails)), seconds)))


@contextlib.contextmanager
def tables() -> Iterator[Tables]:
    folder = Path(tempfile.mkdtemp(prefix="sg-tables-"))
    folder.chmod(0o755)
    try:
        yield Tables(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class _Conversation(socketserver.StreamRequestHandler):
    """One Postfix process asks; every mechanism but PLAIN, and every other password, fails."""

    server: _Passwords

    def handle(self) -> None:
        self.wfile.write(HELLO)
        for line in self.rfile:
            verb, *words = line.decode().rstrip("\n").split("\t")
            if verb == "AUTH":
                self.wfile.write(self.server.judge(words))


class _Passwords(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True

    def __init__(self, place: Path, name: str, password: str) -> None:
        super().__init__(str(place), _Conversation)
        self.good = f"\0{name}\0{password}".encode()
        self.name = name

    def judge(self, words: list[str]) -> bytes:
        number, mechanism, *more = words
        response = next((word.removeprefix("resp=") for word in more if word.startswith("resp=")), "")
        if mechanism == "PLAIN" and base64.b64decode(response) == self.good:
            return f"OK\t{number}\tuser={self.name}\n".encode()
        return f"FAIL\t{number}\tuser=somebody\n".encode()


@contextlib.contextmanager
def passwords(folder: Path, name: str, password: str) -> Iterator[Path]:
    """The socket of an authentication server that knows one name and its password."""
    place = folder / "passwords"
    server = _Passwords(place, name, password)
    place.chmod(0o666)  # smtpd runs as another user
    thread = threading.Thread(target=server.serve_forever, name="passwords", daemon=True)
    thread.start()
    try:
        yield place
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
