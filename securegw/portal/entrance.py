"""Knows who is signed in, shows the closed letter to those who are not, and begins sessions.

Not the check of a password: that is ``accounts``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from securegw.mail.errors import LetterGone
from securegw.pages import PageRequest, PageWriter, Sorry

if TYPE_CHECKING:
    from securegw.accounts import Accounts, SignedIn
    from securegw.flow.webmail import Webmail

PARK = re.compile(r"[A-Za-z0-9_-]{8,64}")


class Entrance:
    """What all pages of a letter begin with."""

    def __init__(self, accounts: Accounts, webmail: Webmail, writer: PageWriter) -> None:
        self.accounts = accounts
        self.webmail = webmail
        self.writer = writer

    def account_of(self, park: str) -> str:
        """The account that a parked letter is for; unknown and expired letters are alike."""
        packed = self.webmail.parked(park) if PARK.fullmatch(park) else None
        if packed is None:
            raise LetterGone
        return packed.account

    async def who(self, request: PageRequest) -> SignedIn | None:
        """Who is signed in on this browser."""
        signed_in = await self.accounts.session(request.session)
        if signed_in is not None:
            request.signed_in = signed_in.account.address
        return signed_in

    async def reader(self, request: PageRequest, park: str) -> SignedIn | None:
        """The account that this letter is for, if it is signed in and has a password of its own."""
        account = self.account_of(park)
        signed_in = await self.who(request)
        if signed_in is None or not signed_in.registered or signed_in.account.id != account:
            return None
        return signed_in

    async def certain_reader(self, request: PageRequest, park: str) -> SignedIn:
        """The same for what is inside a letter: who is not its reader finds nothing."""
        reader = await self.reader(request, park)
        if reader is None:
            raise Sorry(404, detail="not the reader of the letter")
        return reader

    async def turn_away(self, request: PageRequest, park: str) -> bytes:
        """For who is not the reader yet: to the page that is missing on the way to the letter."""
        signed_in = await self.who(request)
        if signed_in is None:
            return await self.closed(request, park)
        if signed_in.account.id != self.account_of(park):
            request.setResponseCode(403)
            return await self.closed(request, park, problem="other-account")
        return request.see(f"/first?letter={park}")

    async def closed(
        self, request: PageRequest, park: str, *,
        problem: str = "", minutes: int = 0, address: str = "", draft: str = "",
    ) -> bytes:
        """The closed letter: who brought its genuine carrier need not type the address that it was sent to."""
        known = await self.accounts.known(self.account_of(park))
        secret = "either" if known is None else "password" if known.registered else "code"
        return self.writer.page(
            request, "open", here=f"/letter/{park}", letter=park, problem=problem, minutes=minutes, draft=draft,
            address=address or (known.address if known else ""), secret=secret,
        )

    async def admit(self, request: PageRequest, signed_in: SignedIn) -> None:
        """Begin a session under a new name; the one before ends (session fixation)."""
        if request.session:
            await self.accounts.end_session(request.session)
        request.begin_session(await self.accounts.open_session(signed_in))
        request.signed_in = signed_in.account.address
