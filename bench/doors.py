"""How long the small doors take to answer while the gateway signs and encrypts as fast as it can.

NRPE, SNMP and LDAP live in the thread that all protocols share: what holds it is seen here. The peer is the same
gateway at rest.
"""

from __future__ import annotations

import argparse
import socket
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import attrs

from bench.smime import ANN, CAROL, give_papers
from bench.support.figures import drawn, publish
from bench.support.peers import running_gateway
from bench.support.runs import Load, generate
from bench.support.sink_process import sink_process
from tests.support import ldap_client, snmp_manager
from tests.support.nrpe_door import query, read_response
from tests.support.ports import free_port
from tests.support.snmp_names import OVERALL

WAY = (f"--sender={ANN}", f"--recipient={CAROL}")
LOADS = {
    "20 KB mails": Load(sessions=10, count=4000, more=WAY),
    "25 MB mails": Load(sessions=4, count=24, size=25_000_000, more=WAY),
}
PAUSE = 0.02  # seconds between two questions to the same door
REST = 500  # questions at rest
WORDS = (
    f"Questions to the small doors, one every {PAUSE * 1000:.0f} ms to each (LDAP over a standing connection, NRPE "
    "over a new one, SNMP by version 2c), at rest and while ten sessions bring mails of 20 KB, or four of 25 MB, that "
    "are signed and encrypted with RSA-2048. Milliseconds until the answer; the asker shares the cores with gateway, "
    "load maker and next hop. ``python -m bench.doors`` repeats this."
)
HEAD = ("door", "gateway", "questions", "median ms", "p99 ms", "longest ms")
Ask = Callable[[], None]


def ldap(port: int) -> Ask:
    """A search that finds Carol's certificate."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=30)
    question = ldap_client.search(f"(mail={CAROL})", wanted=["userCertificate;binary"])

    def ask() -> None:
        connection.sendall(question)
        answer = b""
        while b"\x65\x07\x0a\x01\x00\x04\x00\x04\x00" not in answer:  # SearchResultDone, success
            answer += connection.recv(65536)
        assert b"userCertificate" in answer

    return ask


def nrpe(port: int) -> Ask:
    """Like check_nrpe, it reads as much as the head of the answer says, and does not wait for the end."""
    question = query(3, b"check_securegw_queue")

    def ask() -> None:
        with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
            connection.sendall(question)
            answer = b""
            while len(answer) < 16 or len(answer) < 19 + int.from_bytes(answer[12:16]):
                more = connection.recv(65536)
                assert more, "cut off"
                answer += more
        assert "QUEUE" in read_response(answer)

    return ask


def snmp(port: int) -> Ask:
    client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    client.settimeout(30)
    client.connect(("127.0.0.1", port))
    question = snmp_manager.with_community(b"watch", snmp_manager.request(snmp_manager.GET, [(*OVERALL, 2, 0)]))

    def ask() -> None:
        client.send(question)
        assert snmp_manager.read_v2c(client.recv(65536)).status == 0

    return ask


@attrs.define
class Asker:
    """Asks one door again and again, and takes the times in milliseconds."""

    ask: Ask
    times: list[float] = attrs.Factory(list)
    error: BaseException | None = None

    def run(self, going_on: Callable[[int], bool]) -> None:
        try:
            while going_on(len(self.times)):
                began = time.perf_counter()
                self.ask()
                self.times.append((time.perf_counter() - began) * 1000)
                time.sleep(PAUSE)
        except BaseException as error:
            self.error = error

    def quantile(self, part: float) -> float:
        return sorted(self.times)[int(len(self.times) * part)]


def watch(doors: dict[str, Ask], until: Callable[[int], bool], work: Callable[[], object]) -> dict[str, Asker]:
    """Ask all doors at once while ``work`` is done; ``until`` says how long an asker goes on."""
    askers = {name: Asker(ask) for name, ask in doors.items()}
    threads = [threading.Thread(target=asker.run, args=(until,)) for asker in askers.values()]
    for thread in threads:
        thread.start()
    work()
    for thread in threads:
        thread.join()
    for name, asker in askers.items():
        assert asker.error is None, (name, asker.error)
    return askers


def under_load(doors: dict[str, Ask], send: Callable[[], object]) -> dict[str, Asker]:
    done = threading.Event()

    def work() -> None:
        try:
            send()
        finally:
            done.set()

    return watch(doors, lambda _: not done.is_set(), work)


def settings(ports: dict[str, int], secrets: Path) -> dict[str, dict[str, object]]:
    """The sections that open the doors."""
    secrets.write_text("community watch\n")
    secrets.chmod(0o600)
    return {
        "ldap": {"inside": [f"tcp:{ports['ldap']}:interface=127.0.0.1"], "networks": ["127.0.0.1/32"]},
        "nrpe": {"listen": [f"tcp:{ports['nrpe']}:interface=127.0.0.1"], "protection": "none"},
        "snmp": {"listen": [f"udp:{ports['snmp']}:interface=127.0.0.1"], "secrets": str(secrets)},
    }


def row(when: str, name: str, asker: Asker) -> list[str]:
    figures = (asker.quantile(0.5), asker.quantile(0.99), max(asker.times))
    return [name, when, str(len(asker.times)), *(f"{figure:.1f}" for figure in figures)]


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    ports = {name: free_port() for name in ("ldap", "nrpe", "snmp")}
    with (
        tempfile.TemporaryDirectory(prefix="sg-doors-") as place,
        sink_process() as sink,
        running_gateway(sink.port, **settings(ports, Path(place, "secrets"))) as (server, gateway),
    ):
        give_papers(gateway, Path(place))
        doors = {"LDAP": ldap(ports["ldap"]), "NRPE": nrpe(ports["nrpe"]), "SNMP": snmp(ports["snmp"])}

        def send(load: Load) -> None:
            sink.reset()
            generate(server.port, load)
            sink.wait(load.count)

        runs = {"at rest": watch(doors, lambda asked: asked < REST, lambda: None)}
        runs |= {name: under_load(doors, partial(send, load)) for name, load in LOADS.items()}
    lines = [row(when, name, askers[name]) for name in doors for when, askers in runs.items()]
    table = drawn("Time to the answer", [HEAD, *lines])
    publish("doors", "The small doors under load", WORDS, table, [dict(zip(HEAD, line, strict=True)) for line in lines])


if __name__ == "__main__":
    main()
