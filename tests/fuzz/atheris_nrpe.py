"""Any bytes to the dialogue of NRPE, guided by coverage.

Run by hand: ``python -m tests.fuzz.atheris_nrpe [seconds]``. Without atheris (it is optional) queries with changed
bytes take its place for a few seconds, and it says so.
"""

from __future__ import annotations

import random
import zlib

from securegw.servers.nrpe_dialogue import LARGEST, QUERY, NotNrpe, NrpeDialogue, write
from tests.fuzz.driver import drive

NAMES = ("check_securegw", "", "a!b", "x" * 999)


def try_one(data: bytes) -> None:
    """The first byte decides about the cuts and whether the checksum is made right; the rest is the packet."""
    if not data:
        return
    packet = data[1:]
    if data[0] & 1 and len(packet) >= 8:
        empty = packet[:4] + bytes(4) + packet[8:]
        packet = packet[:4] + zlib.crc32(empty).to_bytes(4) + packet[8:]
    size = 1 + data[0] // 2
    asked: list[str] = []

    def ask(name: str) -> tuple[int, str]:
        asked.append(name)
        return 0, name

    dialogue = NrpeDialogue(ask)
    for at in range(0, len(packet), size):
        try:
            response = dialogue.receive(packet[at : at + size])
        except NotNrpe:
            return
        if response is not None:
            assert len(response) <= LARGEST
            assert all(name.isascii() and "\n" not in name for name in asked)
            return


def made(source: random.Random) -> bytes:
    packet = bytearray(write(source.choice((2, 3, 4)), QUERY, 0, source.choice(NAMES)))
    for _ in range(source.randrange(4)):
        packet[source.randrange(min(len(packet), 24))] = source.randrange(256)
    return bytes([source.randrange(256)]) + bytes(packet[: source.randrange(len(packet) + 1)])


if __name__ == "__main__":
    drive(try_one, made)
