"""Checks a configuration and what it names, reports every mistake at once, and opens no port.

Not the start of the gateway, but the same reading: what passes here is what the gateway will find. It changes nothing;
a database that is not there yet is no mistake, since the gateway makes it.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from OpenSSL import SSL

from securegw.commands.opening import (
    Refusal,
    add_config,
    check_schema,
    database_place,
    master_key,
    open_database,
    read_settings,
    sqlite_file,
)
from securegw.commands.sentences import sentences
from securegw.flow.connector import BadConnector, read_connector
from securegw.flow.messenger import check_settings
from securegw.mail.errors import BadAddress
from securegw.servers.snmp_security import BadSecrets, Secrets, read_secrets
from securegw.tls import BadCertificate, ClientTLS

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Callable
    from pathlib import Path

    from securegw.gateway import Settings


def add_arguments(parser: ArgumentParser) -> None:
    """Name the words after ``securegw check``."""
    add_config(parser)


def run(arguments: Namespace) -> int:
    """Read the configuration, then look at each thing it names."""
    settings = read_settings(arguments.config)
    mistakes = [line for check in CHECKS for line in complaints(check, settings)]
    for line in mistakes:
        print(f"securegw: {arguments.config}: {line}", file=sys.stderr)
    if mistakes:
        return 1
    print(f"{arguments.config}: no mistakes")
    return 0


def complaints(check: Callable[[Settings], None], settings: Settings) -> list[str]:
    """What one check finds wrong, in lines."""
    try:
        check(settings)
    except Exception as error:
        lines = sentences(error)
        if not lines:
            raise
        return lines
    return []


def check_directory(settings: Settings) -> None:
    """The data directory is there, and a directory."""
    next(settings.gateway.directory.iterdir(), None)


def check_master_key(settings: Settings) -> None:
    """The master key is there, whole, and nobody else's to read."""
    master_key(settings)


def check_smtp_tls(settings: Settings) -> None:
    """STARTTLS has a certificate with its key, or neither."""
    check_both_or_neither("smtp", settings.smtp.certificate, settings.smtp.key)


def check_ldap_tls(settings: Settings) -> None:
    """StartTLS likewise; TLS from the first byte must have them."""
    own = settings.ldap
    check_both_or_neither("ldap", own.certificate, own.key)
    if own.certificate is None and (own.inside_tls or own.outside_tls or own.tls_only):
        raise Refusal("ldap: inside_tls, outside_tls and tls_only need a certificate and a key")


def check_both_or_neither(section: str, certificate: Path | None, key: Path | None) -> None:
    """Of a door that can do without TLS."""
    if (certificate is None) != (key is None):
        raise Refusal(f"{section}: certificate and key belong together; name both or neither")
    if certificate is not None and key is not None:
        check_pair(section, certificate, key)


def check_portal_tls(settings: Settings) -> None:
    """The portal has a certificate with its key."""
    check_pair("portal", settings.portal.certificate, settings.portal.key)


def check_pop3_tls(settings: Settings) -> None:
    """A POP3 door has a certificate with its key: without TLS nobody could say a password."""
    own = settings.pop3
    if own.certificate is not None and own.key is not None:
        check_pair("pop3", own.certificate, own.key)
    elif own.listen or own.listen_tls:
        raise Refusal("pop3: listen and listen_tls need a certificate and a key")


def check_monitoring_tls(settings: Settings) -> None:
    """The doors for monitoring have whole pairs where they need them."""
    for section, own in (("monitoring", settings.monitoring), ("nrpe", settings.nrpe)):
        if (own.certificate is None) != (own.key is None):
            raise Refusal(f"{section}: certificate and key belong together; name both or neither")
        if own.certificate is not None and own.key is not None:
            check_pair(section, own.certificate, own.key)
    if settings.nrpe.listen and settings.nrpe.protection == "certificate" and settings.nrpe.certificate is None:
        raise Refusal('nrpe: needs a certificate and a key, or another protection than "certificate"')


def check_syslog_tls(settings: Settings) -> None:
    """The roots for log receivers, and our own certificate, can be used."""
    own = settings.syslog
    if (own.certificate is None) != (own.key is None):
        raise Refusal("syslog: certificate and key belong together; name both or neither")
    if own.certificate is not None and own.key is not None:
        check_pair("syslog", own.certificate, own.key)
    try:
        ClientTLS(own.authorities)
    except BadCertificate as error:
        raise Refusal(f"syslog: {error}") from None


def check_snmp_secrets(settings: Settings) -> None:
    """The communities and users of SNMP can be read, and by nobody else."""
    own = settings.snmp
    if own.listen and own.secrets is None:
        raise Refusal("snmp: without secrets nobody can ask; name a file")
    try:
        found = read_secrets(own.secrets, b"securegw check") if own.secrets else Secrets()
    except BadSecrets as error:
        raise Refusal(f"snmp: {error}") from None
    if own.trap_user is not None and own.trap_user.encode() not in found.users:
        raise Refusal(f"snmp: trap_user {own.trap_user} is not in the file with the secrets")
    if (own.traps or own.informs) and own.trap_user is None and not found.communities:
        raise Refusal("snmp: traps and informs need a trap_user or a community")


def check_connector(settings: Settings) -> None:
    """The field of a cloud's connector can be read, and by nobody else."""
    try:
        read_connector(settings.intake.connector_networks, settings.intake.connector_field)
    except BadConnector as error:
        raise Refusal(f"intake: {error}") from None


def check_sms(settings: Settings) -> None:
    """The service for SMS has an address, and a number can stand in it."""
    try:
        check_settings(settings.sms)
    except ValueError as error:
        raise Refusal(str(error)) from None
    except BadAddress as error:
        raise Refusal(f"sms: {error.sentence}") from None


def check_pair(section: str, certificate: Path, key: Path) -> None:
    """Load both as the door will."""
    for file in (certificate, key):
        file.open("rb").close()
    try:
        context = SSL.Context(SSL.TLS_SERVER_METHOD)
        context.use_certificate_chain_file(str(certificate))
        context.use_privatekey_file(str(key))
        context.check_privatekey()
    except SSL.Error:
        raise Refusal(f"{section}: {certificate} and {key} are no certificate with its private key (PEM)") from None


def check_database(settings: Settings) -> None:
    """The database answers and is of this version, if it is there."""
    file = sqlite_file(database_place(settings))
    if file is not None and not file.exists():
        return
    with open_database(settings) as opened:
        opened.read(check_schema).result()


CHECKS = (
    check_directory,
    check_master_key,
    check_smtp_tls,
    check_ldap_tls,
    check_portal_tls,
    check_pop3_tls,
    check_monitoring_tls,
    check_syslog_tls,
    check_snmp_secrets,
    check_connector,
    check_sms,
    check_database,
)
