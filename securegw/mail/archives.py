"""Archives: the files in a ZIP file, within bounds that hold for a whole mail.

Not a tool that unpacks: nothing is written, no size that the file claims is believed, and what goes beyond the bounds
is told instead of read. Of other archives only the kind is known. A stranger has made them: this is work for a process
(threats 5.5.27). Checked against PKWARE's APPNOTE 6.3.10.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Iterator

import attrs

DEPTH = 2  # a ZIP file in a ZIP file is opened, one in that is not
MEMBERS_MOST = 2000  # files in all archives of one mail
OCTETS_MOST = 64 << 20  # what all of them may unpack to
MEMBER_MOST = 32 << 20  # and one alone
RATIO_MOST = 100  # times its packed size, for what unpacks to more than
RATIO_FREE = 2 << 20

_ZIP = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")
_OTHERS = (
    b"7z\xbc\xaf\x27\x1c",
    b"Rar!\x1a\x07",
    b"\x1f\x8b",
    b"BZh",
    b"\xfd7zXZ\x00",
    b"MSCF",
    b"\x60\xea",
    b"(\xb5/\xfd",
    b"\x78\x9f\x3e\x22",  # TNEF, which Outlook makes
)
_OTHER_NAMES = (".7z", ".rar", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".cab", ".arj", ".lzh", ".iso", ".zst")
_END = b"PK\x05\x06"
_ENCRYPTED = 0x1 | 0x40 | 0x2000
_READ = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    OSError,
    RuntimeError,  # NotImplementedError too
    ValueError,
    KeyError,
    IndexError,
    OverflowError,
    MemoryError,
)


@attrs.define
class Allowance:
    """What may still be unpacked of one mail."""

    members: int = MEMBERS_MOST
    octets: int = OCTETS_MOST


@attrs.frozen
class File:
    """A file by its name; ``content`` is None if it could not be read, ``listed`` False if it is an archive that does
    not tell what is in it."""

    name: str
    content: bytes | None = attrs.field(repr=False)
    listed: bool = True


def is_zip(content: bytes) -> bool:
    return content.startswith(_ZIP)


def is_other_archive(name: str, content: bytes) -> bool:
    """One that is not opened here."""
    return content.startswith(_OTHERS) or content[257:262] == b"ustar" or name.lower().endswith(_OTHER_NAMES)


def names(content: bytes) -> frozenset[str]:
    """What a ZIP file says that it holds, in lower case; nothing if that cannot be told."""
    try:
        if _count(content) > MEMBERS_MOST:
            return frozenset()
        with zipfile.ZipFile(io.BytesIO(content)) as opened:
            return frozenset(name.lower() for name in opened.namelist())
    except _BROKEN:
        return frozenset()


def members(name: str, content: bytes, allowance: Allowance) -> Iterator[File]:
    """The files in a ZIP file, each as it is read; the archive itself, unlisted, if its list cannot be read."""
    try:
        opened = zipfile.ZipFile(io.BytesIO(content)) if _count(content) <= allowance.members else None
    except _BROKEN:
        opened = None
    if opened is None:
        yield File(name, None, listed=False)
        return
    with opened:
        for info in opened.infolist():
            allowance.members -= 1
            if allowance.members < 0:
                yield File(name, None, listed=False)
                return
            if not info.filename.endswith("/"):
                yield File(info.filename, _content(opened, info, allowance))


def _count(content: bytes) -> int:
    """How many files its end says there are, before a list of them is made (APPNOTE 4.3.16)."""
    at = content.rfind(_END)
    if at < 0 or at + 22 > len(content):
        raise ValueError("no end of a central directory")
    size = int.from_bytes(content[at + 12 : at + 16], "little")
    told = int.from_bytes(content[at + 10 : at + 12], "little")
    return max(told, size // 1000)  # who claims few and has a long list has more; an entry takes 46 bytes and its name


def _content(opened: zipfile.ZipFile, info: zipfile.ZipInfo, allowance: Allowance) -> bytes | None:
    packed = min(info.compress_size, OCTETS_MOST)
    most = min(allowance.octets, MEMBER_MOST, max(RATIO_FREE, packed * RATIO_MOST))
    if info.flag_bits & _ENCRYPTED or info.compress_type not in _READ or info.file_size > most:
        return None
    try:
        with opened.open(info) as stream:
            content = stream.read(most + 1)
    except _BROKEN:
        return None
    allowance.octets -= min(len(content), allowance.octets)
    return content if len(content) <= most else None


def files_in(name: str, content: bytes, allowance: Allowance, depth: int = DEPTH) -> Iterator[File]:
    """A file, or all files in it if it is an archive, those in archives within it too."""
    if depth > 0 and is_zip(content):
        for file in members(name, content, allowance):
            if file.content is None:
                yield file
            else:
                yield from files_in(file.name, file.content, allowance, depth - 1)
    else:
        closed = is_zip(content) or is_other_archive(name, content)
        yield File(name, None, listed=False) if closed else File(name, content)
