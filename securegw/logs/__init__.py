"""Logs: one line for each event, with nothing in it that a stranger could use against who reads it.

``lines`` makes the line, ``local`` writes it beside the gateway. Not the forwarding to other machines, see
``clients/syslog``, and not the history of mails, which is in the store.
"""

from __future__ import annotations

from securegw.logs.local import LogSettings, local_observer

__all__ = ["LogSettings", "local_observer"]
