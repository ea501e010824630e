"""The SNMP agent of a running gateway as net-snmp sees it, and its MIB as smilint does."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
import pytest

from securegw.health import Check, State
from securegw.servers.snmp_settings import UdpPlace
from securegw.servers.snmp_tree import COUNTED, STATE, Names, Oid
from tests.servers.test_snmp import Place
from tests.support.ports import free_port
from tests.support.running import ROOT as TREE
from tests.support.running import Gateway, prepare
from tests.support.snmp_names import CHECK_CHANGED, CHECKS, MAILS, OVERALL, ROOT

MIB = TREE / "etc" / "snmp"
# Debian may not ship the modules of the IETF that every MIB imports; these have what ours needs of them.
IMPORTED = TREE / "tests" / "support" / "mibs"
SECRETS = """\
community watch-me
user nagios SHA-256 authpassword AES privpassword
user old SHA authpassword AES privpassword
user big SHA-512 authpassword AES privpassword
"""
SURROUNDINGS = {**os.environ, "MIBDIRS": f"{IMPORTED}:{MIB}", "MIBS": "SECUREGW-MIB"}

Find = Callable[[str], str]


@attrs.frozen
class Watched:
    """A gateway with an SNMP agent, and where it tells changes to."""

    gateway: Gateway
    port: int
    traps: int
    informs: int
    metrics: int

    def informs_by(self, outcome: str) -> float:
        """How many informs ended so, as the metrics say."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics}/metrics", timeout=20) as answer:
            text = answer.read().decode()
        found = re.search(rf'^securegw_snmp_informs_total{{outcome="{outcome}"}} (\S+)', text, re.MULTILINE)
        return float(found[1]) if found else 0.0

    def ask(self, program: str, *words: str, more: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        whole = [program, *words, "-t", "2", "-r", "1", f"127.0.0.1:{self.port}", *more]
        # What net-snmp keeps about engines must not be shared between tests that run at once.
        own = {**SURROUNDINGS, "SNMP_PERSISTENT_DIR": str(self.gateway.folder), "HOME": str(self.gateway.folder)}
        return subprocess.run(whole, capture_output=True, text=True, timeout=60, check=False, env=own)


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    port, traps, informs, metrics, nobody = (free_port() for _ in range(5))
    targets = {"traps": [f"127.0.0.1:{traps}"], "informs": [f"127.0.0.1:{informs}"], "trap_user": "nagios"}
    settings = {
        "snmp": {"listen": [f"udp:{port}:interface=127.0.0.1"], "secrets": "snmp.secrets", **targets},
        "monitoring": {"listen": [f"tcp:{metrics}:interface=127.0.0.1"]},
        "health": {"every": "200ms", "space": ["20 MB", "10 MB"]},
    }
    gateway = prepare(tmp_path_factory.mktemp("snmp"), inside=nobody, outside=nobody, settings=settings)
    secrets = gateway.folder / "snmp.secrets"
    secrets.write_text(SECRETS)
    secrets.chmod(0o600)
    try:
        gateway.start()
        yield Watched(gateway, port, traps, informs, metrics)
    finally:
        gateway.stop()


V2C = ("-v2c", "-c", "watch-me")
V3 = ("-v3", "-l", "authPriv", "-u", "nagios", "-a", "SHA-256", "-A", "authpassword", "-x", "AES", "-X", "privpassword")
OTHERS = {
    "old": ("-v3", "-l", "authPriv", "-u", "old", "-a", "SHA", "-A", "authpassword", "-x", "AES", "-X", "privpassword"),
    "big": (
        "-v3",
        "-l",
        "authPriv",
        "-u",
        "big",
        "-a",
        "SHA-512",
        "-A",
        "authpassword",
        "-x",
        "AES",
        "-X",
        "privpassword",
    ),
}


@pytest.mark.parametrize("who", [V2C, V3, *OTHERS.values()], ids=["v2c", "sha256", "sha1", "sha512"])
def test_snmpget(watched: Watched, program: Find, who: tuple[str, ...]) -> None:
    names = ("SECUREGW-MIB::sgwState.0", "SECUREGW-MIB::sgwWords.0", "SECUREGW-MIB::sgwCheckState.'queue'")
    ran = watched.ask(program("snmpget"), *who, more=names)
    assert ran.stdout.splitlines() == [
        "SECUREGW-MIB::sgwState.0 = INTEGER: ok(0)",
        "SECUREGW-MIB::sgwWords.0 = STRING: all 19 checks are well",
        "SECUREGW-MIB::sgwCheckState.'queue' = INTEGER: ok(0)",
    ], ran.stderr


@pytest.mark.parametrize("who", [V2C, V3], ids=["v2c", "v3"])
@pytest.mark.parametrize("how", [("snmpwalk",), ("snmpbulkwalk",), ("snmpbulkwalk", "-Cr2000")], ids=" ".join)
def test_walks(watched: Watched, program: Find, how: tuple[str, ...], who: tuple[str, ...]) -> None:
    ran = watched.ask(program(how[0]), *who, *how[1:], "-On", more=(".1.3",))
    names = re.findall(r"^(\.[\d.]+) = (?!No more)", ran.stdout, re.MULTILINE)
    assert len(names) == 7 + 4 + 19 * 7 + len(COUNTED)
    assert len(set(names)) == len(names)
    assert ran.returncode == 0, ran.stderr


def test_a_table(watched: Watched, program: Find) -> None:
    ran = watched.ask(program("snmptable"), *V2C, "-CB", "-Ci", "-Cf", ";", more=("SECUREGW-MIB::sgwCheckTable",))
    rows = {row.split(";")[0].strip("'"): row.split(";") for row in ran.stdout.splitlines()[2:]}
    assert rows["queue"][1:3] == ["ok", "0 mails in the queue, 0 of them tried before, 0 held"]
    assert rows["queue"][6:8] == ["1000", "10000"]


@pytest.mark.parametrize(
    "who",
    [
        ("-v2c", "-c", "public"),
        ("-v2c", "-c", "private"),
        ("-v1", "-c", "watch-me"),
        ("-v3", "-l", "noAuthNoPriv", "-u", "nagios"),
        ("-v3", "-l", "authNoPriv", "-u", "nagios", "-a", "SHA-256", "-A", "authpassword"),
        (*V3[:-1], "wrongpassword"),
        tuple("nobody" if word == "nagios" else word for word in V3),
    ],
    ids=["public", "private", "v1", "noauth", "nopriv", "wrong", "nobody"],
)
def test_whoever_has_no_right_secret_hears_nothing(watched: Watched, program: Find, who: tuple[str, ...]) -> None:
    own = [word for word in who if word != "-r"]
    whole = [program("snmpget"), *own, "-t", "0.3", "-r", "0", f"127.0.0.1:{watched.port}", "SECUREGW-MIB::sgwState.0"]
    ran = subprocess.run(whole, capture_output=True, text=True, timeout=30, check=False, env=SURROUNDINGS)
    assert ran.returncode != 0
    assert "sgwState" not in ran.stdout
    assert re.search(r"Timeout|Decryption error", ran.stderr)


@pytest.mark.parametrize("who", [V2C, V3], ids=["v2c", "v3"])
def test_nothing_can_be_set(watched: Watched, program: Find, who: tuple[str, ...]) -> None:
    ran = watched.ask(program("snmpset"), *who, more=(".1.3.6.1.2.1.1.4.0", "s", "mallory"))
    assert "notWritable" in ran.stderr


def test_the_engine_remembers_its_starts(watched: Watched, program: Find) -> None:
    file = watched.gateway.folder / "snmp-engine"
    name, boots = file.read_text().split()
    watched.gateway.stop()
    watched.gateway.start()
    assert file.read_text() == f"{name} {int(boots) + 1}\n"
    assert watched.ask(program("snmpget"), *V3, more=("SECUREGW-MIB::sgwState.0",)).stdout


@attrs.frozen
class Listener:
    """snmptrapd: knows the gateway's user and the community, and writes down what it is told."""

    out: Path

    def wait_for(self, words: str) -> None:
        _wait(lambda: words in self.out.read_text(), 60)


@pytest.fixture
def listener(watched: Watched, program: Find, tmp_path: Path) -> Iterator[Listener]:
    engine = (watched.gateway.folder / "snmp-engine").read_text().split()[0]
    with listening(program, tmp_path, watched.traps, f"-e 0x{engine} ") as found:
        yield found


@contextlib.contextmanager
def listening(program: Find, folder: Path, port: int, engine: str = "") -> Iterator[Listener]:
    """snmptrapd; its user is of the engine that is the authority: the gateway's for traps, its own for informs."""
    (folder / "snmptrapd.conf").write_text(
        f"createUser {engine}nagios SHA-256 authpassword AES privpassword\nauthUser log nagios priv\n"
        "authCommunity log watch-me\ndoNotRetainNotificationLogs yes\nformat2 %v|%P\\n\n"
    )
    environment = {**SURROUNDINGS, "SNMP_PERSISTENT_DIR": str(folder / "kept"), "SNMPCONFPATH": str(folder)}
    words = [program("snmptrapd"), "-f", "-Lo", "-C", "-c", str(folder / "snmptrapd.conf"), "-On", "-A"]
    words += ["-p", str(folder / "pid"), f"udp:127.0.0.1:{port}"]
    out = folder / "told"
    with out.open("w") as file:
        process = subprocess.Popen(words, stdout=file, stderr=subprocess.STDOUT, env=environment)
    try:
        _wait(lambda: (folder / "pid").exists())
        yield Listener(out)
    finally:
        process.terminate()
        process.wait(20)


STATE_OF_TLS = ".".join(map(str, ("", *CHECKS, STATE, *b"tls")))


def test_snmptrapd_is_told_red_and_green_as_a_user(watched: Watched, listener: Listener) -> None:
    certificate = watched.gateway.folder / "tls.pem"
    good = certificate.read_bytes()
    try:
        certificate.write_bytes(b"nothing")
        listener.wait_for(f"{STATE_OF_TLS} = INTEGER: critical(2)")
    finally:
        certificate.write_bytes(good)
    listener.wait_for(f"{STATE_OF_TLS} = INTEGER: ok(0)")
    told = listener.out.read_text()
    assert ".".join(map(str, ("", *CHECK_CHANGED))) in told
    assert "user nagios" in told or "v3" in told


def test_snmptrapd_acknowledges_informs_also_those_from_before_it_came(
    watched: Watched, program: Find, tmp_path: Path
) -> None:
    certificate = watched.gateway.folder / "tls.pem"
    good = certificate.read_bytes()
    given_up, acknowledged = watched.informs_by("given-up"), watched.informs_by("acknowledged")
    try:
        certificate.write_bytes(b"nothing")
        _wait(lambda: "critical(2)" in watched.ask(program("snmpget"), *V2C, more=(STATE_OF_TLS,)).stdout)
        with listening(program, tmp_path, watched.informs) as listener:
            listener.wait_for(f"{STATE_OF_TLS} = INTEGER: critical(2)")
            certificate.write_bytes(good)
            listener.wait_for(f"{STATE_OF_TLS} = INTEGER: ok(0)")
            _wait(lambda: watched.informs_by("acknowledged") >= acknowledged + 2)
            told = listener.out.read_text()
    finally:
        certificate.write_bytes(good)
    assert "INFORM" in told and "user nagios" in told, told
    assert watched.informs_by("given-up") == given_up


def test_snmptrapd_acknowledges_an_inform_by_a_community(program: Find, tmp_path: Path) -> None:
    port = free_port()
    place = Place(tmp_path, informs=(UdpPlace("127.0.0.1", port),))
    with listening(program, tmp_path, port) as listener, socket.socket(type=socket.SOCK_DGRAM) as sending:
        sending.settimeout(0.2)
        place.snmp.changed(Check("tls", State.OK, "well"), Check("tls", State.WARNING, "soon"))

        def acknowledged() -> bool:
            [(message, target)] = place.told[-1:]
            sending.sendto(message, (target.address, target.port))
            with contextlib.suppress(TimeoutError, ConnectionError):
                place.snmp.hear(sending.recv(2000), target.address, target.port)
            return not place.timer.getDelayedCalls()

        _wait(acknowledged)
        assert f"{STATE_OF_TLS} = INTEGER: warning(1)" in listener.out.read_text()


def test_snmptrapd_is_told_by_a_community(watched: Watched, listener: Listener, tmp_path: Path) -> None:
    place = Place(tmp_path, traps=(UdpPlace("127.0.0.1", watched.traps),))
    place.snmp.changed(Check("tls", State.OK, "well"), Check("tls", State.WARNING, "soon"))
    [(message, target)] = place.told
    with socket.socket(type=socket.SOCK_DGRAM) as sending:

        def is_told() -> bool:
            """Told again and again: snmptrapd writes its pid before it listens."""
            sending.sendto(message, (target.address, target.port))
            return f"{STATE_OF_TLS} = INTEGER: warning(1)" in listener.out.read_text()

        _wait(is_told)


def _wait(good: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not good():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_the_mib_takes_the_number_of_an_organisation_as_the_documentation_says(program: Find, tmp_path: Path) -> None:
    change = re.search(r"sed '(.*)' SECUREGW-MIB", (TREE / "docs" / "monitoring.rst").read_text())
    assert change is not None
    own = subprocess.run(["sed", change[1], MIB / "SECUREGW-MIB.txt"], capture_output=True, check=True).stdout
    (tmp_path / "SECUREGW-MIB.txt").write_bytes(own)
    surroundings = {**SURROUNDINGS, "MIBDIRS": f"{IMPORTED}:{tmp_path}"}
    words = [program("snmptranslate"), "-On", "SECUREGW-MIB::sgwState"]
    ran = subprocess.run(words, capture_output=True, text=True, timeout=30, check=True, env=surroundings)
    assert ran.stdout.strip() == ".".join(map(str, ("", *Names(99999).overall, 2)))


def test_the_mib_is_valid(program: Find) -> None:
    words = [program("smilint"), "-s", "-l", "4"]
    for module in ("SNMPv2-SMI", "SNMPv2-TC", "SNMPv2-CONF", "SNMP-FRAMEWORK-MIB", "HCNUM-TC"):
        words += ["-p", str(IMPORTED / module)]
    ran = subprocess.run([*words, MIB / "SECUREGW-MIB.txt"], capture_output=True, text=True, timeout=60, check=False)
    assert [line for line in (ran.stdout + ran.stderr).splitlines() if "SECUREGW-MIB" in line] == []


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("securegw", ROOT),
        ("sgwState", (*OVERALL, 2)),
        ("sgwCheckAge", (*OVERALL, 4)),
        ("sgwCheckEntry", CHECKS),
        ("sgwCheckState", (*CHECKS, STATE)),
        ("sgwCheckCritical", (*CHECKS, 8)),
        ("sgwCheckState.'queue'", (*CHECKS, STATE, *b"queue")),
        ("sgwRefused", (*MAILS, 5)),
        ("sgwCheckChanged", CHECK_CHANGED),
    ],
)
def test_the_names_of_the_mib_are_those_of_the_agent(program: Find, name: str, found: Oid) -> None:
    words = [program("snmptranslate"), "-On", f"SECUREGW-MIB::{name}"]
    ran = subprocess.run(words, capture_output=True, text=True, timeout=30, check=True, env=SURROUNDINGS)
    assert ran.stdout.strip() == ".".join(map(str, ("", *found)))
    assert ran.stderr == ""
