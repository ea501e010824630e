"""Answering a letter: the form, and its way into the house as a mail like any other.

Not composing to anybody: an answer goes to who wrote the letter, from the account's own address (threats 5.6.51).
"""

from __future__ import annotations

import re
import secrets
from collections import OrderedDict
from typing import TYPE_CHECKING

from securegw.mail.compose import Attachment
from securegw.mail.errors import Later, LetterGone, MailError
from securegw.pages import Form, PageRequest, PageWriter, Sorry, Upload
from securegw.pages.writer import new_reference
from securegw.portal.entrance import Entrance
from securegw.portal.view import show, size_text

if TYPE_CHECKING:
    from securegw.accounts import SignedIn
    from securegw.flow.webmail import Webmail

LONGEST_TEXT = 100_000
MOST_FILES = 20
MOST_REMEMBERED = 5_000
KIND = re.compile(r"[a-z0-9][a-z0-9.+-]{0,60}/[a-z0-9][a-z0-9.+-]{0,80}")
ENVELOPE = 1.4  # what base64 and headers add to files


class Write:
    """The pages of an answer."""

    def __init__(self, entrance: Entrance, webmail: Webmail, writer: PageWriter, limit: int) -> None:
        self.entrance = entrance
        self.webmail = webmail
        self.writer = writer
        # What fits here must fit into a mail that the intake takes.
        self.limit = min(limit, int(webmail.intake.size_limit / ENVELOPE))
        self.sent_before: OrderedDict[str, None] = OrderedDict()

    async def form(self, request: PageRequest, park: str) -> bytes:
        reader = await self.entrance.reader(request, park)
        if reader is None:
            return await self.entrance.turn_away(request, park)
        return await self.page(request, park, reader)

    async def page(
        self, request: PageRequest, park: str, reader: SignedIn, *, text: str = "", problem: str = ""
    ) -> bytes:
        """The form, with what was typed before if it comes back."""
        try:
            view = await self.webmail.read(park, reader)
        except LetterGone:
            if not text:
                raise
            return self.lost(request, text, "gone")
        language = self.writer.language(request)
        return self.writer.page(
            request, "reply", id=park, letter=show(view, language), text=text, problem=problem,
            once=secrets.token_hex(16), longest=LONGEST_TEXT, most_files=MOST_FILES,
            largest=size_text(self.limit // 1_000_000 * 1_000_000, language),
        )

    async def send(self, request: PageRequest, park: str) -> bytes:
        """Take the answer. Whatever goes wrong, the text comes back to who typed it."""
        form, problem = self._form(request)
        if request.session:
            request.check_token(form)
        try:
            reader = await self.entrance.reader(request, park)
        except LetterGone:
            return self.lost(request, form["text"], "gone")
        if reader is None:
            return await self._sign_in_first(request, park, form)
        if not problem and form["once"] in self.sent_before:
            return request.see(f"/letter/{park}/sent")
        return await self._send(request, park, reader, form, problem or self._mistake(form))

    def _form(self, request: PageRequest) -> tuple[Form, str]:
        try:
            return request.form(), ""
        except Sorry as sorry:
            if sorry.status != 413 or not sorry.fields.get("text"):
                raise
            return Form(sorry.fields), "too-big"

    async def _sign_in_first(self, request: PageRequest, park: str, form: Form) -> bytes:
        """The session has ended: the text waits sealed in the page, and nothing is kept here."""
        request.setResponseCode(403)
        draft = self.entrance.accounts.seal_draft(park, _lines(form["text"])[:LONGEST_TEXT])
        return await self.entrance.closed(request, park, problem="ended", draft=draft)

    async def _send(self, request: PageRequest, park: str, reader: SignedIn, form: Form, problem: str) -> bytes:
        status = {"": 0, "too-big": 413}.get(problem, 400)
        if not problem:
            self._remember(form["once"])
            problem, status = await self._hand_in(request, park, reader, form)
        if not problem:
            return request.see(f"/letter/{park}/sent")
        self.sent_before.pop(form["once"], None)
        request.setResponseCode(status)
        return await self.page(request, park, reader, text=_lines(form["text"]), problem=problem)

    async def _hand_in(self, request: PageRequest, park: str, reader: SignedIn, form: Form) -> tuple[str, int]:
        files = [_attachment(upload) for upload in form.files]
        try:
            await self.webmail.reply(park, reader, _lines(form["text"]), files, peer=request.peer)
        except LetterGone:
            return "gone", 410
        except Later:
            return "later", 503
        except MailError:
            return "refused", 400
        return "", 0

    def _mistake(self, form: Form) -> str:
        """One word for what is wrong with the answer, empty if nothing is."""
        text = _lines(form["text"])
        if not (text.strip() or form.files):
            return "empty"
        if len(text) > LONGEST_TEXT:
            return "text-too-long"
        if len(form.files) > MOST_FILES:
            return "too-many-files"
        size = len(text.encode()) + sum(len(upload.content) for upload in form.files)
        return "too-big" if size > self.limit else ""

    def _remember(self, once: str) -> None:
        """An impatient second press of the button sends nothing twice."""
        self.sent_before[once or secrets.token_hex(16)] = None
        while len(self.sent_before) > MOST_REMEMBERED:
            self.sent_before.popitem(last=False)

    async def sent(self, request: PageRequest, park: str) -> bytes:
        await self.entrance.certain_reader(request, park)
        return self.writer.page(request, "sent", id=park)

    def lost(self, request: PageRequest, text: str, problem: str) -> bytes:
        """The letter is gone, the text is not: its writer can copy it."""
        request.setResponseCode(410)
        return self.writer.page(request, "lost-reply", text=text, problem=problem, reference=new_reference())


def _attachment(upload: Upload) -> Attachment:
    kind = upload.kind if KIND.fullmatch(upload.kind) else "application/octet-stream"
    # A file that says to be a mail or of many parts would be taken apart as one; it is a file.
    if kind.startswith(("multipart/", "message/")):
        kind = "application/octet-stream"
    return Attachment(upload.name, kind, upload.content)


def _lines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")

