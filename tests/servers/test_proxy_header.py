"""The PROXY header, versions 1 and 2: read from any cut, and nothing else is one."""

from __future__ import annotations

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from securegw.servers.proxy_header import SIGNATURE, V2_LIMIT, BadProxyHeader, Client, ProxyReader


def v2(command: int, family: int, rest: bytes, *, length: int | None = None) -> bytes:
    return SIGNATURE + struct.pack("!BBH", command, family, len(rest) if length is None else length) + rest


FOUR = bytes([198, 51, 100, 7, 192, 0, 2, 1]) + struct.pack("!HH", 4711, 25)
SIX = bytes.fromhex("20010db8" + "00" * 11 + "01") + bytes(16) + struct.pack("!HH", 65535, 25)
MAPPED = bytes(10) + b"\xff\xff" + bytes([198, 51, 100, 7]) + bytes(16) + struct.pack("!HH", 1, 25)

GOOD = [
    (b"PROXY TCP4 198.51.100.7 192.0.2.1 4711 25\r\n", Client("198.51.100.7", 4711)),
    (b"PROXY TCP6 2001:DB8::1 2001:db8::2 65535 25\r\n", Client("2001:db8::1", 65535)),
    (b"PROXY TCP6 ::ffff:198.51.100.7 ::1 1 25\r\n", Client("198.51.100.7", 1)),
    (b"PROXY UNKNOWN\r\n", Client()),
    (b"PROXY UNKNOWN ffff:f::ffff ffff::ffff 65535 65535\r\n", Client()),
    (v2(0x21, 0x11, FOUR), Client("198.51.100.7", 4711)),
    (v2(0x21, 0x11, FOUR + b"\x04\0\x03abc"), Client("198.51.100.7", 4711)),
    (v2(0x21, 0x21, SIX), Client("2001:db8::1", 65535)),
    (v2(0x21, 0x21, MAPPED), Client("198.51.100.7", 1)),
    (v2(0x21, 0x00, b""), Client()),
    (v2(0x21, 0x31, bytes(216)), Client()),
    (v2(0x20, 0x00, b""), Client(local=True)),
    (v2(0x20, 0x11, FOUR), Client(local=True)),
]
BAD = [
    b"EHLO a.test\r\n",
    b"proxy TCP4 198.51.100.7 192.0.2.1 4711 25\r\n",
    b"PROXY TCP4 198.51.100.7 192.0.2.1 4711\r\n",
    b"PROXY TCP4 198.51.100.7 192.0.2.1 4711 25 \r\n",
    b"PROXY TCP4  198.51.100.7 192.0.2.1 4711 25\r\n",
    b"PROXY TCP4 198.51.100.07 192.0.2.1 4711 25\r\n",
    b"PROXY TCP4 198.51.100.7 192.0.2.1 65536 25\r\n",
    b"PROXY TCP4 198.51.100.7 192.0.2.1 007 25\r\n",
    b"PROXY TCP4 2001:db8::1 192.0.2.1 1 25\r\n",
    b"PROXY TCP6 198.51.100.7 ::1 1 25\r\n",
    b"PROXY TCP6 fe80::1%eth0 ::1 1 25\r\n",
    b"PROXY TCP4 \xff 192.0.2.1 1 25\r\n",
    b"PROXY TCP4 198.51.100.7 192.0.2.1 4711 25\n" + b"x" * 100,
    b"PROXY UDP4 198.51.100.7 192.0.2.1 4711 25\r\n",
    b"PROXY UNKNOWN" + b"x" * 200,
    b"PROXY UNKNOWNx\r\n",
    b"PROXY \r\n",
    v2(0x11, 0x11, FOUR),
    v2(0x22, 0x11, FOUR),
    v2(0x21, 0x12, FOUR),
    v2(0x21, 0x11, FOUR[:11]),
    v2(0x21, 0x21, FOUR),
    v2(0x21, 0x11, b"", length=V2_LIMIT + 1),
    b"\r\n\r\n\0\r\nQUIT\r\n\x21",
]


@pytest.mark.parametrize(("header", "client"), GOOD, ids=lambda value: repr(value)[:30])
def test_headers(header: bytes, client: Client) -> None:
    assert ProxyReader().feed(header + b"EHLO a.test\r\n") == (client, b"EHLO a.test\r\n")
    assert ProxyReader().feed(header) == (client, b"")


@pytest.mark.parametrize("header", BAD, ids=lambda value: repr(value)[:30])
def test_what_is_no_header(header: bytes) -> None:
    for size in (1, 5, 5000):
        reader = ProxyReader()
        with pytest.raises(BadProxyHeader):
            for at in range(0, len(header), size):
                assert reader.feed(header[at : at + size]) is None


@given(st.sampled_from(GOOD), st.integers(1, 60))
def test_any_cut(case: tuple[bytes, Client], size: int) -> None:
    header, client = case
    reader = ProxyReader()
    pieces = [header[at : at + size] for at in range(0, len(header), size)]
    assert [reader.feed(piece) for piece in pieces] == [None] * (len(pieces) - 1) + [(client, b"")]


@given(st.binary(max_size=80) | st.binary(max_size=40).map(lambda rest: SIGNATURE + rest) | st.just(b"PROXY TCP"))
def test_any_bytes_are_a_header_or_wait_or_are_refused(data: bytes) -> None:
    with contextlib.suppress(BadProxyHeader):
        ProxyReader().feed(data)
