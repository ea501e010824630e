"""The people of the demo and their papers: addresses, Maildirs, passwords, certificates by an authority of the demo.

Not the gateway's own users: what the gateway must know of them is in its database (ground.py). Nothing here is good
for more than a demo: the keys lie open in the folder so that scripts and mail programs can use them.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from securegw.commands.opening import write_secret
from securegw.crypto import authority

INSIDE, OUTSIDE = "inside", "outside"
DAYS = 3 * 365.0
WORDS = [
    "amber",
    "basin",
    "cedar",
    "delta",
    "ember",
    "fjord",
    "grove",
    "haven",
    "island",
    "jetty",
    "kettle",
    "lantern",
    "meadow",
    "north",
    "orchard",
    "pebble",
    "quarry",
    "river",
    "summit",
    "timber",
    "umber",
    "valley",
    "willow",
    "yarrow",
]


@attrs.frozen
class Person:
    """Somebody who writes and reads; ``certificate`` and ``key`` are PEM files, None for who has none."""

    address: str
    name: str
    side: str
    maildir: Path
    password: str = ""
    certificate: Path | None = None
    key: Path | None = None

    def as_record(self) -> dict[str, Any]:
        """This person in demo.json."""
        return {
            "address": self.address,
            "name": self.name,
            "side": self.side,
            "password": self.password,
            "certificate": str(self.certificate) if self.certificate else None,
            "key": str(self.key) if self.key else None,
            "maildir": str(self.maildir),
        }


@attrs.frozen
class Papers:
    """Files of the demo's authorities: one for TLS, one for the hospital's people, one for the partner's."""

    ca_file: Path
    tls_certificate: Path
    tls_key: Path
    mail_ca: Path
    partner_ca: Path


def make_papers(folder: Path) -> Papers:
    """Make (once) the TLS authority with a certificate for this machine's loopback, and the partner's authority."""
    names = ("ca.pem", "tls.pem", "tls.key", "mail-ca.pem", "partner-ca.pem")
    papers = Papers(*(folder / name for name in names))
    if not papers.ca_file.exists():
        now = time.time()
        root_key, root = authority.make_authority("securegw demo", years=3, now=now, kind="p-256")
        key, leaf = authority.make_tls(
            root_key, root, names=["localhost", "gw.inside.test"], ips=["127.0.0.1"], days=DAYS, now=now
        )
        write_secret(papers.tls_key, authority.key_to_pem(key))
        write_secret(papers.tls_certificate, authority.to_pem(leaf) + authority.to_pem(root))
        write_secret(papers.ca_file, authority.to_pem(root))
    return papers


def make_people(folder: Path, papers: Papers) -> dict[str, Person]:
    """The four of the story, by first name; papers and passwords of an earlier run are kept."""
    carol_certificate, carol_key = folder / "people" / "carol.pem", folder / "people" / "carol.key"
    password_file = folder / "people" / "bob.password"
    if not carol_certificate.exists():
        carol_certificate.parent.mkdir(mode=0o700, exist_ok=True)
        _issue_for_carol(papers, carol_certificate, carol_key)
        write_secret(password_file, new_password().encode())
    mail = folder / "mail"
    return {
        "ann": Person("ann@inside.test", "Ann Keller", INSIDE, mail / "ann@inside.test"),
        "otto": Person("otto@inside.test", "Otto Frei", INSIDE, mail / "otto@inside.test"),
        "bob": Person(
            "bob@outside.test",
            "Bob Weber",
            OUTSIDE,
            mail / "bob@outside.test",
            password_file.read_text("utf-8"),
        ),
        "carol": Person(
            "carol@partner.test",
            "Carol Meier",
            OUTSIDE,
            mail / "carol@partner.test",
            certificate=carol_certificate,
            key=carol_key,
        ),
    }


def _issue_for_carol(papers: Papers, certificate: Path, key: Path) -> None:
    now = time.time()
    root_key, root = authority.make_authority("Partner people", years=3, now=now, kind="p-256")
    own_key, leaf = authority.issue(
        root_key, root, address="carol@partner.test", name="Carol Meier", days=DAYS, now=now
    )
    write_secret(key, authority.key_to_pem(own_key))
    write_secret(papers.partner_ca, authority.to_pem(root))
    write_secret(certificate, authority.to_pem(leaf))


def new_password() -> str:
    """Four words and a number: long enough for the portal, short enough to type."""
    return " ".join([*(secrets.choice(WORDS) for _ in range(4)), str(secrets.randbelow(9000) + 1000)])


def maildirs(people: Mapping[str, Person], side: str) -> dict[str, Path]:
    """The Maildirs of one side by address."""
    return {person.address: person.maildir for person in people.values() if person.side == side}
