"""A first gateway in one command: configuration, keys, rules, database; and what the world around it must have.

It overwrites nothing, opens no port and changes nothing outside its folder. The TLS certificate is self-made: good for
the first mail and for DANE, to be replaced by one of a public authority before the portal meets people.
"""

from __future__ import annotations

import ipaddress
import json
import re
import shlex
import shutil
import sys
import tempfile
import time
from pathlib import Path
from textwrap import indent
from typing import TYPE_CHECKING

import attrs

from securegw.commands import surroundings
from securegw.commands.arguments import domain_name, hop, split_hop
from securegw.commands.describe import reference
from securegw.commands.opening import (
    Refusal,
    Store,
    actor,
    master_key,
    open_database,
    read_settings,
    told,
    write_secret,
)
from securegw.commands.tables import print_rows, row_of
from securegw.crypto import authority, seal
from securegw.keys.issue import authority_row
from securegw.policy.rules import default_rules_text
from securegw.store import domains, keystore, rulebook

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Mapping

INSIDE = "[127.0.0.1]:10025"
TLS_DAYS = 398  # no longer than what public authorities give


@attrs.frozen
class Plan:
    """What was asked for, with everything that was left out filled in."""

    host: str
    domain: str
    inside_server: str
    organisation: str
    folder: Path

    @property
    def config(self) -> Path:
        return self.folder / "securegw.toml"


def add_arguments(parser: ArgumentParser) -> None:
    """Name the words after ``securegw quickstart``."""
    parser.add_argument("host", metavar="HOST", type=domain_name, help="the gateway's name in DNS, as gw.example.org")
    parser.add_argument(
        "--dir", metavar="DIR", type=Path, default=Path("securegw"), help="the new folder (default ./securegw)"
    )
    parser.add_argument(
        "--domain", metavar="DOMAIN", type=domain_name, help="the first domain (default: HOST without its first label)"
    )
    parser.add_argument(
        "--inside-server", metavar="HOP", type=hop, default=INSIDE,
        help=f"where mail for the domain goes, as [192.0.2.7]:25 (default {INSIDE})",
    )
    parser.add_argument(
        "--organisation", metavar="NAME", help="your organisation as readers of letters know it (default: the domain)"
    )


def run(arguments: Namespace) -> int:
    """Make everything, then say what comes next."""
    domain = arguments.domain or parent(arguments.host)
    organisation = arguments.organisation or domain
    plan = Plan(arguments.host, domain, arguments.inside_server, organisation, arguments.dir.absolute())
    check_folder(plan.folder)
    make(plan)
    print_outcome(plan)
    return 0


def parent(host: str) -> str:
    """``example.org`` for ``gw.example.org``; a name of two labels is its own."""
    rest = host.partition(".")[2]
    return rest if "." in rest else host


def check_folder(folder: Path) -> None:
    """A folder that holds anything is left alone."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise Refusal(f"{folder}: is there already and not empty; quickstart overwrites nothing")


def make(plan: Plan) -> None:
    """Make everything beside its place and move it there when it is whole: there is no half a gateway."""
    plan.folder.parent.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(prefix=f".{plan.folder.name}-", dir=plan.folder.parent))  # mode 0700
    try:
        beside = attrs.evolve(plan, folder=building)
        write_files(beside)
        fill_database(beside)
        building.rename(plan.folder)
    except BaseException:
        shutil.rmtree(building)
        raise


def write_files(plan: Plan) -> None:
    """Configuration, keys and rules, each for the owner only."""
    key, certificate = make_tls(plan.host)
    write_secret(plan.folder / "master.key", f"{seal.MasterKey.new_text()}\n".encode())
    write_secret(plan.folder / "tls.key", key)
    write_secret(plan.folder / "tls.pem", certificate)
    write_secret(plan.folder / "rules.toml", default_rules_text().encode())
    write_secret(plan.config, configuration(plan).encode())


def make_tls(host: str) -> tuple[bytes, bytes]:
    """A TLS key and a certificate for the gateway's name (PEM), by an authority whose key is forgotten at once."""
    now = time.time()
    root_key, root = authority.make_authority(f"{host}, self-made", years=2, now=now, kind="p-256")
    key, leaf = authority.make_tls(root_key, root, names=[host], days=TLS_DAYS, now=now)
    return authority.key_to_pem(key), authority.to_pem(leaf) + authority.to_pem(root)


def configuration(plan: Plan) -> str:
    """The reference of all settings with this gateway's values filled in."""
    return filled(reference(), {
        "gateway.host": plan.host,
        "gateway.directory": ".",
        "gateway.master_key": "master.key",
        "database.url": "sqlite:///securegw.db",
        "smtp.certificate": "tls.pem",
        "smtp.key": "tls.key",
        "intake.relay_networks": relay_networks(plan.inside_server),
        "portal.url": f"https://{plan.host}",
        "portal.organisation": plan.organisation,
        "portal.certificate": "tls.pem",
        "portal.key": "tls.key",
        "quarantine.notify": [f"postmaster@{plan.domain}"],
        "pop3.certificate": "tls.pem",
        "pop3.key": "tls.key",
        "ldap.inside": ["tcp:387", "tcp:388", "tcp:389"],
        "ldap.inside_tls": ["tcp:635"],
        "ldap.outside": ["tcp:1389"],
        "ldap.outside_tls": ["tcp:1636"],
        "ldap.certificate": "tls.pem",
        "ldap.key": "tls.key",
        "ldap.networks": relay_networks(plan.inside_server),
    })


def relay_networks(inside_server: str) -> list[str]:
    """Who may send to everybody: this machine, and the inside server if it is named by number."""
    networks = ["127.0.0.0/8", "::1/128"]
    try:
        number = ipaddress.ip_address(split_hop(inside_server)[0])
    except ValueError:
        return networks
    return networks if number.is_loopback else [*networks, str(ipaddress.ip_network(number))]


def filled(text: str, values: Mapping[str, str | list[str]]) -> str:
    """The reference with values in the place of defaults; a value that finds no place is a mistake of ours."""
    lines, section, missing = [], "", dict(values)
    for line in text.splitlines():
        heading = re.fullmatch(r"\[(.+)\]", line)
        section = heading[1] if heading else section
        setting = re.match(r"#?\s*(\w+)\s*=", line)
        name = f"{section}.{setting[1]}" if setting else ""
        lines.append(f"{setting[1]} = {toml(missing.pop(name))}" if setting and name in missing else line)
    if missing:
        raise KeyError(f"no such settings: {', '.join(missing)}")
    return "\n".join(lines) + "\n"


def toml(value: str | list[str]) -> str:
    """A value as TOML; a basic string of TOML is one of JSON."""
    return json.dumps(value, ensure_ascii=False)


def fill_database(plan: Plan) -> None:
    """Tables, the domain with its inside server, the rules, and the internal authority."""
    settings = read_settings(plan.config)
    master, now = master_key(settings), time.time()
    write_secret(plan.folder / "securegw.db", b"")  # SQLite gives the mode of this file to its others
    with open_database(settings, new=True) as database:
        database.migrate()
        store = Store(settings, database)
        domain = domains.Domain(name=plan.domain, route=plan.inside_server, tls="may")
        store.change(told("domain-added", domain=plan.domain, route=plan.inside_server), domains.add_domain, domain)
        store.change(told("rules-loaded"), rulebook.save, default_rules_text(), actor(), now)
        row = authority_row(master, f"{plan.domain} mail authority", now)
        store.change(told("authority-made", fingerprint=row.fingerprint), keystore.add, row)


def print_outcome(plan: Plan) -> None:
    """What was made, and what the world around it must have now."""
    if plan.host != plan.domain and not plan.host.endswith(f".{plan.domain}"):
        note = f"{plan.host} is not below {plan.domain}; readers trust letters more whose portal is below the sender's"
        print(f"securegw: note: {note} domain", file=sys.stderr)
    print(f"A gateway for {plan.domain} is in {plan.folder}:\n")
    for file in sorted(plan.folder.iterdir()):
        print(f"  {file.name}")
    print_surroundings(plan)
    print("\nNext:\n")
    for number, line in enumerate(next_commands(plan), 1):
        print(f"  {number}. {line}")


def print_surroundings(plan: Plan) -> None:
    """DNS records, the MTA-STS policy and the firewall table."""
    records = surroundings.dns_records(plan.host, plan.domain, (plan.folder / "tls.pem").read_bytes(), time.time())
    print("\nDNS records:\n")
    for record in records:
        print(f"  ; {record.why}\n  {record.name} IN {record.kind} {record.value}")
    print(f"\nMTA-STS policy, to be served at https://mta-sts.{plan.domain}/.well-known/mta-sts.txt:\n")
    print(indent(surroundings.mta_sts_policy(plan.host), "  "), end="")
    print("\nFirewall:\n")
    openings = [row_of(opening, "port", "direction", "why") for opening in surroundings.firewall(plan.inside_server)]
    print_rows(openings, ("port", "direction", "why"), as_json=False)


def next_commands(plan: Plan) -> tuple[str, str, str]:
    """Check, start, look."""
    config = shlex.quote(str(plan.config))
    return (
        f"securegw check --config {config}",
        f"twistd -n securegw --config {config}",
        f"securegw queue list --config {config}",
    )
