"""Runs twistd with a gateway whose workers die of some mails: ``python -m tests.support.poison`` and twistd's words.

What opens S/MIME mails ends its process on the word ``POISON-DIES`` in a mail and never ends on ``POISON-HANGS``; a
tenth of a second passes between two tries. A worker imports this module too, as the main module of its parent.
"""

from __future__ import annotations

import os
import sys
import time
from typing import Any

import txaio
from twisted.scripts import twistd

txaio.use_twisted()  # as the plugin does, before it imports a room that tells something

from securegw.crypto import smime  # noqa: E402

_open = smime.open


def opening(raw: bytes, *others: Any, **named: Any) -> smime.Opened:
    if b"POISON-DIES" in raw:
        os._exit(1)
    if b"POISON-HANGS" in raw:
        time.sleep(600)
    return _open(raw, *others, **named)


smime.open = opening


def main() -> None:
    from securegw.flow import claims

    claims.PAUSE = 0.1
    sys.argv[0] = "twistd"
    twistd.run()


if __name__ == "__main__":
    main()
