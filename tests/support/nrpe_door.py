"""The door of NRPE with a written table, a pretended transport and a clock that is turned by hand.

In a talk a line of the client is ``VERSION NAME`` and becomes a packet with the right checksum; an answer reads
``VERSION STATE TEXT``. ``C!`` sends bytes as they are.
"""

from __future__ import annotations

import re
import struct
import zlib
from ipaddress import ip_network

from twisted.internet.address import IPv4Address
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransportWithDisconnection

from securegw.health import Check, Levels, State, Table
from securegw.servers.nrpe import NrpeConnection, NrpeFactory, NrpeSettings

TABLE = Table(
    0.0,
    (
        Check("queue", State.OK, "3 mails in the queue", 3, "", Levels(10, 20)),
        Check("space", State.CRITICAL, "5 MB free", 5e6, "B", Levels(2e9, 1e9)),
    ),
)
LINE = re.compile(rb"(\d) (.*)\r\n", re.DOTALL)


def query(version: int, name: bytes, kind: int = 1) -> bytes:
    """A packet as check_nrpe makes it."""
    if version == 2:
        packet = struct.pack("!hhIh", 2, kind, 0, 0) + name.ljust(1024, b"\0") + b"\0\0"
    else:
        buffer = name + b"\0"
        packet = struct.pack("!hhIhhi", version, kind, 0, 0, 0, len(buffer)) + buffer + bytes(3 if version == 3 else 0)
    return packet[:4] + struct.pack("!I", zlib.crc32(packet)) + packet[8:]


def read_response(packet: bytes) -> str:
    """``VERSION STATE TEXT``; the checksum must be right."""
    version, kind, checksum, state = struct.unpack_from("!hhIh", packet)
    assert zlib.crc32(packet[:4] + bytes(4) + packet[8:]) == checksum
    assert kind == 2
    if version == 2:
        assert len(packet) == 1036
        return f"2 {state} {packet[10:].split(bytes(1))[0].decode()}"
    length = struct.unpack_from("!i", packet, 12)[0]
    assert len(packet) == 16 + length + (3 if version == 3 else 0) <= 4096
    return f"{version} {state} {packet[16 : 16 + length].split(bytes(1))[0].decode()}"


class NrpeDoor:
    """One connection to the door, as a talk sees it."""

    def __init__(self, address: str = "192.0.2.9", table: Table = TABLE) -> None:
        self.clock = Clock()
        settings = NrpeSettings(networks=(ip_network("192.0.2.0/24"), ip_network("2001:db8::/32")))
        self.factory = NrpeFactory(settings, lambda: table, self.clock)
        self.connection, self.transport = self.connect(address)

    def connect(self, address: str) -> tuple[NrpeConnection, StringTransportWithDisconnection]:
        peer = IPv4Address("TCP", address, 40000)
        made = self.factory.buildProtocol(peer)
        transport = StringTransportWithDisconnection(peerAddress=peer)
        transport.protocol = made
        made.makeConnection(transport)
        return made, transport

    def send(self, data: bytes) -> None:
        if self.closed():
            return
        line = LINE.fullmatch(data)
        self.connection.dataReceived(query(int(line[1]), line[2]) if line else data)

    def received(self) -> bytes:
        packet = bytes(self.transport.value())
        self.transport.clear()
        return read_response(packet).encode() + b"\r\n" if packet else b""

    def closed(self) -> bool:
        return not self.transport.connected or self.transport.disconnecting

    def tls(self) -> bool:
        return False

    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)

    def taken(self) -> int:
        return 0
