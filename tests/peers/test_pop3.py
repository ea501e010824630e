"""What people fetch mail with, against a running gateway: fetchmail, getmail, mpop, Python's poplib.

And a mail server that sends a copy of everything to the archive, as a journal rule does.
"""

from __future__ import annotations

import json
import mailbox
import poplib
import re
import shutil
import smtplib
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
import pytest

from tests.support.mails import send
from tests.support.ports import free_port
from tests.support.postfix import postfix
from tests.support.postgres import Postgres, postgres
from tests.support.running import Gateway, configuration, prepare, securegw
from tests.support.sink import Sink, sink

__all__ = ["postgres"]

ANN, BOX = "ann@inside.test", "archive@inside.test"
HOST = "gw.inside.test"  # the name in the certificate
TEXTS = ("first", "with dots\r\n.\r\n..\r\n.x", "last " + "z" * 70 + "\r\n" * 1000)


@attrs.frozen
class Archive:
    """A running gateway with a mailbox, its ports for POP3, and the password."""

    gateway: Gateway
    inside: Sink
    tls_port: int
    port: int
    password: str

    @property
    def authority(self) -> Path:
        return self.gateway.folder / "tls.pem"

    def context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.authority))

    def open(self) -> poplib.POP3:
        """Over TLS, signed in."""
        session = poplib.POP3("127.0.0.1", self.port, timeout=30)
        context = self.context()
        context.check_hostname = False
        session.stls(context)
        session.user(BOX)
        session.pass_(self.password)
        return session

    def count(self) -> int:
        listed = json.loads(securegw("mailboxes", "show", BOX, "--json", "--config", str(self.gateway.config)))
        return int(listed["mails"])

    def wait_for(self, count: int) -> None:
        end = time.monotonic() + 30
        while self.count() != count:
            assert time.monotonic() < end, f"{self.count()} mails in the mailbox:\n{self.gateway.log[-3000:]}"
            time.sleep(0.05)


def door(port: int) -> dict[str, object]:
    """The settings of a POP3 door with STLS."""
    return {"listen": [f"tcp:{port}:interface=127.0.0.1"], "certificate": "tls.pem", "key": "tls.key"}


def port_of(gateway: Gateway) -> int:
    return int(gateway.settings().pop3.listen[0].split(":")[1])


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    tls_port, port = free_port(), free_port()
    own = {**door(port), "listen_tls": [f"tcp:{tls_port}:interface=127.0.0.1"]}
    with sink() as inside:
        folder = tmp_path_factory.mktemp("archive")
        gateway = prepare(folder, inside=inside.port, outside=1, settings={"pop3": own})
        made = json.loads(securegw("mailboxes", "create", BOX, "--json", "--config", str(gateway.config)))
        try:
            gateway.start()
            yield Archive(gateway, inside, tls_port, port, made["password"])
        finally:
            gateway.stop()


@pytest.fixture
def archive(running: Archive) -> Archive:
    """With an empty mailbox."""
    session = running.open()
    for number in range(1, len(session.list()[1]) + 1):
        session.dele(number)
    session.quit()
    running.inside.forget()
    return running


@pytest.fixture
def full(archive: Archive) -> Archive:
    """With three mails in the mailbox."""
    for text in TEXTS:
        send(archive.gateway.smtp_port, ANN, BOX, f"Subject: {text[:5]}\r\n\r\n{text}\r\n".encode())
    archive.wait_for(len(TEXTS))
    return archive


def run(*words: str, folder: Path) -> str:
    done = subprocess.run(
        words,
        env={"HOME": str(folder), "PATH": "/usr/bin:/bin", "LANG": "C"},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert done.returncode == 0, f"{words[0]}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def texts(raws: list[bytes]) -> list[str]:
    """The bodies, with CRLF."""
    bodies = [re.sub(rb"\r?\n", b"\r\n", raw).partition(b"\r\n\r\n")[2] for raw in raws]
    return sorted(body.decode().removesuffix("\r\n") for body in bodies)


def maildir(folder: Path) -> list[bytes]:
    box = mailbox.Maildir(folder, create=False)
    return [box.get_bytes(key) for key in box.keys()]  # noqa: SIM118  (a Maildir is no dictionary)


FETCHMAIL = """\
poll 127.0.0.1 protocol pop3 port {port}
  user "{box}" password "{password}"
  {tls} sslcertck sslcertfile "{authority}" sslcommonname "gw.inside.test"
  fetchall {keep} mda "cat >>{folder}/mails; echo END >>{folder}/mails"
"""


@pytest.mark.parametrize(("tls", "implicit"), [("ssl", True), ('sslproto "TLS1.2+"', False)])
def test_fetchmail(full: Archive, program: Callable[[str], str], tmp_path: Path, tls: str, implicit: bool) -> None:
    file = tmp_path / "fetchmailrc"
    port = full.tls_port if implicit else full.port
    own = {"box": BOX, "password": full.password, "authority": full.authority, "folder": tmp_path, "keep": "nokeep"}
    file.write_text(FETCHMAIL.format(port=port, tls=tls, **own))
    file.chmod(0o600)

    run(program("fetchmail"), "-f", str(file), "--pidfile", str(tmp_path / "pid"), "-v", folder=tmp_path)

    mails = (tmp_path / "mails").read_bytes().split(b"END\n")[:-1]
    assert texts(mails) == sorted(TEXTS)
    assert full.count() == 0


GETMAIL = """\
[retriever]
type = SimplePOP3SSLRetriever
server = 127.0.0.1
port = {port}
username = {box}
password = {password}
ca_certs = {authority}
ssl_cert_hostname = gw.inside.test
[destination]
type = MDA_external
path = /bin/sh
arguments = ("-c", "cat >>{folder}/mails; echo END >>{folder}/mails")
allow_root_commands = true
[options]
read_all = false
delete = {delete}
delivered_to = false
received = false
"""


def test_getmail(full: Archive, program: Callable[[str], str], tmp_path: Path) -> None:
    file, found = tmp_path / "getmailrc", program("getmail")
    own = {"port": full.tls_port, "box": BOX, "password": full.password, "authority": full.authority}
    for delete in ("false", "true"):  # the second time it knows the mails by their UIDL, and deletes them
        file.write_text(GETMAIL.format(delete=delete, folder=tmp_path, **own))
        run(found, "--getmaildir", str(tmp_path), "--rcfile", str(file), folder=tmp_path)
        assert texts((tmp_path / "mails").read_bytes().split(b"END\n")[:-1]) == sorted(TEXTS)
    assert full.count() == 0


MPOP = """\
account default
host 127.0.0.1
port {port}
tls on
tls_starttls {starttls}
tls_trust_file {authority}
tls_host_override gw.inside.test
user {box}
password {password}
delivery maildir {folder}/mail
uidls_file {folder}/uidls
keep {keep}
pipelining on
received_header off
"""


@pytest.mark.parametrize("implicit", [True, False])
def test_mpop(full: Archive, program: Callable[[str], str], tmp_path: Path, implicit: bool) -> None:
    for name in ("cur", "new", "tmp"):
        (tmp_path / "mail" / name).mkdir(parents=True)
    file, found = tmp_path / "mpoprc", program("mpop")
    own = {"box": BOX, "password": full.password, "authority": full.authority, "folder": tmp_path}
    port = full.tls_port if implicit else full.port
    for keep in ("on", "off"):
        text = MPOP.format(port=port, starttls="off" if implicit else "on", keep=keep, **own)
        file.write_text(text)
        file.chmod(0o600)
        run(found, "-C", str(file), folder=tmp_path)
        assert texts(maildir(tmp_path / "mail")) == sorted(TEXTS)
    assert full.count() == 0


def test_mpop_knows_what_the_server_can_do(archive: Archive, program: Callable[[str], str], tmp_path: Path) -> None:
    where = ["--host=127.0.0.1", f"--port={archive.tls_port}", "--tls=on", "--tls-starttls=off"]
    whom = [f"--tls-trust-file={archive.authority}", f"--tls-host-override={HOST}"]
    told = run(program("mpop"), "--serverinfo", *where, *whom, folder=tmp_path)
    for word in ("CAPA", "PIPELINING", "TOP", "UIDL", "RESP-CODES", "PLAIN"):
        assert word in told


def test_poplib(full: Archive) -> None:
    session = full.open()
    assert session.stat()[0] == 3
    _, listed, _ = session.list()
    sizes = [int(line.split()[1]) for line in listed]
    for number, (size, text) in enumerate(zip(sizes, TEXTS, strict=True), 1):
        reply, lines, _ = session.retr(number)
        raw = b"\r\n".join(lines) + b"\r\n"
        assert len(raw) == size and reply == b"+OK %d octets" % size
        assert texts([raw]) == [text]
    ids = session.uidl()[1]
    session.dele(2)
    session.close()  # no QUIT: nothing is deleted
    session = full.open()
    assert session.uidl()[1] == ids
    with pytest.raises(poplib.error_proto, match=r"\[IN-USE\]"):
        full.open()
    session.dele(2)
    session.quit()
    session = full.open()
    assert [line.split()[1] for line in session.uidl()[1]] == [ids[0].split()[1], ids[2].split()[1]]
    session.quit()


def test_a_killed_gateway_has_deleted_nothing_and_gives_the_mailbox_back(full: Archive) -> None:
    session = full.open()
    session.dele(1)
    full.gateway.kill()
    session.close()
    full.gateway.start()
    session = full.open()
    assert session.stat()[0] == 3
    session.quit()


def test_a_tls_session_is_resumed(archive: Archive) -> None:
    context = archive.context()

    def meet(known: ssl.SSLSession | None) -> tuple[bool, ssl.SSLSession | None]:
        with (
            socket.create_connection(("127.0.0.1", archive.tls_port), timeout=30) as plain,
            context.wrap_socket(plain, server_hostname=HOST, session=known) as wire,
        ):
            assert wire.recv(100).startswith(b"+OK")  # the ticket has come with it
            wire.sendall(b"QUIT\r\n")
            assert wire.recv(100).startswith(b"+OK")
            return bool(wire.session_reused), wire.session

    again, known = meet(None)
    assert not again
    assert meet(known)[0]


def test_a_sender_who_asks_is_told_that_his_mail_lies_there(archive: Archive) -> None:
    with smtplib.SMTP("127.0.0.1", archive.gateway.smtp_port, timeout=30) as session:
        session.sendmail(ANN, BOX, b"Subject: x\r\n\r\ntext\r\n", ["RET=HDRS", "ENVID=E1"], ["NOTIFY=SUCCESS"])
    [notice] = archive.inside.wait(lambda mails: any(ANN in mail.recipients for mail in mails))
    assert b"\r\nAction: delivered\r\nStatus: 2.0.0\r\n" in notice.raw
    assert b"\r\nOriginal-Envelope-Id: E1\r\n" in notice.raw


def test_no_password_without_tls(archive: Archive) -> None:
    session = poplib.POP3("127.0.0.1", archive.port, timeout=30)
    assert "USER" not in session.capa() and "STLS" in session.capa()
    with pytest.raises(poplib.error_proto, match="Begin TLS first"):
        session.user(BOX)
    session.quit()


def test_postfix_sends_a_copy_of_everything(archive: Archive, postfix_here: None) -> None:
    """A journal rule: the mail server adds the archive as a recipient of every mail."""
    hop = f"[127.0.0.1]:{archive.gateway.smtp_port}"
    with postfix(always_bcc=BOX, relayhost=hop) as server:
        for number in range(3):
            server.sendmail(ANN, ["bob@inside.test"], f"Subject: {number}\r\n\r\njournal {number}\r\n".encode())
        archive.wait_for(3)
    session = archive.open()
    kept = [b"\r\n".join(session.retr(number)[1]) + b"\r\n" for number in (1, 2, 3)]
    session.quit()
    assert texts(kept) == ["journal 0", "journal 1", "journal 2"]
    mails = archive.inside.wait(lambda mails: len(mails) >= 3)
    assert {to for mail in mails for to in mail.recipients} == {"bob@inside.test"}
    for file in archive.gateway.folder.rglob("*"):  # no byte of them lies there to be read
        assert not file.is_file() or b"journal 0" not in file.read_bytes(), file


def test_two_gateways_on_one_database(postgres: Postgres, tmp_path: Path) -> None:
    """The mailbox is open at one of them only, whichever; both see the same mails."""
    url = str(postgres.url(postgres.database()))
    first = prepare(tmp_path, inside=1, outside=1, settings={"pop3": door(free_port())}, database=url)
    shutil.copytree(first.folder, tmp_path / "second")
    second = Gateway(tmp_path / "second", free_port(), free_port())
    second.config.write_text(configuration(second.smtp_port, second.portal_port, {
        "pop3": door(free_port()), "database": {"url": url},
    }))  # fmt: skip
    made = json.loads(securegw("mailboxes", "create", BOX, "--json", "--config", str(first.config)))
    nodes = [Archive(gateway, Sink(), 0, port_of(gateway), made["password"]) for gateway in (first, second)]
    try:
        for node in nodes:
            node.gateway.start()
            send(node.gateway.smtp_port, ANN, BOX, b"Subject: x\r\n\r\n" + b"y" * 70 + (b"\r\n" + b"z" * 70) * 9000)
        sessions = nodes[0].open()
        with pytest.raises(poplib.error_proto, match=r"\[IN-USE\]"):
            nodes[1].open()
        assert sessions.stat()[0] == 2 and len(sessions.retr(2)[1]) > 9000
        sessions.dele(1)
        sessions.quit()
        again = nodes[1].open()
        assert again.stat()[0] == 1
        again.quit()
    finally:
        for node in nodes:
            node.gateway.stop()
            node.inside.close()
