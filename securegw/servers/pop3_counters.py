"""What the POP3 door counts. Labels come from small fixed sets, never from what a peer said."""

from __future__ import annotations

from securegw.counters import declare

CONNECTIONS = declare("securegw_pop3_connections", "POP3 connections that were let in", ["door"])
RETRIEVED = declare("securegw_pop3_retrieved", "Mails that were sent to their fetchers, whole or from the top")
REFUSALS = declare("securegw_pop3_refusals", "Commands, sign-ins and connections refused, by reason", ["reason"])


def count_refusal(reason: str) -> None:
    REFUSALS.labels(reason.lower().replace(" ", "-")).inc()
