"""Gives memory back to the system: after a crowd has left, the C library keeps what ten thousand sessions needed, and
after a large mail what that needed.

Python's own objects are given back by Python. Where the C library is another one than glibc nothing is done.
"""

from __future__ import annotations

import ctypes

M_MMAP_THRESHOLD = -3  # mallopt(3)
LARGE = 2 * 1024 * 1024
KEPT = 64 * 1024 * 1024  # bytes that may lie unused, for the next mails


class _Figures(ctypes.Structure):
    """struct mallinfo2 of glibc 2.33 and later; see mallinfo(3)."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in (
            "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost",
        )
    )  # fmt: skip


def unused() -> int:
    """Bytes that the C library holds and nobody uses; 0 where it does not tell."""
    library = ctypes.CDLL(None)
    if not hasattr(library, "mallinfo2"):
        return 0
    library.mallinfo2.restype = _Figures
    found: int = library.mallinfo2().fordblks
    return found


def give_back() -> int:
    """Give back what is unused, if it is much; how much that was. The first time takes some 15 ms for 70 MB."""
    before = unused()
    if before <= KEPT:
        return 0
    ctypes.CDLL(None).malloc_trim(0)
    return before


def return_large_blocks() -> None:
    """A large block goes back as soon as it is free.

    glibc would keep those of up to 32 MB, for each thread apart: a few mails of that size would take half as much
    again for ever.
    """
    library = ctypes.CDLL(None)
    if hasattr(library, "mallopt"):
        library.mallopt(M_MMAP_THRESHOLD, LARGE)
