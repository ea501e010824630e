"""Mail servers that Debian does not install beside Postfix: unpacked, and run below a small root of their own.

All of them are "mail-transport-agent", of which a system has one. And they look for their files and their users where
they were built to, so each gets a root with just that: its programs, their libraries, a passwd(5).

Prometheus, which needs no such root, is unpacked too, so that nothing starts it.

python tests/support/unpack.py FOLDER PACKAGE... fetches packages with apt-get and unpacks them into FOLDER; the tests
find them by the variable SECUREGW_PEERS. Plain Python: nothing else has to be there.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

VARIABLE = "SECUREGW_PEERS"
LIBRARY = re.compile(r"(/\S+) \(0x[0-9a-f]+\)")
DEVICES = {"null": (1, 3), "urandom": (1, 9)}
HOSTS = "127.0.0.1 localhost\n127.0.0.2 stranger.test\n"


def unpack(folder: Path, packages: Iterable[str]) -> None:
    """Fetch packages and unpack all of them into one folder; nothing is installed or started."""
    with tempfile.TemporaryDirectory(prefix="sg-debs-") as debs:
        command = ["apt-get", "-o", "APT::Sandbox::User=root", "-qq", "download", *packages]
        subprocess.run(command, cwd=debs, check=True, timeout=300)
        for deb in sorted(Path(debs).glob("*.deb")):
            subprocess.run(["dpkg-deb", "-x", str(deb), str(folder)], check=True, timeout=60)


def source(program: str) -> Path | None:
    """Where this program was unpacked, or is installed: the folder below which it has its path."""
    for root in (os.environ.get(VARIABLE), "/"):
        if root and (Path(root) / program.lstrip("/")).is_file():
            return Path(root)
    return None


def missing(program: str, package: str) -> str | None:
    """Why this program cannot run here, or None."""
    if source(program) is None:
        return f"{package} is neither installed nor unpacked: see tests/support/unpack.py"
    return None if os.geteuid() == 0 else f"{package} starts as root only"


def small_root(folder: Path, programs: Iterable[str], users: Mapping[str, int]) -> Path:
    """A root for chroot(8) with these programs, their libraries, these users and little else."""
    folder.chmod(0o755)  # its daemons become these users
    for program in programs:
        root = source(program)
        assert root is not None, f"{program} is not there"
        _bring(folder, root, program)
    for place in ("dev", "etc", "run", "tmp", "var/run"):
        (folder / place).mkdir(parents=True, exist_ok=True)
    (folder / "tmp").chmod(0o1777)
    for name, numbers in DEVICES.items():
        os.mknod(folder / "dev" / name, 0o666 | stat.S_IFCHR, os.makedev(*numbers))
        (folder / "dev" / name).chmod(0o666)
    _name(folder / "etc", {"root": 0, **users})
    return folder


def _bring(folder: Path, root: Path, program: str) -> None:
    origin = root / program.lstrip("/")
    told = subprocess.run(["ldd", str(origin)], check=True, capture_output=True, text=True, timeout=30).stdout
    assert "not found" not in told, f"libraries of {program} are not installed:\n{told}"
    for library in LIBRARY.findall(told):
        _copy(Path(library), folder / library.lstrip("/"))
    _copy(origin, folder / program.lstrip("/"))


def _copy(origin: Path, goal: Path) -> None:
    if not goal.exists():
        goal.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(origin, goal)


def _name(etc: Path, users: Mapping[str, int]) -> None:
    passwd = "".join(f"{name}:x:{number}:{number}::/:/bin/false\n" for name, number in users.items())
    (etc / "passwd").write_text(passwd)
    (etc / "group").write_text("".join(f"{name}:x:{number}:\n" for name, number in users.items()))
    (etc / "hosts").write_text(HOSTS)


if __name__ == "__main__":
    unpack(Path(sys.argv[1]), sys.argv[2:])
