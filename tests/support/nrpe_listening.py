"""The door of NRPE on real ports, for check_nrpe, in the modes that not every gateway has.

``python -m tests.support.nrpe_listening`` prints the ports as JSON: in the anonymous mode, without TLS, and for others
than this machine.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from ipaddress import ip_network
from typing import Any


@contextlib.contextmanager
def listening_doors() -> Iterator[dict[str, int]]:
    """The ports of such a process."""
    command = [sys.executable, "-m", "tests.support.nrpe_listening"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())
        finally:
            process.terminate()


def main() -> None:
    import txaio

    txaio.use_twisted()
    from twisted.internet import reactor

    from securegw.servers.nrpe import NrpeFactory, NrpeSettings
    from securegw.servers.nrpe_anonymous import AnonymousTLS
    from tests.support.nrpe_door import TABLE

    loop: Any = reactor
    here = NrpeFactory(NrpeSettings(), lambda: TABLE, loop)
    elsewhere = NrpeFactory(NrpeSettings(networks=(ip_network("192.0.2.0/24"),)), lambda: TABLE, loop)
    factories = {
        "anonymous": NrpeFactory(NrpeSettings(), lambda: TABLE, loop, AnonymousTLS()),
        "none": here,
        "elsewhere": elsewhere,
    }
    ports = {name: loop.listenTCP(0, made, interface="127.0.0.1") for name, made in factories.items()}
    print(json.dumps({name: port.getHost().port for name, port in ports.items()}), flush=True)
    loop.run()


if __name__ == "__main__":
    main()
