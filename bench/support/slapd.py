"""slapd with mdb from a folder of its own: filled by slapadd, started in the foreground, ended by its id."""

from __future__ import annotations

import base64
import contextlib
import os
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from bench.support.runs import Server
from tests.support.ports import free_port, wait_for_port
from tests.support.unpack import source

PROGRAM, ADD = "/usr/sbin/slapd", "/usr/sbin/slapadd"
CONFIGURATION = """\
include {root}/etc/ldap/schema/core.schema
include {root}/etc/ldap/schema/cosine.schema
include {root}/etc/ldap/schema/inetorgperson.schema
modulepath {root}/usr/lib/ldap
moduleload back_mdb
pidfile {folder}/slapd.pid
loglevel 0
database mdb
suffix "o=bench"
directory {folder}/data
maxsize 4294967296
index mail eq
index objectClass eq
"""
PERSON = """\
dn: mail={address},o=bench
objectClass: inetOrgPerson
mail: {address}
cn: Somebody of the Department of Radiology and Nuclear Medicine
sn: Medicine
userCertificate;binary:: {certificate}

"""


@contextlib.contextmanager
def slapd(people: Iterable[tuple[str, bytes]]) -> Iterator[Server]:
    """A slapd with these addresses and certificates (DER)."""
    root = source(PROGRAM)
    assert root is not None, "slapd is neither installed nor unpacked: see tests/support/unpack.py"
    with tempfile.TemporaryDirectory(prefix="sg-slapd-") as place:
        folder = Path(place)
        (folder / "data").mkdir()
        (folder / "slapd.conf").write_text(CONFIGURATION.format(root=str(root).rstrip("/"), folder=folder))
        _fill(root, folder, people)
        port = free_port()
        words = ["-f", str(folder / "slapd.conf"), "-h", f"ldap://127.0.0.1:{port}", "-d", "0"]
        command = [_program(root, PROGRAM), *words]
        process = subprocess.Popen(command, env=_environment(root))
        try:
            wait_for_port(port, alive=lambda: process.poll() is None)
            yield Server("slapd (mdb)", port, process.pid)
        finally:
            process.terminate()
            process.wait(30)


def _fill(root: Path, folder: Path, people: Iterable[tuple[str, bytes]]) -> None:
    with (folder / "people.ldif").open("w") as ldif:
        ldif.write("dn: o=bench\nobjectClass: organization\no: bench\n\n")
        for address, der in people:
            text = base64.b64encode(der).decode()
            ldif.write(PERSON.format(address=address, certificate=text))
    command = [_program(root, ADD), "-q", "-f", str(folder / "slapd.conf"), "-l", str(folder / "people.ldif")]
    subprocess.run(command, env=_environment(root), check=True, timeout=600)


def _program(root: Path, name: str) -> str:
    return str(root / name.lstrip("/"))


def _environment(root: Path) -> dict[str, str]:
    """What was only unpacked finds its own library."""
    libraries = [str(found) for found in (root / "usr" / "lib").glob("*-linux-gnu")] if root != Path("/") else []
    return {**os.environ, "LD_LIBRARY_PATH": ":".join(libraries)} if libraries else dict(os.environ)
