"""Writes to a connection at once, if nothing waits before it, and reads from a new one at once.

Not a buffer: what the kernel does not take goes the usual way. Twisted writes in the next turn of its reactor, which
costs two calls to epoll and a turn for each reply; a mail has eight. Under TLS the usual way is the only one.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.tcp import Connection


def send(transport: Any, data: bytes) -> None:
    """Write, now if that is possible."""
    if not (isinstance(transport, Connection) and _is_clear(transport)):
        transport.write(data)
        return
    sent: int | Exception = transport.writeSomeData(data)
    if isinstance(sent, Exception):  # the connection is lost: the reactor finds out and tells everybody
        transport.write(data)
    elif sent < len(data):
        transport.write(data[sent:])


def read_now(transport: Any) -> None:
    """Take what a new connection has brought already; Twisted looks at it in the next turn of its reactor.

    An end or an error that is met here is met again in that turn.
    """
    if isinstance(transport, Connection):
        transport.doRead()


def _is_clear(transport: Connection) -> bool:
    """Open, without TLS, without a producer, and with nothing that waits to be sent."""
    return bool(
        transport.connected
        and not transport.disconnecting
        and not transport.TLS
        and transport.producer is None
        and not transport._tempDataBuffer
        and transport.offset == len(transport.dataBuffer)
    )
