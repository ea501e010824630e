"""The names that this machine knows without asking anybody: /etc/hosts, and localhost.

Not a resolver. The file is read again when it has changed (hosts(5)).
"""

from __future__ import annotations

import os
from pathlib import Path

from securegw.clients.hop import is_address

LOCALHOST = ("127.0.0.1", "::1")


class HostsFile:
    """``path`` may be missing; then only localhost is known."""

    def __init__(self, path: Path = Path("/etc/hosts")) -> None:
        self._path = path
        self._stamp: tuple[int, int] | None = None
        self._names: dict[str, tuple[str, ...]] = {}

    def addresses(self, host: str) -> tuple[str, ...]:
        """The addresses of a host, empty if it is not in the file."""
        self._read_if_changed()
        name = host.lower().removesuffix(".")
        local = name == "localhost" or name.endswith(".localhost")
        return self._names.get(name, LOCALHOST if local else ())

    def _read_if_changed(self) -> None:
        try:
            found = os.stat(self._path)
            stamp = found.st_mtime_ns, found.st_size
            if stamp != self._stamp:
                self._names = _read(self._path.read_text("utf-8", "replace"))
                self._stamp = stamp
        except OSError:
            self._names, self._stamp = {}, None


def _read(text: str) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for line in text.splitlines():
        address, *names = line.partition("#")[0].split() or [""]
        if is_address(address):
            for name in names:
                found[name.lower()] = (*found.get(name.lower(), ()), address)
    return found
