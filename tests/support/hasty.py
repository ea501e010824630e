"""Runs twistd with a gateway of little patience: ``python -m tests.support.hasty [NAME=SECONDS ...]``, twistd's words.

``lease``: what a killed process held is free for the others when its session has ended, a fifteen seconds' wait that
a short test has no time for; a gateway that this makes seem dead while it is only slow has lost its claims, as ever.
``deadline``: how long a database may keep a transaction waiting, twenty seconds otherwise; ``connect``: a connection.
``pause``: until a mail is tried again that could not be treated, and ``stale``: how long the keyserver tells what was
true before the database went away, a minute each otherwise.
"""

from __future__ import annotations

import sys

import txaio
from twisted.scripts import twistd


def main() -> None:
    words = sys.argv[1:]
    named = {}
    while "=" in words[0] and not words[0].startswith("-"):
        name, _, seconds = words.pop(0).partition("=")
        named[name] = float(seconds)
    txaio.use_twisted()  # as the plugin does, before it imports a room that tells something
    from securegw.flow import claims
    from securegw.keys import published
    from securegw.store import database, engine

    claims.LEASE = named.get("lease", claims.LEASE)
    claims.RENEW = claims.LEASE / 5
    claims.PAUSE = named.get("pause", claims.PAUSE)
    database.DEADLINE_SECONDS = named.get("deadline", database.DEADLINE_SECONDS)
    engine.CONNECT_SECONDS = int(named.get("connect", engine.CONNECT_SECONDS))
    published.STALE = named.get("stale", published.STALE)
    sys.argv[:] = ["twistd", *words]
    twistd.run()


if __name__ == "__main__":
    main()
