"""A browser without a window: it talks to a site over bytes, keeps cookies, and sends the header fields of its kind."""

from __future__ import annotations

import html
import re
from typing import Any
from urllib.parse import urlencode

import attrs
from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from securegw.portal import portal_site
from tests.support.world import World


@attrs.frozen
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    cookies: tuple[str, ...]
    body: bytes
    raw: bytes

    @property
    def text(self) -> str:
        return html.unescape(self.body.decode())

    def field(self, name: str) -> str:
        """The value of a hidden or text field of the page."""
        for tag in re.findall(r"<input[^>]*>", self.body.decode()):
            if f'name="{name}"' in tag:
                found = re.search(r'value="([^"]*)"', tag)
                return html.unescape(found[1]) if found else ""
        raise AssertionError(f"no field {name}")


def site_of(world: World) -> Any:
    house = world.house
    return portal_site(house.webmail, house.accounts, house.texts, house.settings.portal, world.clock)


class Browser:
    """One browser behind one address."""

    def __init__(
        self, world: World, site: Any = None, *, address: str = "192.0.2.9", host: str = "portal.test"
    ) -> None:
        self.world = world
        self.site = site or site_of(world)
        self.address = address
        self.host = host
        self.jar: dict[str, str] = {}

    def get(self, path: str, **headers: str) -> Answer:
        return self.request("GET", path, headers=headers)

    def follow(self, answer: Answer) -> Answer:
        """Go where a 303 leads."""
        assert answer.status == 303, (answer.status, answer.text)
        assert answer.headers["location"].startswith("/")
        return self.get(answer.headers["location"])

    def post(self, path: str, fields: dict[str, str], *, origin: str | None = "own", **headers: str) -> Answer:
        """A small form of one of our pages."""
        return self.request(
            "POST", path, urlencode(fields).encode(), "application/x-www-form-urlencoded", origin, headers
        )

    def post_parts(
        self,
        path: str,
        fields: dict[str, str],
        files: tuple[tuple[str, str, str, bytes], ...] = (),
        *,
        origin: str | None = "own",
        **headers: str,
    ) -> Answer:
        """A form with files: (field, name, kind, content)."""
        body = parts(fields, files)
        return self.request("POST", path, body, f"multipart/form-data; boundary={BOUNDARY}", origin, headers)

    def request(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        kind: str = "",
        origin: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        lines = {"Host": self.host, "Connection": "close"}
        if self.jar:
            lines["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.jar.items())
        if kind:
            lines.update({"Content-Type": kind, "Content-Length": str(len(body))})
        if origin is not None:
            lines["Origin"] = f"https://{self.host}" if origin == "own" else origin
        lines.update({name.replace("_", "-"): value for name, value in (headers or {}).items()})
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items() if value)
        return self.talk(f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + body)

    def talk(self, raw: bytes) -> Answer:
        """Send these very bytes over a new connection."""
        transport = StringTransport(peerAddress=IPv4Address("TCP", self.address, 50000))
        protocol = self.site.buildProtocol(None)
        protocol.makeConnection(transport)
        for at in range(0, len(raw), 50_000):
            if not transport.disconnected:
                protocol.dataReceived(raw[at : at + 50_000])
        self.world.clock.advance(0)
        protocol.connectionLost(Failure(ConnectionDone()))
        answer = read(transport.value())
        self._keep(answer)
        return answer

    def _keep(self, answer: Answer) -> None:
        for cookie in answer.cookies:
            name, _, rest = cookie.partition("=")
            value = rest.partition(";")[0]
            if not value:
                self.jar.pop(name, None)
            else:
                self.jar[name] = value


BOUNDARY = "----WebKitFormBoundaryAbCdEf0123456789"


def parts(fields: dict[str, str], files: tuple[tuple[str, str, str, bytes], ...] = ()) -> bytes:
    pieces = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields.items()
    ]
    pieces += [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{field}"; filename="{name}"\r\n'
        f"Content-Type: {kind}\r\n\r\n".encode()
        + content
        + b"\r\n"
        for field, name, kind, content in files
    ]
    return b"".join(pieces) + f"--{BOUNDARY}--\r\n".encode()


def read(raw: bytes) -> Answer:
    assert raw, "the connection was closed without an answer"
    head, _, body = raw.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    pairs = [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]
    headers = dict(pairs)
    if headers.get("transfer-encoding") == "chunked":
        body = _unchunk(body)
    cookies = tuple(value for name, value in pairs if name == "set-cookie")
    return Answer(int(first.split()[1]), headers, cookies, body, raw)


def _unchunk(body: bytes) -> bytes:
    whole = b""
    while body:
        size, _, body = body.partition(b"\r\n")
        whole, body = whole + body[: int(size, 16)], body[int(size, 16) + 2 :]
    return whole


# --- a letter and its reader ----------------------------------------------------------------------------------------

ANN, BOB, EVE = "ann@inside.test", "bob@outside.test", "eve@outside.test"
PASSWORD = "vier kleine graue Wolken"


@attrs.frozen
class Sent:
    """A letter on its way: the carrier's fields, and the code that the sender got (empty from the second on)."""

    fields: dict[str, str]
    page: str
    code: str


def send_letter(world: World, recipient: str = BOB, raw: bytes | None = None, **named: Any) -> Sent:
    """Let Ann send a sealed letter; take the carrier out of the mail as the recipient's mail program does."""
    from securegw.mail import mime

    world.relay.taken.clear()
    if raw is None:
        world.send(ANN, recipient, subject=f"[confidential] {named.pop('subject', 'Befund')}", **named)
    else:
        world.hand_in(ANN, [recipient], raw)
    world.later(1)
    [carrier] = world.sent_to(recipient)
    [attachment] = mime.bodies(mime.parse(carrier.raw)).attachments
    page = attachment.content().decode()
    codes = [re.search(r"[2-9A-Z]{4}-[2-9A-Z]{4}-[2-9A-Z]{2}", mail.raw.decode()) for mail in world.sent_to(ANN)]
    answer = Answer(0, {}, (), page.encode(), b"")
    fields = {name: answer.field(name) for name in ("v", "host", "account", "letter")}
    return Sent(fields, page, next((found[0] for found in codes if found), ""))


def open_letter(browser: Browser, letter: Sent, language: str = "en") -> str:
    """Post the carrier from disk; returns the address of the closed letter."""
    fields = {"lang": language, **letter.fields}
    answer = browser.post_parts("/open", fields, origin="null", Sec_Fetch_Site="cross-site")
    assert answer.status == 303, answer.text
    return answer.headers["location"]


def register(browser: Browser, letter: Sent, address: str = BOB, password: str = PASSWORD) -> str:
    """The whole first time; returns the address of the open letter."""
    place = open_letter(browser, letter)
    signed = browser.post(f"{place}/sign-in", {"address": address, "password": letter.code})
    page = browser.follow(signed)
    fields = {
        "token": page.field("token"),
        "letter": page.field("letter"),
        "name": "Bob Beispiel",
        "password": password,
        "again": password,
        "terms": "yes",
    }
    answer = browser.post("/first", fields)
    assert answer.status == 303, answer.text
    return place


def sign_in(browser: Browser, place: str, address: str = BOB, password: str = PASSWORD) -> Answer:
    return browser.post(f"{place}/sign-in", {"address": address, "password": password})
