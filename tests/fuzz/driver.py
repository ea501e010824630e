"""Runs a fuzzer: guided by atheris where that is installed, else on random inputs of its own for the same time."""

from __future__ import annotations

import random
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

SEED, HALF = 20, 0.5
MADE = 60  # inputs of our own with which a guided run begins


Try = Callable[[bytes], object]
Make = Callable[[random.Random], bytes]
Change = Callable[[random.Random, bytes], bytes]


def drive(
    try_one: Try, made: Make, seeds: Sequence[bytes] = (), words: Sequence[bytes] = (), change: Change | None = None
) -> None:
    """``try_one`` raises where something is wrong; ``made`` makes an input, ``words`` are those of its language.
    ``change`` takes turns with the engine, which knows nothing of what the bytes mean.

    Arguments of the command: how many seconds (3), and the folder of the corpus, which also gets what was found. A
    corpus that is kept makes the next run begin where this one ended.
    """
    given = sys.argv[1:]
    seconds = float(given[0]) if given else 3.0
    try:
        import atheris  # type: ignore[import-not-found]
    except ImportError:
        print(f"atheris is not installed; {_at_random(try_one, made, seconds)} random inputs went well instead")
        return
    place = Path(given[1] if len(given) > 1 else tempfile.mkdtemp())
    place.mkdir(exist_ok=True)
    source = random.Random(SEED)
    for number, seed in enumerate((*seeds, *(made(source) for _ in range(MADE)))):
        (place / f"seed-{number}").write_bytes(seed)
    atheris.instrument_all()
    guided: Any = lambda data: try_one(bytes(data))  # noqa: E731
    bounds = [f"-max_total_time={int(seconds)}", f"-artifact_prefix={place}/", "-max_len=4096", "-timeout=10"]
    if words:
        dictionary = place.with_suffix(".dict")
        dictionary.write_text("".join(f'"{_escaped(word)}"\n' for word in words))
        bounds.append(f"-dict={dictionary}")

    def changed(data: bytes, most: int, seed: int) -> bytes:
        source = random.Random(seed)
        result = change(source, bytes(data)) if change and source.random() < HALF else atheris.Mutate(data, len(data))
        return bytes(result[:most])

    more: dict[str, Any] = {"custom_mutator": changed} if change else {}
    atheris.Setup([sys.argv[0], *bounds, str(place)], guided, **more)
    atheris.Fuzz()


def _escaped(word: bytes) -> str:
    """A word as the dictionary of libFuzzer writes it."""
    return "".join(f"\\x{byte:02x}" for byte in word)


def _at_random(try_one: Try, made: Make, seconds: float) -> int:
    source, end, tries = random.Random(SEED), time.monotonic() + seconds, 0
    while time.monotonic() < end:
        try_one(made(source))
        tries += 1
    return tries
