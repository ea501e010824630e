"""Writes pages: template, language, what the frame of each page needs, and pages that say sorry.

Not the templates (web/portal) and not the catalogues (web/locale).
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

import txaio
from babel import Locale

from securegw.pages.headers import dress
from securegw.pages.sorry import Sorry

if TYPE_CHECKING:
    from securegw.mail.texts import Texts
    from securegw.pages.request import PageRequest
    from securegw.pages.settings import PortalSettings

log = txaio.make_logger()

REFERENCE_LETTERS = "23456789ABCDEFGHJKMNPQRSTVWXYZ"


class PageWriter:
    """Everything that is the same on all pages of a site."""

    def __init__(self, texts: Texts, settings: PortalSettings, stylesheet: str) -> None:
        self.texts = texts
        self.settings = settings
        self.stylesheet = stylesheet
        self.locales = {code: Locale.parse(code) for code in texts.languages}

    def language(self, request: PageRequest) -> str:
        """Asked for in the address, chosen before, wished by the browser, or the site's."""
        asked = request.argument("lang")
        if asked in self.locales:
            if asked != request.language_cookie:
                request.keep_language(asked)
            return asked
        if request.language_cookie in self.locales:
            return request.language_cookie
        return self.texts.best(request.getHeader("accept-language"), self.settings.language)

    def page(self, request: PageRequest, template: str, *, here: str = "", **values: Any) -> bytes:
        """A page of web/portal as bytes. ``here`` is the address that shows it in another language, if not its own."""
        language = self.language(request)
        frame = self._frame(request, language, here or (request.path or b"/").decode("ascii", "replace"))
        page = self.texts.render(f"portal/{template}.html", language, **frame, **values).encode("utf-8")
        request.setHeader("Content-Language", language)
        request.setHeader("Content-Length", str(len(page)))
        return page

    def sorry(self, request: PageRequest, sorry: Sorry) -> bytes:
        """A page that says what happened and what to do; the reference joins it with the line in the log."""
        reference = new_reference()
        log.info(
            "sorry page {status} {key}, reference {reference}: {detail}",
            status=sorry.status, key=sorry.key, reference=reference, detail=sorry.detail,
        )
        request.setResponseCode(sorry.status)
        dress(request.responseHeaders)  # whatever the page had in mind
        return self.page(request, "sorry", here="/help", key=sorry.key, reference=reference)

    def _frame(self, request: PageRequest, language: str, here: str) -> dict[str, Any]:
        return {
            "language": language,
            "direction": self.locales[language].text_direction,
            "languages": self._other_languages(language, here),
            "organisation": self.settings.organisation,
            "host": self.settings.host,
            "stylesheet": self.stylesheet,
            "signed_in": request.signed_in,
            "token": request.form_token,
        }

    def _other_languages(self, language: str, here: str) -> list[tuple[str, str, str]]:
        """Code, own name and address of the same page in each other language."""
        joint = "&" if "?" in here else "?"
        return [
            (code, (locale.get_display_name(code) or code).capitalize(), f"{here}{joint}lang={code}")
            for code, locale in self.locales.items()
            if code != language
        ]


def new_reference() -> str:
    """Six characters that can be read aloud."""
    return "".join(secrets.choice(REFERENCE_LETTERS) for _ in range(6))
