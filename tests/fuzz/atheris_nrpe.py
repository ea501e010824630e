"""Any bytes to the dialogue of NRPE, guided by coverage.

Run by hand: ``python -m tests.fuzz.atheris_nrpe [seconds]``. Without atheris (it is optional) queries with changed
bytes take its place for a few seconds, and it says so.
"""

from __future__ import annotations

import random
import sys
import time
import zlib

from securegw.servers.nrpe_dialogue import LARGEST, QUERY, NotNrpe, NrpeDialogue, write

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


def main(seconds: float) -> None:
    try:
        import atheris
    except ImportError:
        print("atheris is not installed: changed queries instead")
        _try_changed(seconds)
        return
    atheris.instrument_all()
    atheris.Setup([sys.argv[0], f"-max_total_time={int(seconds)}"], try_one)
    atheris.Fuzz()


def _try_changed(seconds: float) -> None:
    end, number = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        packet = bytearray(write(random.choice((2, 3, 4)), QUERY, 0, random.choice(NAMES)))
        for _ in range(random.randrange(4)):
            packet[random.randrange(min(len(packet), 24))] = random.randrange(256)
        try_one(bytes([random.randrange(256)]) + bytes(packet[: random.randrange(len(packet) + 1)]))
        number += 1
    print(f"{number} queries")


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 5)
