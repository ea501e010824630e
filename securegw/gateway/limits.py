"""The limits of this machine as numbers for a monitoring system, beside what is counted against them.

Not the limits: each is declared and obeyed in its own room. ``docs/limits.rst`` tells of all, also of those that are no
settings.
"""

from __future__ import annotations

from securegw.counters import declare_gauge
from securegw.gateway.settings import Settings

LIMITS = (
    "intake.size_limit",
    "intake.recipients_limit",
    "intake.hops_limit",
    "intake.passes_limit",
    "intake.free_space",
    "intake.queue_limit",
    "smtp.connections",
    "smtp.connections_per_address",
    "smtp.connections_per_minute",
    "smtp.errors",
    "smtp.junk",
    "smtp.memory",
    "smtp.command_time",
    "smtp.data_time",
    "smtp.session_time",
    "delivery.life",
    "delivery.first_retry",
    "quarantine.every",
    "workers.seconds",
    "workers.memory",
    "workers.large_memory",
    "portal.open_limit",
    "portal.reply_limit",
    "pop3.connections",
    "ldap.connections",
    "ldap.entries",
    "ldap.entries_known",
    "ldap.searches_per_minute",
)

LIMIT = declare_gauge("securegw_limit", "Limits as they are set: sizes in bytes, times in seconds.", ["name"])


def tell_limits(settings: Settings) -> None:
    for name in LIMITS:
        room, _, field = name.partition(".")
        LIMIT.labels(name).set(getattr(getattr(settings, room), field))
