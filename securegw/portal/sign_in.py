"""Signing in, the first time and later, and signing out.

Not second factors and not lost passwords yet.
"""

from __future__ import annotations

import math
import unicodedata
from typing import TYPE_CHECKING

from securegw.mail.errors import LetterGone, TooManyTries, WrongPassword
from securegw.pages import Form, PageRequest, PageWriter
from securegw.pages.rates import network_of
from securegw.portal.entrance import PARK, Entrance

if TYPE_CHECKING:
    from securegw.accounts import Accounts, SignedIn
    from securegw.portal.write import Write

LONGEST_NAME = 200
FIELDS = ("name", "password", "again", "terms")


class SignIn:
    """The way from a closed letter to an open one."""

    def __init__(self, entrance: Entrance, accounts: Accounts, write: Write, writer: PageWriter) -> None:
        self.entrance = entrance
        self.accounts = accounts
        self.write = write
        self.writer = writer

    async def sign_in(self, request: PageRequest, park: str) -> bytes:
        """Password or first code. The random name of the parked letter is what a form token is elsewhere."""
        form = request.form()
        text = self.accounts.open_draft(park, form["draft"]) if form["draft"] else ""
        try:
            account = self.entrance.account_of(park)
        except LetterGone:
            if text:
                return self.write.lost(request, text, "gone")
            raise
        try:
            signed_in = await self.accounts.sign_in(
                form["address"], form["password"], network_of(request.peer), account
            )
        except WrongPassword:
            return await self._again(request, park, form, 403, "wrong-password")
        except TooManyTries as error:
            request.setHeader("Retry-After", str(math.ceil(error.seconds)))
            return await self._again(request, park, form, 429, "too-many-tries", math.ceil(error.seconds / 60))
        await self.entrance.admit(request, signed_in)
        if text and signed_in.registered and signed_in.account.id == account:
            return await self.write.page(request, park, signed_in, text=text)
        return request.see(f"/letter/{park}" if signed_in.registered else f"/first?letter={park}")

    async def _again(
        self, request: PageRequest, park: str, form: Form, status: int, problem: str, minutes: int = 0
    ) -> bytes:
        request.setResponseCode(status)
        return await self.entrance.closed(
            request, park, problem=problem, minutes=minutes, address=form["address"][:320], draft=form["draft"]
        )

    # --- the first time -------------------------------------------------------------------------------------------

    async def first(self, request: PageRequest) -> bytes:
        """The page for a password of one's own; only who came with the first code sees it."""
        park = request.argument("letter")
        signed_in = await self.entrance.who(request)
        if signed_in is None or signed_in.registered:
            return self._to_letter(request, park)
        return self._first_page(request, park, signed_in, Form({}))

    async def register(self, request: PageRequest) -> bytes:
        form = request.form()
        signed_in = await self.entrance.who(request)
        if signed_in is None or signed_in.registered:
            return self._to_letter(request, form["letter"])
        request.check_token(form)
        wrong = self._mistakes(form, signed_in.account.address)
        if wrong:
            request.setResponseCode(400)
            return self._first_page(request, form["letter"], signed_in, form, wrong)
        try:
            registered = await self.accounts.register(
                signed_in, _one_line(form["name"]), form["password"], self.writer.language(request)
            )
        except WrongPassword:  # somebody else with the code was quicker
            request.end_session()
            return self._to_letter(request, form["letter"])
        await self.entrance.admit(request, registered)
        return self._to_letter(request, form["letter"])

    def _mistakes(self, form: Form, address: str) -> dict[str, str]:
        """Field -> word for what is wrong with it."""
        weakness = self.accounts.weakness(form["password"], address)
        found = {
            "name": "" if 0 < len(_one_line(form["name"])) <= LONGEST_NAME else "name",
            "password": weakness or "",
            "again": "differs" if weakness is None and form["password"] != form["again"] else "",
            "terms": "" if form["terms"] == "yes" else "terms",
        }
        return {field: word for field, word in found.items() if word}

    def _first_page(
        self, request: PageRequest, park: str, signed_in: SignedIn, form: Form, wrong: dict[str, str] | None = None
    ) -> bytes:
        park = park if PARK.fullmatch(park) else ""
        return self.writer.page(
            request, "first", here=f"/first?letter={park}", letter=park, problem="",
            name=form["name"][:LONGEST_NAME] or signed_in.account.name, terms=form["terms"] == "yes",
            wrong={field: (wrong or {}).get(field, "") for field in FIELDS},
        )

    def _to_letter(self, request: PageRequest, park: str) -> bytes:
        if not PARK.fullmatch(park):
            raise LetterGone
        return request.see(f"/letter/{park}")

    # --- the end --------------------------------------------------------------------------------------------------

    async def sign_out(self, request: PageRequest) -> bytes:
        form = request.form()
        if request.session:
            request.check_token(form)
            await self.accounts.end_session(request.session)
            request.end_session()
        return request.see("/signed-out")


def _one_line(name: str) -> str:
    """A name without what could break a line or turn its direction; it will stand in header fields."""
    plain = "".join(letter for letter in name if unicodedata.category(letter) not in ("Cc", "Cf", "Cs", "Zl", "Zp"))
    return " ".join(plain.split())
