"""A small browser for the demo's story: pages, forms, cookies and redirects over TLS, without script.

Not a browser to look at (a person takes a real one), but as strict as one: it checks the server's certificate against
the demo's authority, sends the ``Origin`` that a browser would send, and follows forms instead of guessing addresses.
Fetch standard (Origin ``null`` from a file), RFC 6265 (cookies), RFC 7578 (multipart/form-data).
"""

from __future__ import annotations

import http.client
import secrets
import ssl
from collections.abc import Mapping, Sequence
from html.parser import HTMLParser
from http.cookies import SimpleCookie
from pathlib import Path
from urllib.parse import urlencode, urljoin, urlsplit

import attrs

REDIRECTS = 5
SECONDS = 60.0
MULTIPART = "multipart/form-data"


class Surprise(AssertionError):
    """Something is not as the story says it must be; the text names it."""


@attrs.frozen
class File:
    """A file for an upload field."""

    name: str
    kind: str
    content: bytes


@attrs.define
class Form:
    """A form as the page has it: fields with the values they come with."""

    action: str = ""
    method: str = "get"
    enctype: str = "application/x-www-form-urlencoded"
    fields: dict[str, str] = attrs.field(factory=dict)
    uploads: list[str] = attrs.field(factory=list)
    buttons: list[tuple[str, str]] = attrs.field(factory=list)


@attrs.frozen
class Page:
    """What came back, and from where; ``url`` is empty for a file."""

    url: str
    status: int
    headers: Mapping[str, str]
    body: bytes
    forms: tuple[Form, ...] = ()
    links: tuple[str, ...] = ()
    text: str = ""

    def form(self, field: str) -> Form:
        """The first form with this field."""
        for form in self.forms:
            if field in form.fields or field in form.uploads:
                return form
        raise Surprise(
            f"no form with {field!r} on {self.url or 'the file'} ({self.status}): {self.text[:300]!r}"
        )

    def link(self, part: str) -> str:
        """The first link whose address has this part, as an absolute address."""
        for link in self.links:
            if part in link:
                return urljoin(self.url, link)
        raise Surprise(f"no link with {part!r} on {self.url}: {self.links}")


class Browser:
    """One window: remembers cookies, trusts one authority."""

    def __init__(self, ca_file: Path) -> None:
        self.context = ssl.create_default_context(cafile=ca_file)
        self.cookies: dict[str, str] = {}

    def open_file(self, html: bytes) -> Page:
        """A page from the disk: it has no origin."""
        return _read(Page("", 200, {}, html))

    def get(self, url: str, *, referer: str = "") -> Page:
        """Fetch a page, and what it redirects to."""
        return self._follow("GET", url, {"Referer": referer} if referer else {}, b"")

    def submit(
        self,
        page: Page,
        form: Form,
        values: Mapping[str, str] | None = None,
        files: Sequence[tuple[str, File]] = (),
    ) -> Page:
        """Fill in a form of a page and press its first button, or the one that ``values`` names."""
        button = form.buttons[0] if form.buttons and form.buttons[0][0] else None
        given = {**form.fields, **(dict([button]) if button else {}), **(values or {})}
        fields = {name: _lines(value) for name, value in given.items()}
        url = urljoin(page.url, form.action or page.url)
        if form.method != "post":
            return self.get(f"{url.partition('?')[0]}?{urlencode(fields)}", referer=page.url)
        kind, body = _encode(form, fields, files)
        headers = {"Content-Type": kind, "Origin": _origin(page.url) or "null"}
        if page.url:
            headers |= {"Referer": page.url, "Sec-Fetch-Site": "same-origin"}
        else:
            headers |= {"Sec-Fetch-Site": "cross-site"}
        return self._follow("POST", url, headers, body)

    def _follow(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> Page:
        for _ in range(REDIRECTS):
            page = self._fetch(method, url, headers, body)
            if page.status not in (302, 303):
                return _read(page)
            method, url, headers, body = "GET", urljoin(url, page.headers["location"]), {}, b""
        raise Surprise(f"{url}: more than {REDIRECTS} redirects")

    def _fetch(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> Page:
        parts = urlsplit(url)
        if parts.scheme != "https":
            raise Surprise(f"{url}: not https")
        connection = http.client.HTTPSConnection(
            parts.hostname or "", parts.port, timeout=SECONDS, context=self.context
        )
        try:
            target = f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}"
            connection.request(method, target, body or None, {**self._always(), **headers})
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        self._keep_cookies(answer.headers.get_all("Set-Cookie") or ())
        return Page(url, answer.status, {name.lower(): value for name, value in answer.getheaders()}, content)

    def _always(self) -> dict[str, str]:
        headers = {"Accept": "text/html,*/*;q=0.5", "Accept-Language": "en", "User-Agent": "securegw-demo"}
        if self.cookies:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        return headers

    def _keep_cookies(self, lines: Sequence[str]) -> None:
        for line in lines:
            for name, morsel in SimpleCookie(line).items():
                if not (morsel["secure"] and morsel["httponly"]):
                    raise Surprise(f"the cookie {name} is not Secure and HttpOnly")
                if morsel["max-age"] == "0" or not morsel.value:
                    self.cookies.pop(name, None)
                else:
                    self.cookies[name] = morsel.value


def _lines(value: str) -> str:
    """A value as forms send it: lines end with CRLF."""
    return value.replace("\r\n", "\n").replace("\n", "\r\n")


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}" if url else ""


def _encode(form: Form, fields: Mapping[str, str], files: Sequence[tuple[str, File]]) -> tuple[str, bytes]:
    if form.enctype.lower() != MULTIPART:
        return form.enctype, urlencode(fields).encode("ascii")
    boundary = f"----demo{secrets.token_hex(16)}"
    pieces = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields.items()
    ]
    for name, file in files:
        head = f'Content-Disposition: form-data; name="{name}"; filename="{file.name}"\r\nContent-Type: {file.kind}'
        pieces.append(f"--{boundary}\r\n{head}\r\n\r\n".encode() + file.content + b"\r\n")
    return f"{MULTIPART}; boundary={boundary}", b"".join(pieces) + f"--{boundary}--\r\n".encode()


def _read(page: Page) -> Page:
    """Find forms, links and text of an HTML page."""
    if "html" not in page.headers.get("content-type", "text/html"):
        return page
    reader = _Reader()
    reader.feed(page.body.decode("utf-8", "replace"))
    reader.close()
    return attrs.evolve(
        page,
        forms=tuple(reader.forms),
        links=tuple(reader.links),
        text=" ".join("".join(reader.texts).split()),
    )


class _Reader(HTMLParser):
    """Collects what a person could click, fill in or read."""

    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self.links: list[str] = []
        self.texts: list[str] = []
        self.form: Form | None = None
        self.area: str | None = None
        self.select: str | None = None
        self.silent = 0
        self.begins = False

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attributes}
        if tag in ("style", "script"):
            self.silent += 1
        elif tag in ("a", "iframe"):
            self.links.append(values.get("href") or values.get("src") or "")
        elif tag == "form":
            self.form = Form(
                values.get("action", ""),
                values.get("method", "get").lower(),
                values.get("enctype", Form().enctype),
            )
            self.forms.append(self.form)
        elif self.form is not None:
            self._control(self.form, tag, values)

    def _control(self, form: Form, tag: str, values: Mapping[str, str]) -> None:
        name, kind = values.get("name", ""), values.get("type", "text").lower()
        if tag == "button" or (tag == "input" and kind == "submit"):
            if values.get("type", "submit") == "submit":
                form.buttons.append((name, values.get("value", "")))
        elif tag == "textarea" and name:
            self.area, self.begins = name, True
            form.fields[name] = ""
        elif tag == "select" and name:
            self.select = name
        elif tag == "option" and self.select:
            if "selected" in values or self.select not in form.fields:
                form.fields[self.select] = values.get("value", "")
        elif tag == "input" and name:
            self._input(form, name, kind, values)

    def _input(self, form: Form, name: str, kind: str, values: Mapping[str, str]) -> None:
        if kind == "file":
            form.uploads.append(name)
        elif kind in ("checkbox", "radio"):
            if "checked" in values:
                form.fields[name] = values.get("value", "on")
        else:
            form.fields[name] = values.get("value", "")

    def handle_endtag(self, tag: str) -> None:
        if tag in ("style", "script"):
            self.silent -= 1
        elif tag == "form":
            self.form = None
        elif tag == "textarea":
            self.area = None
        elif tag == "select":
            self.select = None
        elif tag in ("p", "div", "li", "h1", "h2", "td", "dd", "dt", "label", "button"):
            self.texts.append(" ")

    def handle_data(self, data: str) -> None:
        if self.area is not None and self.form is not None:
            # The first line end after <textarea> is none (HTML standard, 13.1.2.5).
            self.form.fields[self.area] += data.removeprefix("\n") if self.begins else data
            self.begins = False
        elif not self.silent:
            self.texts.append(data)
