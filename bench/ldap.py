"""The LDAP keyserver: searches a second for one address of many, each answered with a certificate, against slapd (mdb).

Both hold the same certificates. The first search for an address is the dear one here - the certificate is read, judged
and prepared - so each server is asked once for all of them before anything is measured; slapd thereby has its pages in
memory. The load maker is a C program, compiled by this script, and reports its own CPU time: it must not be the limit.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import subprocess
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import attrs
from sqlalchemy import Connection, insert

from bench.support.figures import Figure, Row, measure, write
from bench.support.processes import cpu_seconds, memory
from bench.support.runs import Server
from bench.support.slapd import slapd
from securegw.crypto import authority
from securegw.crypto.certificate import read_certificate
from securegw.store import keystore, schema
from securegw.store.database import Database, place
from tests.support.ports import free_port
from tests.support.running import Gateway, prepare

SOURCE = Path(__file__).parent / "support" / "ldap_load.c"
PATTERN = "user{:06d}@partner.test"


@attrs.frozen
class Load:
    connections: int
    count: int
    depth: int = 1
    new: bool = False
    ordered: bool = False


LOADS = {
    "50 connections": Load(50, 100_000),
    "10 connections, 8 searches under way on each": Load(10, 200_000, depth=8),
    "a new connection for each search, 10 at once": Load(10, 20_000, new=True),
}
WORDS = (
    "Searches a second for the certificate of one address of {entries:,}, over the loopback. slapd has an index on "
    "mail and uses both cores; the gateway answers in one thread, and its memory is that of the whole gateway. "
    "``python -m bench.ldap`` repeats this."
)


def people(count: int) -> Iterator[tuple[str, bytes]]:
    """Addresses and certificates: one real certificate, with another address of the same length put into each copy.

    It has 1.4 KB, as those of public authorities at least have.
    """
    now = time.time()
    key, root = authority.make_authority("Bench", years=3, now=now, kind="rsa-4096")
    first = PATTERN.format(0)
    name = "Somebody of the Department of Radiology and Nuclear Medicine"
    _, der = authority.issue(key, root, address=first, name=name, kind="rsa-4096", days=300, now=now)
    for number in range(count):
        address = PATTERN.format(number)
        yield address, der.replace(first.encode(), address.encode())


def compiled(folder: Path) -> Path:
    """The load maker."""
    program = folder / "ldap_load"
    subprocess.run(["cc", "-O2", "-o", str(program), str(SOURCE)], check=True, timeout=120)
    return program


def search(program: Path, entries: int, server: Server, load: Load) -> Figure:
    """One round."""
    before = cpu_seconds(server.pid)
    numbers = (server.port, load.connections, load.depth, load.count, entries, int(load.new), int(load.ordered))
    done = subprocess.run([str(program), *map(str, numbers)], capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    used = (cpu_seconds(server.pid) - before) * 1000 / load.count
    made = report["cpu"] / report["seconds"]
    print(f"  {server.name}: {used * 1000:.1f} us a search; the load maker took {made:.0%} of a core", flush=True)
    return Figure(
        per_second=load.count / report["seconds"],
        cpu_ms=used,
        memory_mb=memory(server.pid) / 1e6,
        session_p99_ms=report["p99_ms"],
    )


@contextlib.contextmanager
def keyserver(entries: int) -> Iterator[Server]:
    """A running gateway whose store has these people."""
    port = free_port()
    ldap = {
        "inside": [f"tcp:{port}:interface=127.0.0.1:backlog=512"],
        "networks": ["127.0.0.1/32"],
        "connections_per_minute": 1_000_000,
    }
    with tempfile.TemporaryDirectory(prefix="sg-bench-") as folder:
        gateway = prepare(Path(folder), inside=1, outside=1, settings={"ldap": ldap})
        _fill(gateway, entries)
        try:
            gateway.start()
            yield Server("securegw", port, gateway.pid)
        finally:
            gateway.stop()


def _fill(gateway: Gateway, entries: int) -> None:
    settings = gateway.settings()
    database = Database(place(settings.database.url, settings.gateway.directory), inline=True)
    rows = list(people(entries))
    try:
        for at in range(0, entries, 5000):
            database.write(_add, rows[at : at + 5000]).result()
    finally:
        database.close()


def _add(connection: Connection, rows: list[tuple[str, bytes]]) -> None:
    """Straight into the table: before the gateway starts there is nobody to be told of changes."""
    first, now = read_certificate(rows[0][1]), time.time()
    values = attrs.asdict(
        keystore.Held(
            address="", der=b"", fingerprint="", source="imported", trust="trusted", created=now,
            not_before=first.not_before, not_after=first.not_after,
        )
    )
    del values["id"]
    prints = [(address, der, hashlib.sha256(der).hexdigest()) for address, der in rows]
    connection.execute(
        insert(schema.held), [{**values, "address": a, "der": der, "fingerprint": print_} for a, der, print_ in prints]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--entries", type=int, default=100_000)
    arguments = parser.parse_args()
    entries: int = arguments.entries
    groups: list[tuple[list[Row], str]] = []
    with (
        tempfile.TemporaryDirectory(prefix="sg-load-") as folder,
        slapd(people(entries)) as peer,
        keyserver(entries) as own,
    ):
        ask = partial(search, compiled(Path(folder)), entries)
        for server in (peer, own):
            figure = ask(server, Load(20, entries, ordered=True))
            print(f"{server.name}: every entry once, {figure.per_second:.0f}/s")
        for name, load in LOADS.items():
            servers = {server.name: partial(ask, server, load) for server in (peer, own)}
            groups.append((measure(name, servers, arguments.rounds), peer.name))
    write("ldap", "Searching the keyserver", WORDS.format(entries=entries), groups, unit="search")


if __name__ == "__main__":
    main()
