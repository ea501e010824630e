"""TLS on a connection of a door that begins in clear: what thousands of silent ones cost, and how fast replies leave.

Not who we are or whom we believe (tls). Twisted's own ``startTLS`` makes a factory and a buffer of small writes for
each connection; our doors write once for a reply, and it leaves at once. What only the handshake needed is given back
after it.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from OpenSSL import SSL
from OpenSSL._util import ffi, lib
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator, IProtocolFactory, ISSLTransport
from twisted.internet.tcp import Connection
from twisted.protocols.tls import BufferingTLSTransport, TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from zope.interface import implementer

from securegw.wire import send

PARTS = ("BIO_get_mem_data", "BIO_new", "BIO_s_mem", "SSL_set_bio")
SEVERAL = 2**15  # what is taken from OpenSSL at once: two full records


def start_tls(protocol: Any, tls: IOpenSSLServerConnectionCreator | None) -> None:
    """From here on the transport of ``protocol`` is TLS, and what came so far was not."""
    transport = protocol.transport
    assert tls is not None, "no certificate"
    if not isinstance(transport, Connection):
        transport.startTLS(tls)  # whatever else can do it
        return
    producer, streaming = transport.producer, transport.streamingProducer
    if producer is not None:
        transport.unregisterProducer()
    session: Any = TlsSession(_factory(tls), protocol, False)  # type: ignore[no-untyped-call]
    transport.protocol, protocol.transport = session, session
    session.makeConnection(transport)
    if producer is not None:
        session.registerProducer(producer, streaming)


class _Lean(TLSMemoryBIOProtocol):
    """Gives back what only the handshake needed."""

    def dataReceived(self, bytes: bytes) -> None:
        shaking = not self._handshakeDone
        super().dataReceived(bytes)  # type: ignore[no-untyped-call]
        if shaking and self._handshakeDone and self._tlsConnection is not None:
            shrink(self._tlsConnection)


@implementer(ISSLTransport)
class TlsSession(_Lean):
    """The transport of a protocol, once TLS has begun."""

    def _flushSendBIO(self) -> None:
        try:
            data = self._tlsConnection.bio_read(SEVERAL)
        except SSL.WantReadError:
            return
        send(self.transport, data)


class _PageSession(_Lean, BufferingTLSTransport):
    """A connection of a browser: pages are written in many small pieces."""


class PageSessions(TLSMemoryBIOFactory):
    """Puts a site of web pages behind TLS."""

    protocol = _PageSession

    def __init__(self, tls: IOpenSSLServerConnectionCreator, site: IProtocolFactory) -> None:
        super().__init__(tls, False, site)


class _Sessions(TLSMemoryBIOFactory):
    """One for all sessions with the same certificate; it does not remember them, their doors do."""

    protocol = TlsSession

    def registerProtocol(self, protocol: Any) -> None:
        pass

    def unregisterProtocol(self, protocol: Any) -> None:
        pass


@lru_cache(maxsize=32)
def _factory(tls: IOpenSSLServerConnectionCreator) -> _Sessions:
    alone: Any = None  # the protocols are there already
    return _Sessions(tls, False, alone)


def shrink(connection: SSL.Connection) -> None:
    """Two new buffers for the old ones, which keep for good the size that the handshake gave them.

    pyOpenSSL has no word for it; one that has no such parts any more costs memory, and nothing else.
    """
    if not all(hasattr(lib, name) for name in PARTS) or not hasattr(connection, "_into_ssl"):
        return
    found = ffi.new("char **")
    if any(lib.BIO_get_mem_data(buffer, found) for buffer in (connection._into_ssl, connection._from_ssl)):
        return  # somebody wrote behind the handshake
    into, out = lib.BIO_new(lib.BIO_s_mem()), lib.BIO_new(lib.BIO_s_mem())
    if ffi.NULL in (into, out):
        return
    lib.SSL_set_bio(connection._ssl, into, out)  # which frees the old ones
    connection._into_ssl, connection._from_ssl = into, out
