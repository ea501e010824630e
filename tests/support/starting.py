"""Starts a gateway by other words than twistd's own: below a tracer, or with a driver that kills it at a point."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from unittest import mock

from tests.support import running
from tests.support.running import Gateway

PLAIN = running.TWISTD


def start_by(gateway: Gateway, *words: str) -> None:
    """Start the gateway by these words; twistd's arguments follow them."""
    with mock.patch.object(running, "TWISTD", words):
        gateway.start()


@contextlib.contextmanager
def started_by(gateway: Gateway, *words: str) -> Iterator[Gateway]:
    """The gateway, started by these words, and ended with the ``with``."""
    try:
        start_by(gateway, *words)
        yield gateway
    finally:
        gateway.kill()


def end_of(gateway: Gateway, *words: str) -> int:
    """Start the gateway by these words: the exit code of one that ends before its doors are open."""
    try:
        start_by(gateway, *words)
    except AssertionError:
        assert gateway.process is not None
        return gateway.process.popen.wait(running.SECONDS)
    finally:
        gateway.kill()
    raise AssertionError("it has opened its doors")
