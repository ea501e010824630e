"""All settings of one machine, gathered from the rooms that obey them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs

from securegw import config
from securegw.clients.relay import RelaySettings
from securegw.clients.syslog import SyslogSettings
from securegw.config import section, setting
from securegw.flow.delivery import DeliverySettings
from securegw.flow.intake import IntakeSettings
from securegw.flow.messenger import SmsSettings
from securegw.flow.quarantine import QuarantineSettings
from securegw.flow.retention import RetentionSettings
from securegw.health import HealthSettings
from securegw.keys.settings import KeysSettings
from securegw.logs import LogSettings
from securegw.pages import PortalSettings
from securegw.servers.ldap_settings import LdapSettings
from securegw.servers.metrics import MonitoringSettings
from securegw.servers.nrpe import NrpeSettings
from securegw.servers.pop3 import Pop3Settings
from securegw.servers.smtp import SmtpSettings
from securegw.servers.snmp_settings import SnmpSettings
from securegw.store.database import DatabaseSettings
from securegw.workers.work import WorkersSettings


@attrs.frozen
class GatewaySettings:
    """The gateway itself."""

    host: str = setting(config.host, help="The name under which this gateway is known, for example gw.example.org.")
    directory: Path = setting(config.path, default=".", help="Where it keeps what it keeps, beside the database.")
    master_key: Path | None = setting(
        config.path,
        default=None,
        help="File with the master key, mode 0600. Without it: the systemd credential securegw-master-key, "
        "then the environment variable SECUREGW_MASTER_KEY.",
    )
    language: str = setting(config.choice("en", "de"), default="en", help="Language of notices to inside users.")


@attrs.frozen
class Settings:
    """All settings of one machine; what the organisation decides stands in the database."""

    gateway: GatewaySettings = section(GatewaySettings)
    database: DatabaseSettings = section(DatabaseSettings)
    smtp: SmtpSettings = section(SmtpSettings)
    intake: IntakeSettings = section(IntakeSettings)
    delivery: DeliverySettings = section(DeliverySettings)
    relay: RelaySettings = section(RelaySettings)
    portal: PortalSettings = section(PortalSettings)
    sms: SmsSettings = section(SmsSettings)
    pop3: Pop3Settings = section(Pop3Settings)
    ldap: LdapSettings = section(LdapSettings)
    retention: RetentionSettings = section(RetentionSettings)
    quarantine: QuarantineSettings = section(QuarantineSettings)
    keys: KeysSettings = section(KeysSettings)
    workers: WorkersSettings = section(WorkersSettings)
    health: HealthSettings = section(HealthSettings)
    monitoring: MonitoringSettings = section(MonitoringSettings)
    nrpe: NrpeSettings = section(NrpeSettings)
    snmp: SnmpSettings = section(SnmpSettings)
    log: LogSettings = section(LogSettings)
    syslog: SyslogSettings = section(SyslogSettings)

    @property
    def certificates(self) -> dict[str, tuple[Path, Path]]:
        """The files of each door's TLS that is in use, the certificate first."""
        doors: dict[str, Any] = {
            "smtp": self.smtp,
            "portal": self.portal,
            "monitoring": self.monitoring,
            "nrpe": self.nrpe,
        }
        in_use = {name: door for name, door in doors.items() if door.listen}
        if self.pop3.listen or self.pop3.listen_tls:
            in_use["pop3"] = self.pop3
        if self.ldap.any_listener:
            in_use["ldap"] = self.ldap
        return {name: (door.certificate, door.key) for name, door in in_use.items() if door.certificate}
