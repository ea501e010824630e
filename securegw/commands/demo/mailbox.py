"""The demo's archive mailbox as its owner has it: address, password, and a program that fetches."""

from __future__ import annotations

import poplib
import ssl
from contextlib import suppress
from pathlib import Path

import attrs

SECONDS = 30.0


@attrs.frozen
class Archive:
    """The demo's mailbox: its address and password, and where it is fetched from."""

    address: str
    password: str
    port: int
    ca_file: Path

    def as_record(self) -> dict[str, str]:
        """This mailbox in demo.json."""
        return {"address": self.address, "password": self.password}

    def fetch(self, password: str = "") -> list[bytes]:
        """All mails in it, over POP3S; they stay there."""
        trust = ssl.create_default_context(cafile=str(self.ca_file))
        session = poplib.POP3_SSL("localhost", self.port, timeout=SECONDS, context=trust)
        try:
            session.user(self.address)
            session.pass_(password or self.password)
            count, _size = session.stat()
            return [b"\r\n".join(session.retr(number)[1]) + b"\r\n" for number in range(1, count + 1)]
        finally:
            with suppress(poplib.error_proto, OSError):
                session.quit()
