"""Small file systems of our own, which a test fills to the last byte or the last file."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path


class NoMount(Exception):
    """No file system may be mounted here."""


@contextlib.contextmanager
def small_disk(folder: Path, *, size: str = "48m", files: int = 10_000) -> Iterator[Path]:
    """A file system in memory; raises NoMount where that is not allowed."""
    folder.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", f"size={size},nr_inodes={files}", "securegw-drill", str(folder)]
    if shutil.which("mount") is None:
        raise NoMount("mount is not installed")
    done = subprocess.run(words, capture_output=True, text=True, timeout=20, check=False)
    if done.returncode:
        raise NoMount(f"a file system may not be mounted here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], timeout=20, check=True)


def fill(disk: Path) -> Path:
    """Write a file until not one byte more fits; who removes it gives all of it back."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        for size in (1 << 20, 4096, 1):
            with contextlib.suppress(OSError):
                while file.write(bytes(size)) == size:
                    pass
    return filler


def fill_with_files(disk: Path) -> Path:
    """Make empty files until not one more fits, in a folder of its own; once more, where some have gone."""
    folder = disk / "fillers"
    folder.mkdir(exist_ok=True)
    with contextlib.suppress(OSError):
        for number in itertools.count(len(os.listdir(folder))):
            (folder / str(number)).touch()
    return folder


def give_back(filler: Path) -> None:
    if filler.is_dir():
        shutil.rmtree(filler)
    else:
        filler.unlink()
