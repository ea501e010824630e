"""Opening and reading: the carrier's post, the letter, its frame, its files, and itself as a mail file.

Not the opening of the seal and not the cleaning: those are ``flow``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from securegw.mail.message import decode_words
from securegw.mail.message import read as read_message
from securegw.pages import PageRequest, PageWriter, Rate, Sorry, send_file
from securegw.pages.bodies import file_name
from securegw.pages.headers import dress_frame
from securegw.pages.rates import network_of
from securegw.portal.entrance import Entrance
from securegw.portal.view import show

if TYPE_CHECKING:
    from securegw.flow.webmail import Webmail

OPENED, OPENED_IN = 10, 600.0


class Read:
    """The pages of a letter."""

    def __init__(
        self, entrance: Entrance, webmail: Webmail, writer: PageWriter, now: Callable[[], float]
    ) -> None:
        self.entrance = entrance
        self.webmail = webmail
        self.writer = writer
        self.rate = Rate(now, OPENED, OPENED_IN)

    async def open(self, request: PageRequest) -> bytes:
        """The carrier's post from disk: the only form without Origin, cookie and token. It changes nothing: sealed
        bytes are put aside under a random name, and reading them needs the account."""
        form = request.form(from_disk=True)
        if not self.rate.allows(network_of(request.peer)):
            raise Sorry(429, detail="letters opened")
        if form.sealed is None:
            raise Sorry(400, "broken", detail="no letter in the form")
        if form["lang"] in self.writer.locales:
            request.keep_language(form["lang"])
        return request.see(f"/letter/{await self.webmail.park(form.sealed)}")

    async def letter(self, request: PageRequest, park: str) -> bytes:
        reader = await self.entrance.reader(request, park)
        if reader is None:
            return await self.entrance.turn_away(request, park)
        view = await self.webmail.read(park, reader)
        shown = show(view, self.writer.language(request))
        return self.writer.page(request, "letter", here=f"/letter/{park}", id=park, letter=shown)

    async def body(self, request: PageRequest, park: str) -> bytes:
        """The text of the letter for the frame, also harmless when it is opened alone."""
        reader = await self.entrance.certain_reader(request, park)
        view = await self.webmail.read(park, reader)
        dress_frame(request.responseHeaders)
        return self.writer.page(request, "body", origin=f"https://{request.host_name}", html=view.html or "")

    async def part(self, request: PageRequest, park: str, index: int) -> bytes:
        reader = await self.entrance.certain_reader(request, park)
        name, _, content = await self.webmail.part(park, reader, index)
        return await send_file(request, file_name(name), content)

    async def mail(self, request: PageRequest, park: str) -> bytes:
        """The letter as it was sealed, byte for byte."""
        reader = await self.entrance.certain_reader(request, park)
        raw = await self.webmail.raw(park, reader)
        subject = decode_words(read_message(raw).first("Subject") or "")
        return await send_file(request, f"{file_name(subject or 'letter')[:80]}.eml", raw)
