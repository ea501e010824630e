"""A ZIP file that opens with a password: AES-256 as WinZip defined it (AE-2), which 7-Zip, WinZip and Keka read.

Not the letter in it (``flow.zipped``). The names of files in a ZIP file stand open, so only names that say nothing are
given here. https://www.winzip.com/en/support/aes-encryption/
"""

from __future__ import annotations

import io
import time
from collections.abc import Iterable

import pyzipper

ATTRIBUTES = 0o600 << 16


def pack(files: Iterable[tuple[str, bytes]], password: str, at: float) -> bytes:
    """The files under their names, which everybody can read, sealed with the password; ``at`` in seconds (Unix)."""
    if not password:
        raise ValueError("without a password nothing is sealed")
    made = io.BytesIO()
    with pyzipper.AESZipFile(made, "w", compression=pyzipper.ZIP_DEFLATED, encryption=pyzipper.WZ_AES) as archive:
        archive.setpassword(password.encode("ascii"))
        archive.setencryption(pyzipper.WZ_AES, nbits=256)
        for name, content in files:
            entry = archive.zipinfo_cls(name, time.gmtime(at)[:6])
            entry.compress_type = pyzipper.ZIP_DEFLATED
            entry.external_attr = ATTRIBUTES
            archive.writestr(entry, content)
    return made.getvalue()
