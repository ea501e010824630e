"""A mail as a ZIP file with the password that its sender gave in the subject (product row S8).

Not an account and not the portal: nothing of it is kept, and who forgets the password has to ask the sender. In the
file are a page with the letter and, if there are any, its files in a second ZIP file, so that no name stands open.
"""

from __future__ import annotations

import io
import re
import time
import zipfile
from typing import TYPE_CHECKING

import attrs

from securegw.crypto import sealed_zip
from securegw.flow import reading
from securegw.mail import compose

if TYPE_CHECKING:
    from collections.abc import Iterator

    from securegw.mail.address import Address, Mailbox
    from securegw.mail.texts import Texts

NAME_MOST = 120

_NOT_IN_NAMES = re.compile(r"[\x00-\x1f\x7f/\\:*?\"<>|]+")


@attrs.frozen
class Wrapping:
    """The password of the file, what the mail around it says openly, and in which language."""

    password: str = attrs.field(repr=False)
    sender: Mailbox
    recipient: Address
    organisation: str
    host: str
    language: str
    thread: str
    at: float


def write_zipped(texts: Texts, around: Wrapping, letter: bytes) -> bytes:
    """The mail with the sealed file; for a worker. The subject of the letter is inside alone."""
    made = sealed_zip.pack(_inside(texts, around, letter), around.password, around.at)
    return compose.compose(
        sender=around.sender,
        to=(around.recipient,),
        text=texts.mail(
            "zip",
            around.language,
            sender_name=around.sender.name or str(around.sender.address),
            organisation=around.organisation,
        ),
        message_id=compose.message_id(around.host),
        date=around.at,
        headers={"In-Reply-To": around.thread, "References": around.thread} if around.thread else {},
        attachments=(compose.Attachment("letter.zip", "application/zip", made),),
    )


def _inside(texts: Texts, around: Wrapping, letter: bytes) -> Iterator[tuple[str, bytes]]:
    contents = reading.take_apart(letter)
    names = _file_names([each.name for each in contents.attachments])
    page = texts.render(
        "zip/letter.html",
        around.language,
        author=contents.author,
        recipients=contents.recipients,
        date=contents.date,
        subject=contents.subject,
        text=contents.text,
        html=contents.html,
        files=names,
    )
    yield "letter.html", page.encode("utf-8", "replace")
    if contents.text is None and contents.html is None:
        yield "letter.eml", letter
    elif names:
        yield "files.zip", _files(letter, names, around.at)


def _files(letter: bytes, names: list[str], at: float) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for index, name in enumerate(names):
            content = reading.attachment(letter, index)[2]
            archive.writestr(zipfile.ZipInfo(name, time.gmtime(at)[:6]), content)
    return made.getvalue()


def _file_names(given: list[str]) -> list[str]:
    """Names that stay in the folder where the file is unpacked, each another one."""
    names: list[str] = []
    for number, name in enumerate(given, 1):
        bare = _NOT_IN_NAMES.sub("_", name).strip(" .")[-NAME_MOST:] or f"file-{number}"
        taken = {each.casefold() for each in names}
        names.append(bare if bare.casefold() not in taken else f"{number}-{bare}")
    return names
