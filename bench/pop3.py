"""POP3S: how many mails a second are fetched by one session and by four, against Dovecot with Maildirs.

All have the same mails, the same certificate (ECDSA P-256) and TLS 1.3. The gateway's mails lie sealed in its database
and are opened on their way out; Dovecot's lie readable in files, and once more encrypted by its own plugin. Measured
from the first RETR to the end of the last; signing in is not counted, since the gateway's costs what guessing a
password shall cost.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import attrs

from bench.support.dovecot import PASSWORD, dovecot
from bench.support.figures import Figure, Row, measure, write
from bench.support.generator import mail
from bench.support.processes import memory
from securegw.crypto import authority
from securegw.crypto.ladder import RUNGS, Ladder
from securegw.crypto.mailbox import seal_mail
from securegw.store import mailboxes
from securegw.store.database import Database
from tests.support.ports import free_port
from tests.support.running import Gateway, prepare, securegw

COUNT, SIZE = 1000, 20_000
BOXES = tuple(f"box{number}@inside.test" for number in range(1, 5))
WORDS = (
    f"POP3S: {COUNT:,} mails of {SIZE // 1000} KB in each mailbox, mails a second from the first RETR to the end of "
    "the last, each RETR said after the reply before it. Dovecot, with a process for each session, serves readable "
    "Maildirs, and those that its plugin mail_crypt has encrypted under a key of the server. The gateway opens mails "
    "that are sealed for the mailbox, in one process; once as mails that came one after the other, of which 256 share "
    "a sealing, and once as mails that came hours apart and have one each. ``python -m bench.pop3`` repeats this."
)


@attrs.frozen
class Server:
    """A server with full mailboxes: its port, its process, and the password of each box."""

    name: str
    port: int
    pid: int
    passwords: Mapping[str, str]


def fetching(server: Server, sessions: int) -> Figure:
    """One run: all mails of so many mailboxes."""
    boxes = [f"{box}={server.passwords[box]}" for box in BOXES[:sessions]]
    command = [sys.executable, "-m", "bench.support.fetcher", str(server.port), str(server.pid), *boxes]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["count"] == COUNT * sessions
    assert report["bytes"] > COUNT * sessions * SIZE
    return Figure(
        per_second=report["count"] / report["seconds"],
        cpu_ms=report["cpu"] * 1000 / report["count"],
        memory_mb=memory(server.pid) / 1e6,
        mail_p99_ms=report["p99"] * 1000,
    )


def papers(folder: Path) -> tuple[Path, Path]:
    """A TLS certificate for both."""
    now = time.time()
    root_key, root = authority.make_authority("bench", years=1, now=now)
    key, leaf = authority.make_tls(root_key, root, names=["localhost"], days=30, now=now)
    certificate_file, key_file = folder / "bench.pem", folder / "bench.key"
    certificate_file.write_bytes(authority.to_pem(leaf) + authority.to_pem(root))
    key_file.write_bytes(authority.key_to_pem(key))
    return certificate_file, key_file


@contextlib.contextmanager
def full_dovecot(
    name: str, mails: list[bytes], certificate: Path, key: Path, *, sealed: bool = False
) -> Iterator[Server]:
    """A Dovecot whose mailboxes have these mails."""
    with dovecot(BOXES, mails, certificate, key, sealed=sealed) as (port, pid):
        yield Server(name, port, pid, dict.fromkeys(BOXES, PASSWORD))


@contextlib.contextmanager
def full_gateway(
    name: str, folder: Path, mails: list[bytes], certificate: Path, key: Path, *, rungs: int = RUNGS
) -> Iterator[Server]:
    """A gateway whose mailboxes have these mails; ``rungs`` of them share a sealing."""
    port = free_port()
    folder.mkdir()
    own = {"certificate": str(certificate), "key": str(key), "connections_per_minute": 100_000}
    listen = [f"tcp:{port}:interface=127.0.0.1"]
    gateway = prepare(folder, inside=1, outside=1, settings={"pop3": {**own, "listen_tls": listen}})
    passwords = {box: create(gateway, box) for box in BOXES}
    fill(gateway, mails, rungs)
    try:
        gateway.start()
        yield Server(name, port, gateway.pid, passwords)
    finally:
        gateway.stop()


def create(gateway: Gateway, box: str) -> str:
    made = json.loads(securegw("mailboxes", "create", box, "--json", "--config", str(gateway.config)))
    return str(made["password"])


def fill(gateway: Gateway, mails: list[bytes], rungs: int) -> None:
    """What the journey of each mail would do, without the journey."""
    database = Database(f"sqlite:///{gateway.folder}/securegw.db", inline=True)
    try:
        for box in database.read(mailboxes.list_mailboxes).result():
            deposits = []
            for number, raw in enumerate(mails):
                if number % rungs == 0:
                    ladder = Ladder(box.public, box.id)
                sealed = seal_mail(ladder.step(), box.id, secrets.token_hex(16), raw)
                label = sealed.label
                deposits.append(
                    mailboxes.Deposit(
                        id=label.mail, mailbox=box.id, size=label.size, key=sealed.key, parts=sealed.parts, received=0.0
                    )
                )
            database.write(mailboxes.deposit, deposits).result()
    finally:
        database.close()


def compare(servers: list[Server], sessions: int, rounds: int) -> list[Row]:
    runs = {server.name: partial(fetching, server, sessions) for server in servers}
    return measure(f"{sessions} session{'s' if sessions > 1 else ''}, 20 KB", runs, rounds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--print-only", action="store_true", help="write no page")
    given = parser.parse_args()
    mails = [mail(SIZE, "ann@inside.test", f"box{number}@inside.test") for number in range(COUNT)]
    with tempfile.TemporaryDirectory(prefix="sg-bench-") as place:
        certificate, key = papers(Path(place))
        with (
            full_dovecot("Dovecot (Maildir)", mails, certificate, key) as theirs,
            full_dovecot("Dovecot (mail_crypt)", mails, certificate, key, sealed=True) as sealed,
            full_gateway("securegw", Path(place, "ours"), mails, certificate, key) as ours,
            full_gateway("securegw (hours apart)", Path(place, "apart"), mails, certificate, key, rungs=1) as apart,
        ):
            servers = [theirs, sealed, ours, apart]
            groups = [(compare(servers, sessions, given.rounds), theirs.name) for sessions in (1, 4)]
    if not given.print_only:
        write("pop3", "Fetching mail by POP3S", WORDS, groups)


if __name__ == "__main__":
    main()
