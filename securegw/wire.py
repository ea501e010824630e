"""Writes to a connection at once, if nothing waits before it, and reads from a new one at once.

Not a buffer: what the kernel does not take goes the usual way. Twisted writes in the next turn of its reactor, which
costs two calls to epoll and a turn for each reply; a mail has eight. Under TLS it encrypts one record after the other
and carries each to the transport by itself; here all that is to be said is encrypted, then sent in one call.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from OpenSSL import SSL
from twisted.internet.abstract import FileDescriptor
from twisted.internet.tcp import Connection
from twisted.protocols.tls import TLSMemoryBIOProtocol

RECORD = 16_384  # bytes that one record of TLS carries, RFC 8446 5.1
AROUND = 64  # more than a record adds
ASIDE = 4096  # room for what TLS itself has to say, such as tickets

_held: set[object] = set()


def send(transport: Any, data: bytes) -> None:
    """Write, now if that is possible."""
    tls = _session(transport)
    connection = tls.transport if transport is tls else transport
    if not (isinstance(connection, Connection) and _is_clear(connection)):
        transport.write(data)
    elif tls is None:
        _hand_over(connection, data)
    elif _is_settled(tls):
        _encrypt(transport, connection, tls, data)
    else:
        transport.write(data)


def _session(transport: Any) -> TLSMemoryBIOProtocol | None:
    """What encrypts for this transport, if anything does: it stands before the connection, or hides behind it."""
    if isinstance(transport, TLSMemoryBIOProtocol):
        return transport
    if isinstance(transport, Connection) and transport.TLS and transport.connected:
        found = transport.protocol
        return found if isinstance(found, TLSMemoryBIOProtocol) else None
    return None


def read_now(transport: Any) -> None:
    """Take what a new connection has brought already; Twisted looks at it in the next turn of its reactor.

    An end or an error that is met here is met again in that turn.
    """
    if isinstance(transport, Connection) and transport not in _held:
        transport.doRead()


@contextmanager
def held(transport: Any) -> Iterator[None]:
    """Meanwhile nothing is read at once: something that came before has still to be passed on."""
    _held.add(transport)
    try:
        yield
    finally:
        _held.discard(transport)


def _is_clear(transport: Connection) -> bool:
    """Open, without a producer that waits to be asked, and with nothing that waits to be sent."""
    return bool(
        transport.connected
        and not transport.disconnecting
        and (transport.producer is None or transport.streamingProducer)
        and not transport._tempDataBuffer
        and transport.offset == len(transport.dataBuffer)
    )


def _is_settled(tls: TLSMemoryBIOProtocol) -> bool:
    """The handshake is behind it, nobody closes it, and nothing waits in it."""
    return bool(
        tls._handshakeDone
        and not tls._lostTLSConnection
        and not tls.disconnecting
        and not tls._appSendBuffer
        and not getattr(getattr(tls, "_aggregator", None), "_buffer", ())
    )


def _encrypt(transport: Any, connection: Connection, tls: TLSMemoryBIOProtocol, data: bytes) -> None:
    session, done = tls._tlsConnection, 0
    try:
        with memoryview(data) as view:
            while done < len(data):  # one record at a time, as pyOpenSSL has it
                done += session.send(view[done:] if done else data)
    except SSL.Error:  # it has to hear from the other side first, or is broken: Twisted knows what to do
        pass
    size = done + AROUND * (1 + done // RECORD) + ASIDE
    try:
        while True:
            sealed = session.bio_read(size)
            _hand_over(connection, sealed)
            if len(sealed) < size:
                break
    except SSL.WantReadError:
        pass  # nothing is left
    if done < len(data):
        transport.write(data[done:])


def _hand_over(transport: Connection, data: bytes) -> None:
    """To the kernel; what it does not take waits in front of all that follows."""
    if transport._tempDataBuffer:
        return FileDescriptor.write(transport, data)
    sent: int | Exception = transport.writeSomeData(data)
    if isinstance(sent, Exception):  # the connection is lost: the reactor finds out and tells everybody
        return FileDescriptor.write(transport, data)
    if sent < len(data):
        return FileDescriptor.write(transport, data[sent:])
    return None
