"""The ground the demo stands on: free ports, a configuration file, and a database that knows domains and keys.

Not the gateway: that is built from the configuration as any other is. What ``securegw quickstart`` does for a real
machine is done here for the loopback, with short waits so that a person sees the second try.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from securegw.commands.demo.people import INSIDE, Papers, Person
from securegw.commands.mailboxes import new_mailbox
from securegw.commands.opening import Store, master_key, open_database, read_settings, told, write_secret
from securegw.commands.passwords import new_password
from securegw.crypto import authority, seal
from securegw.crypto.certificate import read_certificates
from securegw.keys.issue import authority_row, held
from securegw.mail.address import parse_address
from securegw.store import domains, keystore, mailboxes, people

if TYPE_CHECKING:
    from securegw.gateway import Settings

HOST = "gw.inside.test"
DOMAIN = "inside.test"
FRIENDLY = {
    "smtp": 2525,
    "portal": 8443,
    "pop3s": 8995,
    "inside": 2526,
    "outside": 2527,
    "ldap_inside": 2389,
    "ldaps_inside": 2635,
    "ldap_outside": 1389,
    "ldaps_outside": 1636,
    "nrpe": 15666,
    "metrics": 9464,
    "snmp": 1161,
}
DATAGRAMS = ("snmp",)
STEPS = range(0, 100, 10)  # 2535 is as good when another demo has 2525
ARCHIVE = "archive@inside.test"

# Only 127.0.0.1 is inside: whoever comes from another address of the loopback is a stranger to the gateway.
CONFIGURATION = """\
# Written by securegw demo at each start. Strangers come from {stranger}, inside mail programs from 127.0.0.1.
[gateway]
host = "{host}"
directory = {folder}
master_key = {master_key}

[smtp]
listen = ["tcp:{smtp}:interface=127.0.0.1"]
certificate = {certificate}
key = {key}

[intake]
relay_networks = ["127.0.0.1/32"]
free_space = "10 MB"

[delivery]
first_retry = "2s"

[relay]
end = "3s"

[portal]
listen = ["tcp:{portal}:interface=127.0.0.1"]
url = "https://localhost:{portal}"
certificate = {certificate}
key = {key}
organisation = "Inside Hospital"

[pop3]
listen_tls = ["tcp:{pop3s}:interface=127.0.0.1"]
certificate = {certificate}
key = {key}

[ldap]
inside = ["tcp:{ldap_inside}:interface=127.0.0.1"]
inside_tls = ["tcp:{ldaps_inside}:interface=127.0.0.1"]
outside = ["tcp:{ldap_outside}:interface=127.0.0.1"]
outside_tls = ["tcp:{ldaps_outside}:interface=127.0.0.1"]
certificate = {certificate}
key = {key}
networks = ["127.0.0.1/32"]

[health]
every = "2s"
space = ["20 MB", "10 MB"]

[nrpe]
listen = ["tcp:{nrpe}:interface=127.0.0.1"]
certificate = {certificate}
key = {key}

[monitoring]
listen = ["tcp:{metrics}:interface=127.0.0.1"]

[snmp]
listen = ["udp:{snmp}:interface=127.0.0.1"]
secrets = {snmp_secrets}
"""
SNMP_SECRETS = b"community demo\nuser demo SHA-256 demo-password AES demo-password\n"
STRANGER = "127.0.0.2"
_marks: list[socket.socket] = []  # as long as this process lives


@attrs.frozen
class Ports:
    """Where the demo listens on 127.0.0.1."""

    smtp: int
    portal: int
    pop3s: int
    inside: int
    outside: int
    ldap_inside: int
    ldaps_inside: int
    ldap_outside: int
    ldaps_outside: int
    nrpe: int
    metrics: int
    snmp: int


def choose_ports() -> Ports:
    """The friendly ones where they are free, others near them where they are not."""
    return Ports(**{name: _choose(wanted, name in DATAGRAMS) for name, wanted in FRIENDLY.items()})


def _choose(wanted: int, datagrams: bool) -> int:
    """A port that is free, marked as ours so that a demo that starts at the same moment takes another."""
    for port in (wanted + step for step in STEPS):
        mark = socket.socket()
        try:
            mark.bind((STRANGER, port))
            _try(port, datagrams)
        except OSError:
            mark.close()
        else:
            _marks.append(mark)
            return port
    raise OSError(f"there is no free port near {wanted} on 127.0.0.1")


def _try(port: int, datagrams: bool) -> None:
    """Whether it can be listened on; raises OSError."""
    with socket.socket(type=socket.SOCK_DGRAM if datagrams else socket.SOCK_STREAM) as probe:
        if not datagrams:
            # As the real listener does: a port whose last connections still fade away is free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port))
        if not datagrams:
            probe.listen()


def write_configuration(folder: Path, papers: Papers, ports: Ports) -> Path:
    """Write the configuration anew (ports may have changed) and, once, the master key."""
    key_file = folder / "master.key"
    if not key_file.exists():
        write_secret(key_file, f"{seal.MasterKey.new_text()}\n".encode())
    secrets = folder / "snmp.secrets"
    if not secrets.exists():
        write_secret(secrets, SNMP_SECRETS)
    file = folder / "securegw.toml"
    file.unlink(missing_ok=True)
    text = CONFIGURATION.format(
        host=HOST,
        stranger=STRANGER,
        folder=_toml(folder),
        master_key=_toml(key_file),
        certificate=_toml(papers.tls_certificate),
        key=_toml(papers.tls_key),
        **attrs.asdict(ports),
        snmp_secrets=_toml(secrets),
    )
    write_secret(file, text.encode())
    return file


def _toml(value: Path) -> str:
    """A path as TOML; a basic string of TOML is one of JSON."""
    return json.dumps(str(value), ensure_ascii=False)


def furnish(config: Path, papers: Papers, cast: Mapping[str, Person], ports: Ports) -> Settings:
    """Make the tables, and tell the database of domains, routes, users and keys; what is there already stays."""
    settings = read_settings(config)
    with open_database(settings, new=True) as database:
        database.migrate()
        store = Store(settings, database)
        _route(store, ports)
        for person in cast.values():
            if person.side == INSIDE and store.ask(people.get_user, person.address) is None:
                user = people.User(
                    address=person.address,
                    name=person.name,
                    may_sign=True,
                    may_encrypt=True,
                    created=time.time(),
                )
                store.change(told("user-added", address=person.address), people.add_user, user)
        if store.ask(keystore.authority) is None:
            _add_keys(store, papers, cast["ann"])
    return settings


def archive_password(config: Path, folder: Path) -> str:
    """Make (once) the archive mailbox; its password lies open beside the others of the demo."""
    file = folder / "people" / "archive.password"
    with open_database(read_settings(config)) as database:
        if database.read(mailboxes.get, ARCHIVE).result() is None:
            password = new_password()
            box = new_mailbox(parse_address(ARCHIVE), password, name="Archive", description="for the record")
            file.unlink(missing_ok=True)
            write_secret(file, password.encode())
            database.write(mailboxes.add, box).result()
    return file.read_text("utf-8")


def _route(store: Store, ports: Ports) -> None:
    home = domains.Domain(name=DOMAIN, route=f"[127.0.0.1]:{ports.inside}", tls="may")
    is_new = store.ask(domains.find_domain, DOMAIN) is None
    step = domains.add_domain if is_new else domains.change_domain
    store.change(told("domain-set", domain=DOMAIN, route=home.route), step, home)
    world = domains.Route(pattern="*", hop=f"[127.0.0.1]:{ports.outside}", tls="may")
    store.change(told("route-set", pattern="*"), domains.put_route, world)


def _add_keys(store: Store, papers: Papers, ann: Person) -> None:
    """The internal authority with a certificate for Ann, and the partner's authority as trusted."""
    master, now = master_key(store.settings), time.time()
    own = authority_row(master, "Inside Hospital mail authority", now)
    store.change(told("authority-made", fingerprint=own.fingerprint), keystore.add, own)
    write_secret(papers.mail_ca, authority.to_pem(own.der))
    assert own.private is not None, "an authority that was just made has its key"
    own_key = master.open("private-key", own.fingerprint, own.private)
    key, der = authority.issue(own_key, own.der, address=ann.address, name=ann.name, days=365, now=now)
    row = held(master, key, der, source="issued", trust="trusted", now=now, address=ann.address)
    store.change(told("key-issued", address=ann.address), keystore.add, row)
    [root] = read_certificates(papers.partner_ca.read_bytes())
    trusted = held(master, None, root.der, source="root", trust="trusted", now=now)
    store.change(told("root-trusted", fingerprint=root.fingerprint), keystore.add, trusted)
