"""The PROXY header: a load balancer says for whom it speaks, in the first bytes of the connection.

Versions 1 and 2 of HAProxy's "The PROXY protocol". Not a decision whom to believe: whoever reads a header here has
made sure that it comes from a named balancer. Additions (TLV) are read over.
"""

from __future__ import annotations

import ipaddress
import re
import struct

import attrs

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
V1_LIMIT = 107  # bytes of a header of version 1, CRLF included
V2_LIMIT = 4096  # bytes behind the fixed part of version 2; balancers that add certificates stay far below

_V1 = re.compile(rb"PROXY (?:UNKNOWN(?: .*)?|(TCP[46]) (\S+) (\S+) (\S+) (\S+))", re.DOTALL)
_PORT = re.compile(rb"0|[1-9][0-9]{0,4}")
_NO_ADDRESS, _TCP4, _TCP6, _UNIX = 0x00, 0x11, 0x21, 0x31
_LENGTHS = {_NO_ADDRESS: 0, _TCP4: 12, _TCP6: 36, _UNIX: 216}


class BadProxyHeader(Exception):
    """These bytes are no PROXY header."""


@attrs.frozen
class Client:
    """Who is behind the balancer; no address if it does not say. ``local``: the balancer itself, for its checks."""

    address: str = ""
    port: int = 0
    local: bool = False


class ProxyReader:
    """Eats the first bytes of a connection until the header is complete; raises BadProxyHeader if it is none."""

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, data: bytes) -> tuple[Client, bytes] | None:
        """The client and what followed the header, or None while it is not complete."""
        self._buffer += data
        if self._buffer.startswith(SIGNATURE[: len(self._buffer)]):
            return self._read_second()
        if self._buffer.startswith(b"PROXY "[: len(self._buffer)]):
            return self._read_first()
        raise BadProxyHeader

    def _read_first(self) -> tuple[Client, bytes] | None:
        end = self._buffer.find(b"\r\n", 0, V1_LIMIT)
        if end >= 0:
            return _first(self._buffer[:end]), self._buffer[end + 2 :]
        if len(self._buffer) >= V1_LIMIT:
            raise BadProxyHeader
        return None

    def _read_second(self) -> tuple[Client, bytes] | None:
        if len(self._buffer) < 16:
            return None
        command, family, length = struct.unpack("!BBH", self._buffer[12:16])
        if length > V2_LIMIT:
            raise BadProxyHeader
        if len(self._buffer) < 16 + length:
            return None
        return _second(command, family, self._buffer[16 : 16 + length]), self._buffer[16 + length :]


def _first(line: bytes) -> Client:
    match = _V1.fullmatch(line)
    if match is None:
        raise BadProxyHeader
    if match[1] is None:  # UNKNOWN
        return Client()
    kind = ipaddress.IPv4Address if match[1] == b"TCP4" else ipaddress.IPv6Address
    try:
        source, _ = kind(match[2].decode("ascii")), kind(match[3].decode("ascii"))
    except ValueError as error:
        raise BadProxyHeader from error
    port, _ = _port(match[4]), _port(match[5])
    return Client(_text(source), port)


def _port(digits: bytes) -> int:
    if not _PORT.fullmatch(digits) or int(digits) > 65535:
        raise BadProxyHeader
    return int(digits)


def _second(command: int, family: int, rest: bytes) -> Client:
    if command == 0x20:  # LOCAL: whatever else it says does not count
        return Client(local=True)
    if command != 0x21 or family not in _LENGTHS or len(rest) < _LENGTHS[family]:
        raise BadProxyHeader
    if family == _TCP4:
        return Client(_text(ipaddress.IPv4Address(rest[:4])), int.from_bytes(rest[8:10], "big"))
    if family == _TCP6:
        return Client(_text(ipaddress.IPv6Address(rest[:16])), int.from_bytes(rest[32:34], "big"))
    return Client()


def _text(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    """An IPv4 address within IPv6 is the IPv4 address; a scope is a matter of the balancer's own links."""
    mapped = getattr(address, "ipv4_mapped", None)
    if getattr(address, "scope_id", None):
        raise BadProxyHeader
    return str(mapped or address)
