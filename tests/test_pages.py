"""What all pages share: bodies within limits, header fields, hosts, deadlines, downloads."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.address import IPv4Address
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from securegw.mail.texts import web_folder
from securegw.pages import BodyRules, PortalSettings, Rate, Sorry, StaticFiles
from securegw.pages.bodies import MOST_PARTS, SMALL, body_for, file_name
from securegw.pages.headers import disposition
from securegw.pages.rates import MOST_KEYS, network_of
from securegw.pages.site import HEAD_SECONDS, MOST_CONNECTIONS, MOST_OF_ONE
from tests.portal.browser import BOUNDARY, Browser, parts, site_of

MULTIPART = f"multipart/form-data; boundary={BOUNDARY}"
URLENCODED = "application/x-www-form-urlencoded"
POST = f"POST /first HTTP/1.1\r\nHost: portal.test\r\nContent-Type: {URLENCODED}\r\n"


def eat(kind: str, raw: bytes, rules: BodyRules | None = None, step: int = 1000):
    body = body_for(kind, rules or BodyRules())
    for at in range(0, len(raw), step):
        body.feed(raw[at : at + step])
    return body


# --- bodies -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", [1, 7, 100_000])
def test_forms_of_both_kinds(step):
    plain = eat(URLENCODED, b"a=b+c&d=%C3%A4&a=last&e=", step=step).form()
    assert plain.fields == {"a": "last", "d": "ä", "e": ""} and plain["nothing"] == ""
    whole = parts({"text": "Grüße\r\nzwei"}, (("files", "C:\\x\\Änd.pdf", "application/pdf", b"\r\n--x\0"),))
    form = eat(MULTIPART, whole, step=step).form()
    assert form.fields == {"text": "Grüße\r\nzwei"}
    [upload] = form.files
    assert (upload.name, upload.kind, upload.content) == ("Änd.pdf", "application/pdf", b"\r\n--x\0")


def test_without_room_for_temporary_files_it_is_not_now(monkeypatch):
    """D5: a browser that brings a letter gets a page, whenever the disk is full."""

    def full(_data):
        raise OSError(28, "No space left on device")

    rules = BodyRules(10_000_000, sealed_field="letter")
    body = body_for(MULTIPART, rules)
    raw = parts({"letter": "QUJDREVG" * 200_000})
    body.feed(raw[:1000])
    monkeypatch.setattr(body.sealed, "write", full)
    body.feed(raw[1000:])
    with pytest.raises(Sorry) as caught:
        body.form()
    assert (caught.value.status, body.sealed) == (503, None)


def test_the_sealed_field_is_kept_apart_and_unfolded():
    rules = BodyRules(10_000_000, sealed_field="letter")
    form = eat(MULTIPART, parts({"letter": "QUJD\r\n REVG\t\r\n" * 200_000, "lang": "de"}), rules, 65_536).form()
    assert form.sealed == "QUJDREVG" * 200_000
    assert form.fields == {"lang": "de"}


def test_a_field_of_that_name_elsewhere_is_only_a_field():
    assert eat(MULTIPART, parts({"letter": "x"})).form().sealed is None


@pytest.mark.parametrize(
    ("kind", "raw", "status"),
    [
        ("", b"", 415),
        ("text/plain", b"a=b", 415),
        ("application/json", b"{}", 415),
        ("multipart/form-data", b"", 415),
        ("multipart/form-data; boundary=" + "x" * 80, b"", 415),
        ('multipart/form-data; boundary="a\r\nb"', b"", 415),
        (URLENCODED, b"a=" + b"x" * SMALL, 413),
        (URLENCODED, b"&".join(b"a=b" for _ in range(MOST_PARTS + 1)), 400),
        (URLENCODED, b"a=\xff", 400),
        (MULTIPART, b"", 400),
        (MULTIPART, b"garbage" * 100, 400),
        (MULTIPART, parts({"a": "b"})[:-10], 400),
        (MULTIPART, parts({f"f{n}": "x" for n in range(MOST_PARTS + 1)}), 413),
        (MULTIPART, parts({"a": "x" * SMALL}), 413),
        (MULTIPART, parts({"a": "b"}).replace(b"form-data;", b"form-data\0;"), 400),
        (MULTIPART, b"--" + BOUNDARY.encode() + b"\r\n" + b"X: y\r\n" * 100 + b"\r\n", 413),
        (MULTIPART, b"--" + BOUNDARY.encode() + b"\r\nX: " + b"y" * 10_000 + b"\r\n\r\n", 413),
    ],
)
def test_what_is_no_form_is_refused(kind, raw, status):
    with pytest.raises(Sorry) as caught:
        eat(kind, raw).form()
    assert caught.value.status == status


def test_what_came_before_the_limit_is_kept_for_the_page():
    whole = parts({"text": "lange geschrieben"}, (("files", "big", "x/y", b"\0" * 5_000),))
    with pytest.raises(Sorry) as caught:
        eat(MULTIPART, whole, BodyRules(3_000)).form()
    assert caught.value.status == 413 and caught.value.fields == {"text": "lange geschrieben"}


def test_a_body_far_beyond_its_limit_is_not_read_to_its_end():
    body = eat(URLENCODED, b"x" * 2_500_000, step=100_000)
    assert not body.is_hopeless(2_500_000) and body.is_hopeless(3_000_001)
    assert len(body.kept) == 0


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300), st.lists(st.integers(0, 400), max_size=4), st.integers(1, 50))
def test_no_bytes_break_the_parser(noise, places, step):
    whole = bytearray(parts({"text": "hello"}, (("files", "a.txt", "text/plain", b"content"),)))
    for place in places:
        whole[place % len(whole) : place % len(whole)] = noise[:20]
    try:
        eat(MULTIPART, bytes(whole), step=step).form()
    except Sorry as sorry:
        assert sorry.status in (400, 413)


@pytest.mark.parametrize(
    ("given_name", "kept"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\Windows\\x.exe", "x.exe"),
        ("a\r\nX: y.txt", "aX: y.txt"),
        ("", "file"),
        ("...", "file"),
        ("evil\u202etxt.exe", "eviltxt.exe"),
        ("x" * 400, "x" * 150),
        (" Befund .pdf", "Befund .pdf"),
    ],
)
def test_names_of_files(given_name, kept):
    assert file_name(given_name) == kept


def test_disposition_has_no_way_out_of_its_quotes():
    value = disposition('a"; filename="evil.exe\\\u00e4%41;')
    assert value == (
        'attachment; filename="a__ filename=_evil.exe___41_"; '
        "filename*=UTF-8''a%22%3B%20filename%3D%22evil.exe%5C%C3%A4%2541%3B"
    )


# --- rates and peers --------------------------------------------------------------------------------------------------


def test_rates():
    clock = Clock()
    rate = Rate(clock.seconds, 2, 10)
    assert [rate.allows("a"), rate.allows("a"), rate.allows("a"), rate.allows("b")] == [True, True, False, True]
    clock.advance(11)
    assert rate.allows("a")
    for number in range(MOST_KEYS + 10):
        rate.allows(str(number))
    assert len(rate.seen) == MOST_KEYS


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
    ],
)
def test_networks(address, network):
    assert network_of(address) == network


# --- settings ---------------------------------------------------------------------------------------------------------


def test_hosts_of_a_site():
    own = PortalSettings(
        certificate="c",
        key="k",
        organisation="o",
        url="https://Letters.example.ch:8443",
        extra_urls=("https://old.example.ch:443", "https://older.example.ch"),
    )
    assert own.host == "letters.example.ch:8443"
    assert own.hosts == {"letters.example.ch:8443", "old.example.ch", "older.example.ch"}


# --- the wire ---------------------------------------------------------------------------------------------------------


def connect(world, site, address="192.0.2.9"):
    transport = StringTransport(peerAddress=IPv4Address("TCP", address, 50000))
    protocol = site.buildProtocol(None)
    protocol.makeConnection(transport)
    return protocol, transport


@pytest.mark.parametrize(
    "host", ["evil.test", "portal.test.evil.test", "portal.test:8443", "[::1", "", "portal.test@evil.test"]
)
def test_another_host_name_gets_no_page(world, host):
    browser = Browser(world, host=host)
    answer = browser.get("/help")
    assert answer.status == 421 and "evil" not in answer.text
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")


def test_two_host_fields_are_none(world):
    answer = Browser(world).talk(
        b"GET /help HTTP/1.1\r\nHost: portal.test\r\nHost: evil.test\r\nConnection: close\r\n\r\n"
    )
    assert answer.status == 421


@pytest.mark.parametrize(
    "path",
    [
        "//evil.test/help",
        "/help/",
        "/letter//x",
        "/static/../portal.css",
        "/static/%2e%2e",
        "/letter/x/part/-1",
        "/letter/x/part/a",
        "*",
        "/%00",
        "/HELP",
        "/.well-known/x",
    ],
)
def test_odd_paths_are_nothing_and_lead_nowhere(world, path):
    answer = Browser(world).get(path)
    assert answer.status in (404, 405) and "location" not in answer.headers


def test_a_path_that_is_no_utf8(world):
    answer = Browser(world).talk(b"GET /letter/%ff%fe HTTP/1.1\r\nHost: portal.test\r\nConnection: close\r\n\r\n")
    assert answer.status in (400, 404, 410)


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Length: 5\r\nContent-Length: 6\r\n",
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked, identity\r\n",
        b"Content-Length: 0x5\r\n",
        b"Content-Length: +5\r\n",
        b"Transfer-Encoding: xchunked\r\n",
        b"Bad Name: x\r\n",
        b"X: a\0b\r\n",
    ],
)
def test_requests_with_two_readings_are_refused(world, head):
    site = site_of(world)
    protocol, transport = connect(world, site)
    protocol.dataReceived(
        b"POST /open HTTP/1.1\r\nHost: portal.test\r\n" + head + b"\r\nhelloGET /help HTTP/1.1\r\n\r\n"
    )
    assert transport.value().startswith(b"HTTP/1.1 400")
    assert transport.value().count(b"HTTP/1.1") == 1 and transport.disconnecting


def test_methods(world):
    browser = Browser(world)
    assert browser.request("HEAD", "/help").body == b""
    for method in ("PUT", "DELETE", "OPTIONS", "TRACE", "POST"):
        assert browser.request(method, "/help", origin="own").status == 405
    assert browser.get("/open").status == 405


def test_a_get_with_a_body_is_answered_and_the_body_is_nobody_s(world):
    raw = b"GET /help HTTP/1.1\r\nHost: portal.test\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello"
    assert Browser(world).talk(raw).status == 200


def test_a_post_beyond_its_limit_is_told_so(world):
    answer = Browser(world).post("/first", {"a": "x" * 1_200_000})
    assert answer.status == 413 and "too large" in answer.text


def test_a_post_far_beyond_its_limit_is_cut_off(world):
    site = site_of(world)
    protocol, transport = connect(world, site)
    head = f"{POST}Content-Length: 9000000000\r\n\r\n"
    protocol.dataReceived(head.encode())
    assert transport.disconnected or transport.disconnecting


def test_chunks_are_counted_too(world):
    site = site_of(world)
    protocol, transport = connect(world, site)
    protocol.dataReceived(f"{POST}Transfer-Encoding: chunked\r\n\r\n".encode())
    for _ in range(40):
        if not (transport.disconnected or transport.disconnecting):
            protocol.dataReceived(b"186a0\r\n" + b"x" * 100_000 + b"\r\n")
    assert transport.disconnected or transport.disconnecting


@pytest.mark.parametrize("head", [b"X: " + b"y" * 20_000 + b"\r\n", b"X: y\r\n" * 101])
def test_a_head_beyond_its_limits_is_refused(world, head):
    """16 KiB and a hundred fields; Twisted's word for it is 400."""
    protocol, transport = connect(world, site_of(world))
    protocol.dataReceived(b"GET /help HTTP/1.1\r\nHost: portal.test\r\n" + head + b"\r\n")
    assert transport.value().startswith(b"HTTP/1.1 4") or transport.value() == b""
    assert b"HTTP/1.1 200" not in transport.value() and (transport.disconnecting or transport.disconnected)


def test_a_dripping_request_is_ended(world):
    site = site_of(world)
    protocol, transport = connect(world, site)
    for byte in b"GET /help HTTP/1.1\r\nHost: portal.test\r\n":
        protocol.dataReceived(bytes([byte]))
        world.clock.advance(1)
    assert transport.disconnected or transport.disconnecting
    assert HEAD_SECONDS < 40


def test_a_dripping_body_is_ended(world):
    site = site_of(world)
    protocol, transport = connect(world, site)
    protocol.dataReceived(f"{POST}Content-Length: 500000\r\n\r\n".encode())
    for _ in range(12):
        protocol.dataReceived(b"x")
        world.clock.advance(30)
    assert transport.disconnected or transport.disconnecting


def test_pipelined_requests_are_answered_in_turn(world):
    site = site_of(world)
    protocol, transport = connect(world, site)
    protocol.dataReceived(b"GET /help HTTP/1.1\r\nHost: portal.test\r\n\r\n" * 20)
    world.clock.advance(0)
    assert transport.value().count(b"HTTP/1.1 200 OK") == 20
    world.clock.advance(HEAD_SECONDS + 1)  # the deadline was for requests, not for the connection
    assert not transport.disconnecting


def test_connections_are_bounded(world):
    site = site_of(world)
    kept = [connect(world, site) for _ in range(MOST_OF_ONE)]
    _, refused = connect(world, site)
    assert refused.disconnected or refused.disconnecting
    assert not any(transport.disconnecting for _, transport in kept)
    _, other = connect(world, site, "192.0.2.10")
    assert not other.disconnecting
    assert MOST_CONNECTIONS > MOST_OF_ONE


# --- files ------------------------------------------------------------------------------------------------------------


def test_static_files_are_cached_for_ever_under_their_mark(world):
    browser = Browser(world)
    files = StaticFiles(web_folder() / "static")
    current = browser.get(files.address("portal.css"))
    assert current.status == 200 and current.headers["content-type"] == "text/css; charset=utf-8"
    assert "immutable" in current.headers["cache-control"]
    assert browser.get("/static/portal.css?v=old").headers["cache-control"] == "no-cache"
    assert browser.get("/static/nothing.css").status == 404


def test_an_error_of_ours_is_a_page_with_a_reference(world, monkeypatch):
    site = site_of(world)

    def broken(*_arguments):
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr("securegw.flow.webmail.Webmail.parked", broken)
    answer = Browser(world, site).get("/letter/AAAAAAAAAAAA")
    assert answer.status == 500 and "our fault" in answer.text and "secret" not in answer.text
