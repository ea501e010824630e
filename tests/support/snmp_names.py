"""Where the objects of the gateway stand under the enterprise number for examples, as in the MIB file."""

from __future__ import annotations

from securegw.servers.snmp_settings import EXAMPLE
from securegw.servers.snmp_tree import Names

NAMES = Names(EXAMPLE)
ROOT, CHECK_CHANGED = NAMES.root, NAMES.check_changed
OVERALL, CHECKS, MAILS = NAMES.overall, NAMES.checks, NAMES.mails
