"""What the demo tells: one line a step while the story runs, then the addresses to try, and demo.json for scripts."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TextIO

import attrs

from securegw.commands.demo.mailbox import Archive
from securegw.commands.demo.people import Papers, Person


@attrs.frozen
class Reporter:
    """Writes each line at once: somebody is watching."""

    out: TextIO = attrs.field(factory=lambda: sys.stdout)

    def say(self, text: str = "") -> None:
        print(text, file=self.out, flush=True)

    def done(self, sentence: str, details: Iterable[str]) -> None:
        """A step that went as the story says."""
        self.say(f"  ok    {sentence}")
        for detail in details:
            self.say(f"          {detail}")

    def failed(self, sentence: str, reason: str) -> None:
        self.say(f"  FAIL  {sentence}")
        for line in reason.splitlines():
            self.say(f"          {line}")

    def skipped(self, sentence: str) -> None:
        self.say(f"  -     {sentence}: not tried")


def write_record(
    folder: Path,
    listeners: Mapping[str, tuple[str, int]],
    people: Iterable[Person],
    papers: Papers,
    config: Path,
    archive: Archive,
) -> Path:
    """demo.json: complete or not there at all, so that a script may wait for it."""
    record = {
        "listeners": {name: {"host": host, "port": port} for name, (host, port) in listeners.items()},
        "people": [person.as_record() for person in people],
        "mailboxes": [archive.as_record()],
        "ca_file": str(papers.ca_file),
        "config": str(config),
        "pid": os.getpid(),
    }
    place, fresh = folder / "demo.json", folder / "demo.json.new"
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as opened:
        json.dump(record, opened, indent=2)
        opened.write("\n")
    return fresh.replace(place)


def addresses(
    folder: Path,
    listeners: Mapping[str, tuple[str, int]],
    people: Mapping[str, Person],
    stranger: str,
    carrier: str,
    archive: Archive,
) -> list[str]:
    """What a person can try now."""
    smtp_host, smtp = listeners["smtp"]
    portal = listeners["portal"][1]
    ldap_inside, ldap_outside = listeners["ldap-inside"][1], listeners["ldap-outside"][1]
    ann, bob = people["ann"], people["bob"]
    width = max(len(person.address) for person in people.values())
    return [
        "The gateway is open. Try it:",
        "",
        f"  SMTP     {smtp_host}:{smtp} (STARTTLS); inside from 127.0.0.1, a stranger from {stranger}",
        f"  portal   https://localhost:{portal}",
        f"  LDAP     ldap://127.0.0.1:{ldap_inside} partners' certificates, ldap://127.0.0.1:{ldap_outside} our own",
        f"  health   http://127.0.0.1:{listeners['metrics'][1]}/health and /metrics",
        f"           NRPE on {listeners['nrpe'][1]}, SNMP on {listeners['snmp'][1]}/udp (community demo)",
        f"  letter   {folder / carrier} (open it in a browser)",
        f"           as {bob.address}, password: {bob.password}",
        f"  archive  POP3S on localhost:{archive.port}, as {archive.address}, password: {archive.password}",
        f"  trust    {folder / 'ca.pem'} (the portal's authority, for your browser)",
        "",
        "  Maildirs:",
        *(f"    {person.address:{width}}  {person.maildir}" for person in people.values()),
        "",
        "  A sealed letter from Ann to Bob:",
        f"    swaks --server {smtp_host}:{smtp} --tls --from {ann.address} --to {bob.address} \\",
        '      --header "Subject: [confidential] results" --body "The results are fine."',
        "  Then save secure-email.html out of Bob's newest mail and open it in a browser.",
        "  refuse@outside.test is always refused, delay@outside.test at the first time,",
        "  silent@outside.test keeps the gateway waiting.",
        "",
        f"  Everything is in {folder}; securegw queue list --config {folder / 'securegw.toml'} shows what waits.",
        f"  Ann's certificate: ldapsearch -x -H ldap://127.0.0.1:{ldap_outside} 'mail={ann.address}'",
        "  Ctrl-C ends the demo.",
    ]
