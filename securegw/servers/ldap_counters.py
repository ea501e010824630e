"""What the LDAP doors count. Labels come from small fixed sets, never from what a peer said."""

from __future__ import annotations

from securegw.counters import declare

CONNECTIONS = declare("securegw_ldap_connections", "LDAP connections that were let in", ["door"])
SEARCHES = declare("securegw_ldap_searches", "Searches answered, by what they found", ["door", "found"])
REFUSALS = declare("securegw_ldap_refusals", "Requests and connections refused, by reason", ["door", "reason"])
