"""What the C library holds and nobody uses goes back to the system."""

from __future__ import annotations

import ctypes
from pathlib import Path

import pytest

from securegw.gateway.memory import KEPT, LARGE, give_back, return_large_blocks, unused

BLOCK = 60_000  # small enough not to be mapped by itself, which would be given back at once


def resident() -> int:
    """Bytes of ours that are in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="another C library than glibc")
def test_after_a_crowd_the_memory_is_given_back() -> None:
    library = ctypes.CDLL(None)
    library.malloc.restype, library.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    library.free.argtypes = [ctypes.c_void_p]
    give_back()
    crowd = [library.malloc(BLOCK) for _ in range(2 * KEPT // BLOCK)]
    for place in crowd:
        ctypes.memset(place, 1, BLOCK)
    last = library.malloc(BLOCK)  # at the end of the heap, so that it cannot just become shorter
    for place in crowd:
        library.free(place)
    full = resident()
    assert unused() > 2 * KEPT - BLOCK
    assert give_back() > KEPT
    assert full - resident() > KEPT
    library.free(last)


def test_a_little_is_kept_for_the_next_mails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("securegw.gateway.memory.unused", lambda: KEPT)
    assert give_back() == 0


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="another C library than glibc")
def test_large_blocks_go_back_whatever_was_freed_before() -> None:
    """Each block that is freed makes glibc keep the next one of its size, unless it was told not to."""
    library = ctypes.CDLL(None)
    library.malloc.restype, library.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    library.free.argtypes = [ctypes.c_void_p]
    return_large_blocks()
    library.free(library.malloc(5 * LARGE))
    give_back()
    before, behind = unused(), []
    for _ in range(3):
        block = library.malloc(4 * LARGE)
        behind.append(library.malloc(BLOCK))  # or the heap could just become shorter
        ctypes.memset(block, 1, 4 * LARGE)
        library.free(block)
        behind.append(library.malloc(BLOCK))
    after = unused()
    for each in behind:
        library.free(each)
    assert after < before + LARGE
