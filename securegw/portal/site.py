"""The table of pages, what bodies they take, and what becomes of errors.

Not the pages. Adding a page is one method and one row.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import txaio
from klein import Klein
from twisted.python.failure import Failure
from werkzeug.exceptions import HTTPException

from securegw.mail.errors import (
    Later,
    LetterGone,
    LetterWithdrawn,
    MailError,
    SealBroken,
    TooBig,
    TooManyTries,
    WrongAccount,
)
from securegw.pages import BodyRules, PageRequest, PageSite, PageWriter, PortalSettings, Sorry, StaticFiles
from securegw.portal.about import About
from securegw.portal.entrance import Entrance
from securegw.portal.read import Read
from securegw.portal.revocation import Lists
from securegw.portal.sign_in import SignIn
from securegw.portal.write import Write

if TYPE_CHECKING:
    from securegw.accounts import Accounts
    from securegw.flow.webmail import Webmail
    from securegw.keys.revocations import Revocations
    from securegw.mail.texts import Texts

log = txaio.make_logger()

REPLY = re.compile(r"/letter/[^/]+/reply")

# The first row that fits says which page it becomes.
ERRORS: tuple[tuple[type[MailError], int, str], ...] = (
    (SealBroken, 400, "broken"),
    (LetterWithdrawn, 410, "withdrawn"),
    (LetterGone, 410, "410"),
    (WrongAccount, 403, "other"),
    (TooBig, 413, "413"),
    (TooManyTries, 429, "429"),
    (Later, 503, "503"),
)


def portal_site(
    webmail: Webmail,
    accounts: Accounts,
    texts: Texts,
    settings: PortalSettings,
    reactor: Any,
    revocations: Revocations | None = None,
) -> PageSite:
    """The site, to be served inside TLS."""
    static = StaticFiles(texts.folder / "static")
    writer = PageWriter(texts, settings, static.address("portal.css"))
    entrance = Entrance(accounts, webmail, writer)
    read = Read(entrance, webmail, writer, reactor.seconds)
    write = Write(entrance, webmail, writer, settings.reply_limit)
    sign_in = SignIn(entrance, accounts, write, writer)
    about = About(writer, static)
    pages = (
        ("POST", "/open", read.open),
        ("GET", "/letter/<park>", read.letter),
        ("GET", "/letter/<park>/body", read.body),
        ("GET", "/letter/<park>/part/<int:index>", read.part),
        ("GET", "/letter/<park>/mail.eml", read.mail),
        ("POST", "/letter/<park>/sign-in", sign_in.sign_in),
        ("GET", "/first", sign_in.first),
        ("POST", "/first", sign_in.register),
        ("POST", "/sign-out", sign_in.sign_out),
        ("GET", "/letter/<park>/reply", write.form),
        ("POST", "/letter/<park>/reply", write.send),
        ("GET", "/letter/<park>/sent", write.sent),
        ("GET", "/signed-out", about.signed_out),
        ("GET", "/help", about.help),
        ("GET", "/privacy", about.privacy),
        ("GET", "/static/<name>", about.static),
        ("GET", "/", about.home),
        *((("GET", "/crl/<name>", Lists(revocations).list),) if revocations is not None else ()),
    )
    app = Klein()
    for method, path, page in pages:
        app.route(path, methods=[method], endpoint=f"{method} {path}", merge_slashes=False)(page)
    errors: Any = Errors(writer).page
    app.handle_errors(Exception)(errors)
    return PageSite(
        app.resource(), reactor, hosts=settings.hosts, rules=body_rules(settings),
        stranger=lambda request: writer.sorry(request, Sorry(421, detail="Host header")),
    )


def body_rules(settings: PortalSettings) -> Any:
    """What bodies a path takes."""
    opened = BodyRules(settings.open_limit, sealed_field="letter")
    reply = BodyRules(settings.reply_limit)
    small = BodyRules()

    def rules(path: str) -> BodyRules:
        if path == "/open":
            return opened
        return reply if REPLY.fullmatch(path) else small

    return rules


class Errors:
    """Turns what was raised into a page that says sorry."""

    def __init__(self, writer: PageWriter) -> None:
        self.writer = writer

    def page(self, request: PageRequest, failure: Failure) -> bytes:
        sorry = translate(failure.value)
        if sorry.status == 500:
            log.failure("the portal failed: {log_failure.value}", failure=failure)
        if sorry.status == 429:
            request.setHeader("Retry-After", "600")
        return self.writer.sorry(request, sorry)


def translate(error: BaseException | None) -> Sorry:
    """The page for an error, whoever raised it."""
    if isinstance(error, Sorry):
        return error
    if isinstance(error, HTTPException):
        # 405 or nothing there: the router's redirects would repeat a host name that a stranger sent.
        return Sorry(405 if error.code == 405 else 404)
    for kind, status, key in ERRORS:
        if isinstance(error, kind):
            return Sorry(status, key, detail=f"{error.reason} {error.detail}")
    return Sorry(500, detail=type(error).__name__)
