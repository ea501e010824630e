"""NRPE over a real socket: who has waited at a busy door is answered when it is opened, not turns later."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path
from typing import Any

import pytest
from twisted.internet import reactor
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from twisted.python.failure import Failure

from securegw.servers.nrpe import NrpeFactory, NrpeSettings
from securegw.servers.nrpe_anonymous import AnonymousTLS
from securegw.tls import ServerTLS
from tests.support.certificates import TestAuthority
from tests.support.nrpe_door import TABLE, query, read_response

QUESTION = query(3, b"check_securegw_queue")
loop: Any = reactor


class Busy:
    """A door whose reactor does not turn: a test opens it and lets a connection read by itself."""

    def __init__(self, tls: IOpenSSLServerConnectionCreator | None) -> None:
        self.factory = NrpeFactory(NrpeSettings(), lambda: TABLE, loop, tls)
        self.port = loop.listenTCP(0, self.factory, interface="127.0.0.1")
        self.client = socket.create_connection(("127.0.0.1", self.port.getHost().port), timeout=20)

    @property
    def connection(self) -> Any:
        [found] = self.factory._open
        return found

    def close(self) -> None:
        """At once, so that nothing is left in the reactor."""
        for each in tuple(self.factory._open):
            getattr(each.transport, "transport", each.transport).connectionLost(Failure(ConnectionDone()))
        self.client.close()
        self.port.connectionLost(Failure(ConnectionDone()))


def test_a_question_that_is_there_already_is_answered_by_the_turn_that_opens() -> None:
    door = Busy(None)
    try:
        door.client.sendall(QUESTION)
        door.port.doRead()
        assert read_response(door.client.recv(65536)).startswith("3 0 QUEUE OK")
    finally:
        door.close()


@pytest.mark.parametrize("way", ["certificate", "anonymous"])
def test_under_tls_it_takes_one_turn_more(way: str, tmp_path: Path) -> None:
    pair = TestAuthority(tmp_path).issue("gw.test")
    door = Busy(ServerTLS(pair.certificate, pair.key) if way == "certificate" else AnonymousTLS())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if way == "anonymous":
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers("ADH:@SECLEVEL=0")
    coming, going = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(coming, going)

    def go_on() -> None:
        """What the client says, and then what the door says to it."""
        door.client.sendall(going.read())

    try:
        with pytest.raises(ssl.SSLWantReadError):
            tls.do_handshake()
        go_on()
        door.port.doRead()  # the first turn: it has heard the hello and answered
        coming.write(door.client.recv(65536))
        if way == "anonymous":
            with pytest.raises(ssl.SSLWantReadError):
                tls.do_handshake()
            go_on()
            door.connection.transport.transport.doRead()  # version 1.2 needs a way more
            coming.write(door.client.recv(65536))
        tls.do_handshake()
        tls.write(QUESTION)
        go_on()
        door.connection.transport.transport.doRead()
        coming.write(door.client.recv(65536))
        assert read_response(tls.read(65536)).startswith("3 0 QUEUE OK")
    finally:
        door.close()
