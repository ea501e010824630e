"""The ground we stand on: free space of disks, and until when our TLS certificates are good.

Reads files, so it is done in a thread: a disk may hang.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from cryptography import x509

from securegw.health.checks import Ground
from securegw.tls import BadCertificate, server_context


def look_at_ground(folders: Iterable[Path], certificates: Mapping[str, tuple[Path, Path]]) -> Ground:
    """What is free, and what each door would show a new connection."""
    free = {str(folder): shutil.disk_usage(folder).free for folder in folders}
    return Ground(free=free, certificates={door: _end_of(*files) for door, files in certificates.items()})


def _end_of(certificate: Path, key: Path) -> float | str:
    """When a certificate ends, or why no new connection could use it."""
    try:
        server_context(certificate, key)
        own = x509.load_pem_x509_certificates(certificate.read_bytes())[0]
    except (BadCertificate, OSError, ValueError) as error:
        return str(error)
    return own.not_valid_after_utc.timestamp()
