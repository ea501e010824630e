"""The keyserver as people really use it: OpenLDAP's tools, GnuPG through its dirmngr, ldap3."""

from __future__ import annotations

import base64
import os
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from securegw.crypto import authority
from tests.peers.conftest import demand
from tests.support import ldap_client as client
from tests.support.gnupg import PROGRAMS, GnuPG, gnupg
from tests.support.ports import free_port
from tests.support.running import Gateway, prepare, securegw

ANN, CAROL, BOB = "ann@inside.test", "carol@partner.test", "bob@partner.test"
LISTENERS = ("inside", "inside_tls", "outside", "outside_tls")


@attrs.frozen
class Keyserver:
    gateway: Gateway
    ports: dict[str, int]
    carol: bytes
    root: bytes

    def url(self, listener: str) -> str:
        return f"{'ldaps' if listener.endswith('tls') else 'ldap'}://127.0.0.1:{self.ports[listener]}"

    def admin(self, *words: str) -> None:
        securegw(*words, "--config", str(self.gateway.config))


@pytest.fixture(scope="module")
def keyserver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keyserver]:
    """A running gateway with all four listeners; everybody is a stranger to it."""
    folder = tmp_path_factory.mktemp("keyserver")
    ports = {name: free_port() for name in LISTENERS}
    listeners: dict[str, object] = {name: [f"tcp:{port}:interface=127.0.0.1"] for name, port in ports.items()}
    settings = {"ldap": {**listeners, "certificate": "tls.pem", "key": "tls.key", "searches_per_minute": 10_000}}
    gateway = prepare(folder, inside=free_port(), outside=free_port(), settings=settings)
    root_key, root = authority.make_authority("Partner CA", years=3, now=time.time())
    _, carol = authority.issue(root_key, root, address=CAROL, name="Carol Meier", days=300, now=time.time())
    made = Keyserver(gateway, ports, carol, root)
    made.admin("keys", "issue", ANN, "--name", "Ann Keller")
    for name, der, more in (("root", root, ["--trust"]), ("carol", carol, [])):
        (folder / name).write_bytes(authority.to_pem(der))
        made.admin("keys", "import", str(folder / name), *more)
    try:
        gateway.start()
        yield made
    finally:
        gateway.stop()


# --- OpenLDAP ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def ldapsearch(program: Callable[[str], str], keyserver: Keyserver) -> Callable[..., str]:
    found = program("ldapsearch")

    def search(listener: str, *words: str, code: int = 0) -> str:
        # The certificate is for gw.inside.test; who it is, is looked at in a test of its own.
        environment = {**os.environ, "LDAPTLS_REQCERT": "never", "LC_ALL": "C"}
        command = [found, "-x", "-LLL", "-o", "ldif-wrap=no", "-H", keyserver.url(listener), *words]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    return search


def certificate_in(ldif: str) -> bytes:
    [line] = [line for line in ldif.splitlines() if line.startswith("userCertificate;binary:: ")]
    return base64.b64decode(line.partition(":: ")[2])


@pytest.mark.parametrize("asked", ["userCertificate", "userCertificate;binary", "*"])
def test_ldapsearch_finds_a_partners_certificate(
    keyserver: Keyserver, ldapsearch: Callable[..., str], asked: str
) -> None:
    for listener, words in (("inside", ()), ("inside", ("-ZZ",)), ("inside_tls", ())):
        for base in ("", "o=securegw", "dc=any,dc=thing"):
            out = ldapsearch(listener, *words, "-b", base, f"(mail={CAROL})", asked)
            assert certificate_in(out) == keyserver.carol


def test_ldapsearch_outside_finds_ours_and_nobody_else(keyserver: Keyserver, ldapsearch: Callable[..., str]) -> None:
    out = ldapsearch("outside", "-b", "", f"(mail={ANN})")
    assert certificate_in(out) == keyserver.gateway.certificate_of(ANN)
    assert f"dn: mail={ANN},o=securegw\n" in out
    assert ldapsearch("outside_tls", "-b", "", f"(mail={CAROL})") == ""
    assert ldapsearch("inside", "-b", "", f"(mail={ANN})") == ""


def test_ldapsearch_reads_the_root_and_the_schema(ldapsearch: Callable[..., str]) -> None:
    out = ldapsearch("inside", "-b", "", "-s", "base", "+")
    assert "namingContexts: o=securegw\n" in out
    assert "supportedExtension: 1.3.6.1.4.1.1466.20037\n" in out
    assert "objectClass: top\n" in ldapsearch("inside", "-b", "", "-s", "base")
    assert "inetOrgPerson" in ldapsearch("inside", "-b", "cn=subschema", "-s", "base", "objectClasses")


def test_ldapsearch_with_pages_limits_and_types(ldapsearch: Callable[..., str]) -> None:
    for control in ("pr=1/noprompt", "!pr=1/noprompt"):
        assert f"mail: {CAROL}\n" in ldapsearch("inside", "-E", control, "-b", "", f"(mail={CAROL})", "mail")
    assert f"mail: {CAROL}\n" in ldapsearch("inside", "-z", "1", "-l", "5", "-b", "", f"(mail={CAROL})", "mail")
    assert "mail:\n" in ldapsearch("inside", "-A", "-b", "", f"(mail={CAROL})", "mail")


def test_ldapsearch_cannot_enumerate(ldapsearch: Callable[..., str]) -> None:
    for filter in ("(mail=*)", "(objectClass=*)", "(mail=c*)", "(!(mail=x))"):
        assert "Administrative limit exceeded (11)" in ldapsearch("inside", "-b", "", filter, code=11)


def test_ldapsearch_with_a_password(keyserver: Keyserver, ldapsearch: Callable[..., str], tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("vhj3-kkQ9-zzp1-x4\n")
    keyserver.admin("logins", "add", "annprog", "--password-file", str(password), "--sender", ANN)
    words = ("-D", "uid=annprog", "-w", "vhj3-kkQ9-zzp1-x4", "-b", "")
    assert f"mail: {CAROL}\n" in ldapsearch("inside", "-ZZ", *words, "(mail=car*)", "mail")
    assert "Confidentiality required (13)" in ldapsearch("inside", *words, "(mail=car*)", code=13)
    wrong = ("-D", "uid=annprog", "-w", "wrong", "-b", "")
    assert "Invalid credentials (49)" in ldapsearch("inside_tls", *wrong, "(mail=car*)", code=49)


def test_a_new_certificate_is_seen_by_who_has_just_been_told_of_none(
    keyserver: Keyserver, ldapsearch: Callable[..., str]
) -> None:
    """Another process writes it: the running gateway follows."""
    address = f"new{os.getpid()}@inside.test"
    assert ldapsearch("outside", "-b", "", f"(mail={address})") == ""
    keyserver.admin("keys", "issue", address)
    end = time.monotonic() + 20
    while not (out := ldapsearch("outside", "-b", "", f"(mail={address})")):
        assert time.monotonic() < end, "never seen"
    assert certificate_in(out) == keyserver.gateway.certificate_of(address)


def test_who_does_not_read_gets_everything_when_he_does(keyserver: Keyserver) -> None:
    """Eight megabytes of answers to somebody who first only asks: nothing is lost, and nothing comes twice."""
    count = 6000
    asked = b"".join(client.search(f"(mail={CAROL})", number=number) for number in range(1, count + 1))
    with socket.create_connection(("127.0.0.1", keyserver.ports["inside"]), timeout=30) as peer:
        peer.sendall(client.search(f"(mail={CAROL})", number=count + 1))  # from here on it lies prepared
        first = bytearray()
        while not first.endswith(b"\x04\x00\x04\x00"):
            first += peer.recv(1 << 20)
        sender = threading.Thread(target=peer.sendall, args=(asked,))
        sender.start()
        sender.join(1)
        data = bytearray()
        done = client.message(count, client.tlv(0x65, b"\x0a\x01\x00\x04\x00\x04\x00"))
        while not data.endswith(done):
            data += peer.recv(1 << 20) or pytest.fail("hung up")
        sender.join()
    said = client.read(bytes(data))
    assert [answer.number for answer in said] == [number for number in range(1, count + 1) for _ in range(2)]
    assert {answer.name for answer in said if answer.tag == 0x64} == {f"mail={CAROL},o=securegw"}


def test_ldaps_shows_the_gateways_certificate(keyserver: Keyserver) -> None:
    context = ssl.create_default_context(cafile=str(keyserver.gateway.folder / "tls.pem"))
    with (
        socket.create_connection(("127.0.0.1", keyserver.ports["inside_tls"]), timeout=20) as plain,
        context.wrap_socket(plain, server_hostname="gw.inside.test") as wrapped,
    ):
        assert wrapped.version() in ("TLSv1.2", "TLSv1.3")


def test_56_nothing_listens_on_udp(keyserver: Keyserver) -> None:
    own = {os.readlink(fd) for fd in Path(f"/proc/{keyserver.gateway.pid}/fd").iterdir() if fd.exists()}
    for table in ("udp", "udp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if f"socket:[{fields[9]}]" in own:
                assert int(fields[1].rpartition(":")[2], 16) not in keyserver.ports.values()


# --- GnuPG ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def home(program: Callable[[str], str]) -> Iterator[GnuPG]:
    for name in PROGRAMS:
        program(name)
    with gnupg() as one:
        yield one


@pytest.fixture(scope="module")
def bobs_key(keyserver: Keyserver, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The fingerprint of a key that GnuPG has made and the administrator imported."""
    demand(None if all(map(shutil.which, PROGRAMS)) else "GnuPG is not installed")
    with gnupg() as one:
        words = ("--passphrase", "", "--quick-gen-key", f"Bob Weber <{BOB}>", "rsa2048", "default", "2y")
        one.run("gpg", *words)
        file = tmp_path_factory.mktemp("bob") / "bob.asc"
        file.write_text(one.run("gpg", "--armor", "--export", BOB).stdout)
        listed = one.run("gpg", "--with-colons", "--list-keys", BOB).stdout.splitlines()
    keyserver.admin("pgpkeys", "import", str(file))
    return next(line.split(":")[9] for line in listed if line.startswith("fpr:"))


def test_gpg_receives_keys_by_fingerprint_and_number(keyserver: Keyserver, home: GnuPG, bobs_key: str) -> None:
    server = ("--keyserver", keyserver.url("inside"))
    for name in (bobs_key, bobs_key[-16:]):
        home.run("gpg", *server, "--recv-keys", name)
        assert bobs_key in home.run("gpg", "--with-colons", "--list-keys").stdout
        home.run("gpg", "--yes", "--delete-keys", bobs_key)


def test_gpg_locates_and_searches_by_address(keyserver: Keyserver, home: GnuPG, bobs_key: str) -> None:
    server = ("--keyserver", keyserver.url("inside"))
    assert "Bob Weber" in home.run("gpg", *server, "--with-colons", "--search-keys", BOB, check=False).stdout
    words = ("--auto-key-locate", "clear,keyserver", "--with-colons", "--locate-keys", BOB)
    assert bobs_key in home.run("gpg", *server, *words).stdout


def test_gpg_finds_no_partner_outside(keyserver: Keyserver, home: GnuPG, bobs_key: str) -> None:
    done = home.run("gpg", "--keyserver", keyserver.url("outside"), "--recv-keys", bobs_key, check=False)
    assert done.returncode != 0
    assert "No data" in done.stderr


@pytest.mark.parametrize("pattern", [CAROL, f"<{CAROL}>"])
def test_gpgsm_finds_a_certificate_through_dirmngr(keyserver: Keyserver, home: GnuPG, pattern: str) -> None:
    server = f"keyserver 127.0.0.1:{keyserver.ports['inside']}:::o=securegw:plain\ndisable-crl-checks\n"
    (home.home / "gpgsm.conf").write_text(server)
    out = home.run("gpgsm", "--list-external-keys", pattern).stdout
    assert "Subject: /CN=Carol Meier" in out
    assert f"aka: {CAROL}" in out


# --- ldap3 ------------------------------------------------------------------------------------------------------------


def test_ldap3_reads_everything_it_wants_to_know(keyserver: Keyserver) -> None:
    ldap3: Any = pytest.importorskip("ldap3")
    tls = ldap3.Tls(validate=ssl.CERT_NONE)
    server = ldap3.Server("127.0.0.1", keyserver.ports["inside"], get_info=ldap3.ALL, tls=tls)
    with ldap3.Connection(server, auto_bind=ldap3.AUTO_BIND_TLS_BEFORE_BIND) as connection:
        assert server.info.naming_contexts == ["o=securegw"]
        assert "inetOrgPerson" in server.schema.object_classes
        assert connection.search("o=securegw", f"(mail={CAROL})", attributes=["cn", "userCertificate;binary"])
        [entry] = connection.entries
        assert entry["userCertificate;binary"].raw_values == [keyserver.carol]
        assert entry.cn.value == "Carol Meier"
        assert connection.search("", f"(mail={CAROL})", attributes=["mail"], paged_size=5, paged_criticality=True)
        assert connection.compare(entry.entry_dn, "mail", CAROL)
        assert not connection.search("", "(gpgMailbox=nobody@x.test)", attributes=["pgpKey", "gpgFingerprint"])
        assert connection.result["description"] == "success"  # its own check of names against our schema let it pass
        assert not connection.delete(entry.entry_dn)
        assert connection.result["description"] == "unwillingToPerform"
        assert not connection.search("", "(mail=*)")
        assert connection.result["description"] == "adminLimitExceeded"
