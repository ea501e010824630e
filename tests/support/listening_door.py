"""The SMTP door on real ports with a pretended intake, as a process of its own: for peers that need a socket.

``python -m tests.support.listening_door FOLDER`` prints its ports as one line of JSON, then one line for each mail. Who
comes by the third port must say so by a PROXY header.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import attrs

from tests.support.certificates import Pair, TestAuthority

NAMES = ("clear", "tls", "proxied", "proxied_tls")


@attrs.define
class ListeningDoor:
    """The process; ``ports`` by name, ``authority`` issued its certificate, ``client`` is one for a client."""

    process: subprocess.Popen[str]
    ports: dict[str, int]
    authority: TestAuthority
    client: Pair

    def next_mail(self) -> dict[str, Any]:
        """The next mail that was taken; waits for it."""
        assert self.process.stdout is not None
        found: dict[str, Any] = json.loads(self.process.stdout.readline())
        return found


@contextlib.contextmanager
def listening_door(folder: Path) -> Iterator[ListeningDoor]:
    authority = TestAuthority(folder)
    authority.issue("gw.test")
    client = authority.issue("relay.test", file="client")
    command = [sys.executable, "-m", "tests.support.listening_door", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield ListeningDoor(process, json.loads(process.stdout.readline()), authority, client)
        finally:
            process.terminate()


def main(folder: Path) -> None:
    import txaio

    txaio.use_twisted()
    from twisted.internet import reactor

    from securegw.servers.smtp import SmtpSettings, smtp_factory
    from securegw.tls import ServerTLS
    from tests.support.smtp_door import PretendedIntake

    class Telling(PretendedIntake):
        def is_inside(self, address: str) -> bool:
            return False

        async def accept(self, envelope: Any, raw: bytes) -> str:
            told = {**attrs.asdict(envelope.source), "sender": str(envelope.sender), "raw": raw.decode("latin-1")}
            told.update(recipients=[str(one) for one in envelope.recipients], utf8=envelope.utf8, ret=envelope.ret)
            print(json.dumps(told), flush=True)
            return str(envelope.trace)

    tls = ServerTLS(folder / "server.pem", folder / "server.key")
    settings = SmtpSettings(client_authorities=folder / "roots.pem")
    proxied = attrs.evolve(settings, proxies=(ip_network("127.0.0.0/8"),))
    ports = {}
    for name, own, implicit in zip(NAMES, (settings, settings, proxied, proxied), (False, True) * 2, strict=True):
        factory = smtp_factory(Telling(), own, tls, "gw.test", reactor, implicit_tls=implicit)  # type: ignore[arg-type]
        ports[name] = reactor.listenTCP(0, factory, interface="127.0.0.1").getHost().port  # type: ignore[attr-defined]
    print(json.dumps(ports), flush=True)
    reactor.run()  # type: ignore[attr-defined]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
