"""Our own style sheet and pictures, read once at start and cached for ever by browsers.

Not a file server: only names that were in the folder at start exist.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import attrs

from securegw.pages.request import PageRequest
from securegw.pages.sorry import Sorry

KINDS = {".css": "text/css; charset=utf-8", ".svg": "image/svg+xml", ".png": "image/png"}


@attrs.frozen
class StaticFile:
    kind: str
    content: bytes = attrs.field(repr=False)
    mark: str


class StaticFiles:
    """All files of a folder whose kind we know."""

    def __init__(self, folder: Path) -> None:
        self.files = {path.name: _read(path) for path in sorted(folder.iterdir()) if path.suffix in KINDS}

    def address(self, name: str) -> str:
        """The address of a file; it changes with its content."""
        return f"/static/{name}?v={self.files[name].mark}"

    def serve(self, request: PageRequest, name: str) -> bytes:
        file = self.files.get(name)
        if file is None:
            raise Sorry(404)
        request.setHeader("Content-Type", file.kind)
        current = request.argument("v") == file.mark
        request.setHeader("Cache-Control", "public, max-age=31536000, immutable" if current else "no-cache")
        request.setHeader("Content-Length", str(len(file.content)))
        return file.content


def _read(path: Path) -> StaticFile:
    content = path.read_bytes()
    return StaticFile(KINDS[path.suffix], content, hashlib.sha256(content).hexdigest()[:16])
