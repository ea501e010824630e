"""Free ports on the loopback, and waiting for one to answer - asking, not sleeping and hoping."""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Callable

# Below those that Linux gives to outgoing connections and to who asks for any port.
PORTS = range(10_000, 32_000)
# Who holds a port at this address has it at 127.0.0.1 too: the tests of all processes agree on that.
RESERVED = "127.0.0.250"
_chance = random.SystemRandom()  # not the one that hypothesis sets to the same beginning everywhere
_held: list[socket.socket] = []


def free_port() -> int:
    """A port nobody listens on, and that no other test on this machine is given while this process lives."""
    for _ in range(1000):
        port, mark = _chance.choice(PORTS), socket.socket()
        try:
            mark.bind((RESERVED, port))
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", port))
        except OSError:
            mark.close()
        else:
            _held.append(mark)
            return port
    raise OSError("there is no free port on 127.0.0.1")


def wait_for_port(port: int, seconds: float = 20.0, *, alive: Callable[[], bool] = lambda: True) -> None:
    """Return as soon as something accepts on the port; AssertionError if nothing does, or ``alive`` says no."""
    end = time.monotonic() + seconds
    while True:
        assert alive(), f"the program behind port {port} ended"
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            assert time.monotonic() < end, f"nothing listens on port {port} after {seconds} s"
            time.sleep(0.02)
        else:
            return
