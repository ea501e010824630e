"""Parcels: how work goes to a process and its answer comes back - a text, and behind it what is large, as it is.

Whoever takes apart what strangers sent may have been taken over by one of them. So an answer may hold plain values,
values of our own rooms and errors, and nothing else: no answer makes the gateway call anything.
"""

from __future__ import annotations

import io
import pickle
import struct
import sys
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, TypeVar

import attrs
import txaio

T = TypeVar("T")

LARGE = 128 * 1024  # bytes from this length on are not copied into the text
MOST_KEPT = 4  # tuples that last, in each process
MOST = 1 << 31  # bytes of a parcel; what tells more is none
PLAIN = frozenset({"bytearray", "complex", "frozenset", "set"})
# Rooms that know no reactor (pyproject.toml): a process that needs no others is 15 MB smaller.
PLAIN_ROOMS = ("securegw.mail", "securegw.crypto", "securegw.policy", "securegw.store", "securegw.config")

_HEAD = struct.Struct("!QQ")  # length of the text, and of all that is behind it


class BadParcel(Exception):
    """What came is no parcel, or has something in it that may not be there."""


class Lasting(tuple[T, ...]):
    """A tuple that much work needs and that seldom changes: it crosses to each process once, and is kept there."""

    __slots__ = ()


# What a process keeps: in which place; a new one takes the place of the oldest.
Places = dict[Lasting[Any], int]


class _Packer(pickle.Pickler):
    """Leaves large bytes out, and puts their lengths in their place; of what lasts goes the place where it is kept."""

    def __init__(self, file: io.BytesIO, places: Places) -> None:
        super().__init__(file, pickle.HIGHEST_PROTOCOL)
        self.large: list[bytes] = []
        self._places = places

    def persistent_id(self, value: Any) -> int | tuple[int, Any] | None:
        if type(value) is Lasting:
            return self._place(value)
        if type(value) is not bytes or len(value) < LARGE:
            return None
        self.large.append(value)
        return len(value)

    def _place(self, value: Lasting[Any]) -> tuple[int, Any]:
        if value in self._places:
            return self._places[value], None
        full = len(self._places) == MOST_KEPT
        place = self._places.pop(next(iter(self._places))) if full else len(self._places)
        self._places[value] = place
        return place, tuple(value)


class _AnswerPacker(_Packer):
    """Of errors that are neither ours nor the language's goes only what they say: others the gateway does not read."""

    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, BaseException) and not _may_go(type(value).__module__):
            return RuntimeError, (repr(value)[:500],)
        return NotImplemented


def prepare(room: str) -> None:
    """Before this room is imported: it may make itself a logger, which says nothing in a process."""
    if not room.startswith(PLAIN_ROOMS):
        txaio.use_twisted()


class _Unpacker(pickle.Unpickler):
    """Reads what our own process wrote: ``behind`` are the large bytes, one behind the other."""

    def __init__(self, text: bytes, behind: bytes, kept: dict[int, Any]) -> None:
        super().__init__(io.BytesIO(text))
        self._behind, self._at, self._kept = behind, 0, kept

    def find_class(self, module: str, name: str) -> Any:
        if module not in sys.modules:
            prepare(module)
        return super().find_class(module, name)

    def persistent_load(self, told: int | tuple[int, Any]) -> Any:
        if isinstance(told, int):
            return self._large(told)
        place, value = told
        if value is not None:
            self._kept[place] = value
        return self._kept[place]

    def _large(self, length: int) -> bytes:
        if self._at == 0 and length == len(self._behind):  # the usual case: one mail
            return self._behind
        start, self._at = self._at, self._at + length
        return self._behind[start : self._at]


class _WaryUnpacker(_Unpacker):
    """Reads what a process wrote that strangers may have taken over."""

    def find_class(self, module: str, name: str) -> Any:
        return _known(module, name)


@lru_cache(maxsize=256)
def _known(module: str, name: str) -> type:
    """A value of our own, or an error; BadParcel for anything else. Nothing is imported for it."""
    if _may_go(module):
        found = getattr(sys.modules.get(module), name, None)
        if isinstance(found, type) and (issubclass(found, BaseException) or _is_value(found, module, name)):
            return found
    raise BadParcel(f"{module}.{name}"[:200])


def _may_go(module: str) -> bool:
    return module == "builtins" or module.startswith("securegw.")


def _is_value(found: type, module: str, name: str) -> bool:
    return name in PLAIN if module == "builtins" else attrs.has(found) or issubclass(found, tuple)


def pack(value: object, places: Places) -> list[bytes]:
    """The pieces of a parcel of work, in order; large bytes are not copied. ``places`` is brought up to date."""
    return _packed(value, _Packer, places)


def pack_plainly(value: object, places: Places) -> list[bytes]:
    """The same for many small values: quicker, but large bytes are copied, and nothing lasts."""
    text = pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
    return [_HEAD.pack(len(text), 0), text]


def pack_answer(value: object) -> list[bytes]:
    """The pieces of an answer."""
    return _packed(value, _AnswerPacker, {})


def _packed(value: object, kind: type[_Packer], places: Places) -> list[bytes]:
    file = io.BytesIO()
    packer = kind(file, places)
    packer.dump(value)
    text = file.getvalue()
    return [_HEAD.pack(len(text), sum(map(len, packer.large))) + text, *packer.large]


def unpack(text: bytes, behind: bytes, kept: dict[int, Any]) -> Any:
    """What the gateway has packed; ``kept`` is what lasts, by its place."""
    return _Unpacker(text, behind, kept).load()


def unpack_warily(text: bytes, behind: bytes) -> Any:
    """What a process has packed; BadParcel if it may not be believed."""
    try:
        return _WaryUnpacker(text, behind, {}).load()
    except BadParcel:
        raise
    except Exception as error:
        raise BadParcel(repr(error)[:200]) from None


def lengths(head: bytes) -> tuple[int, int]:
    """Of the text, and of what is behind it."""
    text, behind = _HEAD.unpack(head)
    if text + behind > MOST:
        raise BadParcel("too large")
    return text, behind


HEAD = _HEAD.size


class Arrivals:
    """Puts parcels together that come in pieces of any length."""

    def __init__(self) -> None:
        self._begun = bytearray()  # head and text
        self._behind: list[bytes] = []
        self._missing = 0  # of what is behind

    def feed(self, data: memoryview) -> Iterator[tuple[bytes, list[bytes]]]:
        """The parcels that are complete now: the text, and the pieces of what is behind it."""
        while data:
            data = self._take(data)
            if len(self._begun) >= HEAD and not self._missing and self._wanted() == 0:
                yield bytes(memoryview(self._begun)[HEAD:]), self._behind
                self._begun, self._behind = bytearray(), []

    def _take(self, data: memoryview) -> memoryview:
        if wanted := self._wanted():
            self._begun += data[:wanted]
            data = data[wanted:]
            if len(self._begun) == HEAD:
                self._missing = lengths(bytes(self._begun))[1]
        elif self._missing:
            piece = bytes(data[: self._missing])
            self._behind.append(piece)
            self._missing -= len(piece)
            data = data[len(piece) :]
        return data

    def _wanted(self) -> int:
        """How many bytes of head and text are still to come."""
        if len(self._begun) < HEAD:
            return HEAD - len(self._begun)
        return HEAD + lengths(bytes(self._begun[:HEAD]))[0] - len(self._begun)
