"""Free ports on the loopback, and waiting for one to answer - asking, not sleeping and hoping."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable


def free_port() -> int:
    """A port nobody listens on now. It is not reserved: use it soon."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


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
