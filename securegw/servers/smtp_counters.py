"""What the SMTP door counts. Labels come from small fixed sets, never from what a peer said."""

from __future__ import annotations

from securegw.counters import declare, declare_gauge

CONNECTIONS = declare("securegw_smtp_connections", "SMTP connections that were let in", ["door"])
SIGN_INS = declare("securegw_smtp_sign_ins", "People and servers that signed in by AUTH")
MESSAGES = declare("securegw_smtp_messages", "Messages taken, each answered 250 after it was durable")
BYTES = declare("securegw_smtp_bytes", "Bytes of the messages taken")
REFUSALS = declare("securegw_smtp_refusals", "Commands, messages and connections refused, by reason", ["reason"])

TEXTS = declare_gauge("securegw_smtp_text_bytes", "Memory given to large texts that are coming in")


def count_refusal(reason: str) -> None:
    REFUSALS.labels(reason.lower().replace(" ", "-")).inc()
