"""What the world around a gateway must have: DNS records and open ports, as rows to be copied.

It asks no name server and changes no firewall. RFC 7208 (SPF), RFC 6376 (DKIM), RFC 7489 (DMARC), RFC 8461 (MTA-STS),
RFC 8460 (TLS reports), RFC 7672 (DANE).
"""

from __future__ import annotations

import hashlib
import time

import attrs
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from securegw.commands.arguments import split_hop


@attrs.frozen
class Record:
    """One DNS record in master file form, and why it is there."""

    name: str
    kind: str
    value: str
    why: str


@attrs.frozen
class Opening:
    """One row of the firewall table, seen from the gateway."""

    port: str
    direction: str
    why: str


def dns_records(host: str, domain: str, certificate_pem: bytes, now: float) -> tuple[Record, ...]:
    """The records for one domain whose mail goes through ``host``."""
    reports = f"mailto:postmaster@{domain}"
    policy_id = time.strftime("%Y%m%d%H%M%S", time.gmtime(now))
    return (
        Record(f"{host}.", "A", "<public address of this machine>", "the gateway; the same name in reverse (PTR)"),
        Record(f"{domain}.", "MX", f"10 {host}.", "mail for the domain comes here"),
        Record(f"{domain}.", "TXT", '"v=spf1 mx -all"', "SPF: only the MX sends for the domain"),
        Record(
            f"<selector>._domainkey.{domain}.", "TXT", '"v=DKIM1; k=rsa; p=<public key>"',
            "DKIM: place for the key of the last server that changes the mail",
        ),
        Record(f"_dmarc.{domain}.", "TXT", f'"v=DMARC1; p=quarantine; rua={reports}"', "DMARC: the fate of forgeries"),
        Record(f"_mta-sts.{domain}.", "TXT", f'"v=STSv1; id={policy_id}"', "MTA-STS: there is a policy, see below"),
        Record(f"_smtp._tls.{domain}.", "TXT", f'"v=TLSRPTv1; rua={reports}"', "reports about failed TLS"),
        Record(
            f"_25._tcp.{host}.", "TLSA", f"3 1 1 {public_key_hash(certificate_pem)}",
            "DANE: the key in tls.pem; only in a zone with DNSSEC",
        ),
    )


def mta_sts_policy(host: str) -> str:
    """The policy file (RFC 8461 3.2). Testing: a self-made certificate would make senders refuse to deliver."""
    return f"version: STSv1\nmode: testing\nmx: {host}\nmax_age: 604800\n"


def public_key_hash(certificate_pem: bytes) -> str:
    """SHA-256 of the public key: TLSA usage 3, selector 1, matching 1 (RFC 7672 3.1.1)."""
    key = x509.load_pem_x509_certificate(certificate_pem).public_key()
    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def firewall(inside_server: str) -> tuple[Opening, ...]:
    """The ports that a first gateway needs, and the one that waits for its first archive mailbox."""
    _host, inside = split_hop(inside_server)
    return (
        Opening("25/tcp", "in, from the Internet", "mail for your domains"),
        Opening("25/tcp", "in, from the inside mail server", "mail of your people to the world"),
        Opening("443/tcp", "in, from the Internet", "the portal, where recipients open sealed letters"),
        Opening("995/tcp", "in, from your archive", "mailboxes over POP3S, once [pop3] listen_tls is set"),
        Opening(
            "387, 388, 389/tcp, 635/tcp", "in, from your people", "certificates of partners, by LDAP and LDAPS (635)"
        ),
        Opening("1389/tcp, 1636/tcp", "in, from the Internet", "certificates of your people, by LDAP and LDAPS (1636)"),
        Opening("5666/tcp", "in, from the monitoring host", "NRPE, where it is set"),
        Opening("161/udp", "in, from the monitoring host", "SNMP, where it is set; 162/udp out to it for traps"),
        Opening("9464/tcp", "in, from Prometheus", "metrics and the health page, where set"),
        Opening("25/tcp", "out, to the Internet", "delivery to other mail servers"),
        Opening(f"{inside}/tcp", f"out, to {inside_server}", "delivery to the inside mail server"),
        Opening("53/udp, 53/tcp", "out, to the name servers", "MX and address look-ups"),
        Opening("6514/tcp or 514", "out, to the log host", "syslog, where it is set"),
        Opening("123/udp", "out, to a time server", "certificates and limits need the right time (the system's NTP)"),
    )
