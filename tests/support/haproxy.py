"""HAProxy in front of a gateway: it listens once for each version of the PROXY protocol, and is ended by its own id.

It calls the gateway from an address of its own, so that direct clients are not mistaken for it.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import attrs

from tests.support.ports import free_port, wait_for_port

BALANCER = "127.0.0.5"
CONFIGURATION = """\
global
    stats socket {folder}/stats level user
defaults
    mode tcp
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    source {balancer}
"""
LISTENER = """\
listen {name}
    bind 127.0.0.1:{port}
    server gateway 127.0.0.1:{gateway} {send} check check-send-proxy inter 200
"""


def program() -> str | None:
    return shutil.which("haproxy", path="/usr/local/sbin:/usr/sbin:/usr/bin")


def missing() -> str | None:
    """Why no HAProxy can run here, or None."""
    return None if program() else "haproxy is not installed"


@attrs.frozen
class HAProxy:
    """A running HAProxy: its ports by the version of the protocol that it speaks to the gateway."""

    folder: Path
    ports: dict[int, int]

    def states(self) -> dict[str, str]:
        """What its checks found, by the name of the listener."""
        with socket.socket(socket.AF_UNIX) as asking:
            asking.connect(str(self.folder / "stats"))
            asking.sendall(b"show stat\n")
            rows = asking.makefile().read().splitlines()
        names = rows[0].lstrip("# ").split(",")
        table = [dict(zip(names, row.split(","), strict=False)) for row in rows[1:] if row]
        return {row["pxname"]: f"{row['status']} {row['check_status']}" for row in table if row["svname"] == "gateway"}

    def wait_for_states(self, wanted: str, seconds: float = 10.0) -> None:
        """Until its checks of the gateway found this everywhere."""
        end = time.monotonic() + seconds
        while set(found := self.states().values()) != {wanted}:
            assert time.monotonic() < end, f"its checks say {found}"
            time.sleep(0.05)


@contextlib.contextmanager
def haproxy(folder: Path, gateway: int, *others: int) -> Iterator[HAProxy]:
    """HAProxy before the gateway at this port of 127.0.0.1; before ``others`` by version 2, as ports 3 and on."""
    found = program()
    assert found is not None
    doors = [("first", gateway, "send-proxy"), ("second", gateway, "send-proxy-v2")]
    doors += [(f"door-{other}", other, "send-proxy-v2") for other in others]
    running = HAProxy(folder, {number: free_port() for number in range(1, len(doors) + 1)})
    listeners = [
        LISTENER.format(name=name, port=running.ports[number], gateway=port, send=send)
        for number, (name, port, send) in enumerate(doors, 1)
    ]
    file = folder / "haproxy.cfg"
    file.write_text(CONFIGURATION.format(folder=folder, balancer=BALANCER) + "".join(listeners))
    with subprocess.Popen(
        [found, "-db", "-f", str(file)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=(folder / "haproxy.log").open("wb"),
    ) as process:
        try:
            for port in running.ports.values():
                wait_for_port(port, alive=lambda: process.poll() is None)
            yield running
        finally:
            process.terminate()
