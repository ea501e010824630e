"""Processes of a bench: their CPU time and memory with all children, read from /proc, and how they are ended."""

from __future__ import annotations

import contextlib
import os
import subprocess
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")


def _stat(pid: int) -> list[str] | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # The name in brackets may hold blanks; the fields after it are counted from the state on.
    return text[text.rindex(")") + 2 :].split()


def family(root: int) -> list[int]:
    """The process and all its living descendants."""
    parents: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit() and (stat := _stat(int(name))) is not None:
            parents.setdefault(int(stat[1]), []).append(int(name))
    found = [root]
    for pid in found:
        found += parents.get(pid, [])
    return found


def cpu_seconds(root: int) -> float:
    """User and system time of the whole family, and of its members that have ended and were waited for."""
    stats = [_stat(pid) for pid in family(root)]
    return sum(sum(int(value) for value in stat[11:15]) for stat in stats if stat is not None) / TICK


def memory(root: int) -> int:
    """Proportional set size of the family in bytes: shared pages are counted once."""
    total = 0
    for pid in family(root):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) * 1024
    return total


def end(process: subprocess.Popen[str]) -> None:
    """Close its input, ask it to go, wait, and only then insist."""
    if process.stdin is not None:
        with contextlib.suppress(OSError):
            process.stdin.close()
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(10)
