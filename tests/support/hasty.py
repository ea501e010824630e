"""Runs twistd with a gateway whose sessions are short: ``python -m tests.support.hasty SECONDS`` and twistd's words.

What a killed process held is free for the others when its session has ended: a fifteen seconds' wait that a test of
four seconds has no time for. A gateway that this makes seem dead while it is only slow has lost its claims, as ever.
"""

from __future__ import annotations

import sys

import txaio
from twisted.scripts import twistd


def main() -> None:
    _, seconds, *words = sys.argv
    txaio.use_twisted()  # as the plugin does, before it imports a room that tells something
    from securegw.flow import claims

    claims.LEASE = float(seconds)
    claims.RENEW = claims.LEASE / 5
    sys.argv[:] = ["twistd", *words]
    twistd.run()


if __name__ == "__main__":
    main()
