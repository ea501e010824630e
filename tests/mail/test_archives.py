"""ZIP files of strangers: bounded, and whatever is not read is told."""

from __future__ import annotations

import io
import random
import zipfile
import zlib

import pytest

from securegw.mail import archives
from securegw.mail.archives import Allowance, File, files_in, is_other_archive, names
from tests.support.files import encrypted, short, zipped


def read(content: bytes, allowance: Allowance | None = None) -> list[File]:
    return list(files_in("a.zip", content, allowance or Allowance()))


def test_what_is_in_it() -> None:
    files = read(zipped({"one.txt": "first", "folder/": "", "folder/two.bin": b"\0\1"}))
    assert files == [File("one.txt", b"first"), File("folder/two.bin", b"\0\1")]


def test_a_file_that_is_no_archive_is_itself() -> None:
    assert read(b"just text") == [File("a.zip", b"just text")]


def test_archives_in_archives_to_the_second() -> None:
    third = zipped({"deep.txt": "third"})
    second = zipped({"c.zip": third, "b.txt": "second"})
    whole = zipped({"b.zip": second, "a.txt": "first"})
    assert read(whole) == [File("c.zip", None, listed=False), File("b.txt", b"second"), File("a.txt", b"first")]


def test_a_password_hides_the_contents_and_not_the_names() -> None:
    assert read(encrypted(zipped({"secret.doc": "x", "other.txt": "y"}))) == [
        File("secret.doc", None),
        File("other.txt", None),
    ]


@pytest.mark.parametrize("cut", [10, 40, 60, 90])
def test_a_damaged_one_is_unlisted(cut: int) -> None:
    assert read(zipped({"one.txt": "first " * 100})[:cut]) == [File("a.zip", None, listed=False)]


def test_one_member_is_damaged() -> None:
    whole = zipped({"one.txt": "first " * 10, "two.txt": "second"}, packed=False)
    assert read(whole.replace(b"first first", b"first fir5t", 1)) == [File("one.txt", None), File("two.txt", b"second")]


def test_a_bomb_is_not_unpacked() -> None:
    bomb = zipped({"zeros": b"\0" * (40 << 20), "small.txt": "there"})
    assert len(bomb) < 50_000
    allowance = Allowance()
    assert read(bomb, allowance) == [File("zeros", None), File("small.txt", b"there")]
    assert allowance.octets > archives.OCTETS_MOST - (1 << 20)


def test_a_bomb_that_says_it_is_small() -> None:
    """The size in the list is the file's own word."""
    size = 20 << 20
    bomb = zipped({"zeros": b"\0" * size})
    lying = bomb.replace(size.to_bytes(4, "little"), (100).to_bytes(4, "little"))
    assert lying != bomb
    allowance = Allowance()
    [file] = read(lying, allowance)
    assert file.content is None or len(file.content) <= 100
    assert allowance.octets > archives.OCTETS_MOST - archives.RATIO_FREE * 2


def test_all_archives_of_a_mail_share_one_allowance() -> None:
    noise = random.Random(1).randbytes(1 << 20)
    allowance = Allowance(octets=3 << 20)
    contents = [file.content for _ in range(5) for file in read(zipped({"noise": noise}), allowance)]
    assert [content is not None for content in contents] == [True, True, True, False, False]


def test_too_many_members_are_not_listed() -> None:
    whole = zipped({f"{number}.txt": "" for number in range(archives.MEMBERS_MOST + 1)})
    assert read(whole) == [File("a.zip", None, listed=False)]
    assert names(whole) == frozenset()
    lying = whole.replace((archives.MEMBERS_MOST + 1).to_bytes(2, "little") * 2, b"\1\0\1\0")
    assert lying != whole
    assert [file.listed for file in read(lying)] == [True] * archives.MEMBERS_MOST + [False]


def test_members_that_overlap_cost_no_more_than_the_allowance() -> None:
    kernel = zipped({"a": b"\0" * (1 << 20)})
    at, end = kernel.find(b"PK\x01\x02"), kernel.find(b"PK\x05\x06")
    entry = kernel[at:end]
    count = 1500
    tail = bytearray(kernel[end:])
    tail[8:12] = count.to_bytes(2, "little") * 2
    tail[12:16] = (len(entry) * count).to_bytes(4, "little")
    allowance = Allowance()
    files = read(kernel[:at] + entry * count + bytes(tail), allowance)
    assert sum(len(file.content or b"") for file in files) <= archives.OCTETS_MOST
    assert any(file.content is None for file in files) or not files[0].listed


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.7z", b"7z\xbc\xaf\x27\x1c...."),
        ("a.bin", b"Rar!\x1a\x07\x01\x00"),
        ("a", b"\x1f\x8b" + zlib.compress(b"x")),
        ("a.TAR", b""),
        ("winmail.dat", b"\x78\x9f\x3e\x22"),
        ("t", b"\0" * 257 + b"ustar"),
    ],
    ids=short,
)
def test_other_archives_are_known_and_not_opened(name: str, content: bytes) -> None:
    assert is_other_archive(name, content)
    assert list(files_in(name, content, Allowance())) == [File(name, None, listed=False)]


def test_an_empty_one() -> None:
    assert read(zipped({})) == []


def test_threat_5_5_28_names_are_names_and_never_places() -> None:
    """A path upwards, a link, the same name twice, a line break in a name: all of them are read and nothing is made."""
    files = read(zipped({"../../etc/passwd": "a", "/root/x": "b", "name\nwith a line": "c"}))
    assert [file.content for file in files] == [b"a", b"b", b"c"]
    twice = zipped({"same.txt": "first", "sane.txt": "other"}).replace(b"sane.txt", b"same.txt")
    assert [file.content for file in read(twice)] == [b"first", b"other"]
    link = zipfile.ZipInfo("link")
    link.external_attr = 0o120777 << 16
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as file:
        file.writestr(link, "/etc/passwd")
    assert read(whole.getvalue()) == [File("link", b"/etc/passwd")]


def test_threat_5_5_28_a_name_in_the_list_and_another_at_the_file() -> None:
    """Two readers would see two names: it is not read."""
    whole = zipped({"harmless.txt": "text"})
    other = whole.replace(b"harmless.txt", b"harmful!.exe", 1)
    assert read(other) == [File("harmless.txt", None)]


def test_a_member_without_a_name() -> None:
    """Found by bending files: the library asks for the last letter of a name."""
    whole = zipped({"x": "text"})
    at = whole.find(b"PK\x01\x02")
    nameless = whole[:at] + whole[at : at + 28] + b"\0\0" + whole[at + 30 : at + 46] + whole[at + 47 :]
    end = nameless.find(b"PK\x05\x06")
    nameless = nameless[: end + 12] + (45 + 1).to_bytes(4, "little") + nameless[end + 16 :]
    assert [file.content for file in read(nameless)] in ([None], [b"text"])
    assert names(nameless) in (frozenset({""}), frozenset())
