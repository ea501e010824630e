"""One request: its body within limits, its cookie, where its form came from, and headers on every answer.

Not routes. What a stranger sends is bounded before it is read (threats 5.6.49). RFC 6265bis 4.1.3 (``__Host-``).
"""

from __future__ import annotations

import hmac
from io import BytesIO
from typing import TYPE_CHECKING, Any, Protocol

from twisted.python.failure import Failure
from twisted.web import server

from securegw.pages.bodies import Body, BodyRules, Form, body_for
from securegw.pages.headers import dress
from securegw.pages.sorry import Sorry

if TYPE_CHECKING:
    from collections.abc import Callable

SESSION = "__Host-s"
LANGUAGE = "__Host-lang"
A_YEAR = 365 * 24 * 3600

_Request: Any = server.Request  # its methods have no types


class Site(Protocol):
    """What a request asks of its site."""

    hosts: frozenset[str]
    stranger: Callable[[PageRequest], bytes]
    reactor: Any


class PageRequest(_Request):  # type: ignore[misc]
    """A request to one of our pages. ``signed_in`` is the address that the top of the page shows."""

    site: Site
    signed_in: str = ""
    body: Body = Body(BodyRules(limit=0))

    # --- what Twisted calls -------------------------------------------------------------------------------------

    def expect(self, command: bytes, uri: bytes) -> None:
        """The head is read, the body comes: choose what eats it."""
        rules = self.channel.site.rules(uri.partition(b"?")[0].decode("ascii", "replace"))
        if command != b"POST":
            rules = BodyRules(limit=0)
        self.body = body_for(self.getHeader("content-type") or "", rules)

    def gotLength(self, length: int | None) -> None:
        self.content = BytesIO()  # stays empty: the body goes elsewhere
        if length is not None and self.body.is_hopeless(length):
            self.channel.abort()

    def handleContentChunk(self, data: bytes) -> None:
        self.body.feed(data)
        if self.body.is_hopeless(self.body.size):
            self.channel.abort()

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        self._parsePOSTFormSubmission = False  # the stock parser holds it in memory several times
        super().requestReceived(command, path, version)

    def process(self) -> None:
        self.site = self.channel.site
        dress(self.responseHeaders)
        if self.host_name in self.site.hosts:
            super().process()
            return
        page = self.site.stranger(self)
        self.setHeader("Content-Length", str(len(page)))
        self.write(page)
        self.finish()

    def write(self, data: bytes) -> None:
        if not self.startedWriting:
            self.responseHeaders.removeHeader("Server")  # names and numbers of software help nobody who reads letters
        super().write(data)

    def finish(self) -> None:
        super().finish()
        self.body.drop()

    def connectionLost(self, reason: Failure) -> None:
        self.body.drop()
        super().connectionLost(reason)

    # --- what pages ask -------------------------------------------------------------------------------------------

    @property
    def host_name(self) -> str:
        """The name under which the browser knows us, with its port if it is not the usual one (RFC 9110 7.2)."""
        names: list[str] = self.requestHeaders.getRawHeaders("host", [])
        return names[0].lower().removesuffix(":443") if len(names) == 1 else ""

    @property
    def peer(self) -> str:
        return str(getattr(self.getClientAddress(), "host", ""))

    def argument(self, name: str) -> str:
        """A value of the query."""
        values: list[bytes] = (self.args or {}).get(name.encode("ascii"), [b""])
        return values[0].decode("utf-8", "replace")

    def form(self, *, from_disk: bool = False) -> Form:
        """The form that was sent, if it was sent from a page of ours; ``from_disk`` is the carrier's (Origin null)."""
        if not from_disk:
            self.check_origin()
        return self.body.form()

    def check_origin(self) -> None:
        """Every form but the carrier's says by two header fields that it comes from our own pages."""
        origin = self.getHeader("origin") or ""
        fetched_from = self.getHeader("sec-fetch-site") or "same-origin"
        if origin.lower() != f"https://{self.host_name}" or fetched_from != "same-origin":
            raise Sorry(403, detail=f"Origin {origin[:80]!r}, Sec-Fetch-Site {fetched_from[:20]!r}")

    # --- session and language -------------------------------------------------------------------------------------

    @property
    def session(self) -> str:
        """The session cookie as it came, or empty."""
        return self._cookie(SESSION)

    @property
    def form_token(self) -> str:
        """Proves that a form was made for this session: derived from it, so nothing has to be kept."""
        return token_for(self.session) if self.session else ""

    def check_token(self, form: Form) -> None:
        if not self.session or not hmac.compare_digest(form["token"].encode(), self.form_token.encode()):
            raise Sorry(403, detail="form token")

    def begin_session(self, token: str) -> None:
        self.received_cookies[SESSION.encode()] = token.encode()  # a page written now belongs to the new session
        self._set_cookie(SESSION, token)

    def end_session(self) -> None:
        self.received_cookies.pop(SESSION.encode(), None)
        self.signed_in = ""
        self._set_cookie(SESSION, "", max_age=0)

    @property
    def language_cookie(self) -> str:
        return self._cookie(LANGUAGE)

    def keep_language(self, language: str) -> None:
        self.received_cookies[LANGUAGE.encode()] = language.encode()
        self._set_cookie(LANGUAGE, language, max_age=A_YEAR)

    def _cookie(self, name: str) -> str:
        value: bytes = self.received_cookies.get(name.encode(), b"")
        return value.decode("ascii", "replace")[:200]

    def _set_cookie(self, name: str, value: str, max_age: int | None = None) -> None:
        # Lax, not Strict: after the carrier's post from disk a Strict cookie would not be sent with the page.
        self.addCookie(
            name, value, path="/", secure=True, httpOnly=True, sameSite="lax",
            max_age=None if max_age is None else str(max_age),
        )

    # --- answers ---------------------------------------------------------------------------------------------------

    def see(self, path: str) -> bytes:
        """Send the browser to a page of ours (303: the next request is a GET, and 20 MB are not sent twice)."""
        self.setResponseCode(303)
        self.setHeader("Location", path)
        return b""


def token_for(session: str) -> str:
    return hmac.digest(session.encode(), b"securegw form token", "sha256").hex()
