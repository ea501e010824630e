"""Opening a carrier and reading its letter."""

from __future__ import annotations

import re

import pytest

from securegw.portal import portal_site
from tests.portal.browser import ANN, BOB, EVE, Browser, open_letter, register, send_letter, sign_in, site_of
from tests.support.world import INSIDE

HTML_MAIL = (
    b"From: Ann Keller <ann@inside.test>\r\nTo: bob@outside.test\r\nSubject: [confidential] Bericht\r\n"
    b"Date: Fri, 15 Jan 2027 09:30:00 +0100\r\nMessage-ID: <1@inside.test>\r\nMIME-Version: 1.0\r\n"
    b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n'
    b"--b\r\nContent-Type: text/html; charset=utf-8\r\n\r\n"
    b"<p onclick=alert(1)>Guten Tag</p><script>alert(1)</script><img src=https://evil.test/x.gif>\r\n"
    b'--b\r\nContent-Type: text/html\r\nContent-Disposition: attachment; filename="a\\\\b<x>.html"\r\n\r\n'
    b"<script>alert(document.cookie)</script>\r\n"
    b"--b\r\nContent-Type: application/pdf\r\nContent-Disposition: attachment;\r\n"
    b" filename*=UTF-8''Vertrag%20%C3%84nderung.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\nJVBERi0=\r\n--b--\r\n"
)


def test_the_carrier_is_a_form_and_nothing_else(world):
    letter = send_letter(world)
    page = letter.page
    assert 'action="https://portal.test/open"' in page
    assert "b...@outside.test" in page and BOB not in page
    assert "<script" not in page and "<img" not in page and "password" not in page.lower()
    assert "Content-Security-Policy" not in page
    assert re.findall(r"https?://[^\"<\s]+", page) == ["https://portal.test/open"]
    assert re.findall(r'name="lang" value="(\w+)"', page) == ["en", "de"]
    assert max(map(len, page.splitlines())) < 998


def test_first_time_then_second_letter_without_signing_in(world):
    browser = Browser(world)
    place = register(browser, send_letter(world, text="Guten Tag Bob"))
    page = browser.get(place)
    assert page.status == 200
    assert "Guten Tag Bob" in page.text and "Befund" in page.text and "[confidential]" not in page.text
    again = open_letter(browser, send_letter(world, text="zweiter Brief"))
    assert "zweiter Brief" in browser.get(again).text


def test_the_second_letter_brings_no_code(world):
    register(Browser(world), send_letter(world))
    assert send_letter(world).code == ""


def test_every_page_has_the_headers(world):
    browser = Browser(world)
    place = register(browser, send_letter(world))
    for path in (place, f"{place}/reply", "/help", "/privacy", "/signed-out", "/nothing", f"{place}/part/99"):
        headers = browser.get(path).headers
        assert headers["content-security-policy"].startswith("default-src 'none'; style-src 'self';")
        assert "script-src" not in headers["content-security-policy"]
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["referrer-policy"] == "same-origin"  # no-referrer makes our own forms send Origin: null
        assert headers["cache-control"] == "no-store"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["strict-transport-security"] == "max-age=31536000"
        assert "server" not in headers


def test_no_page_names_another_host_or_has_a_script(world):
    browser = Browser(world)
    place = register(browser, send_letter(world, raw=HTML_MAIL))
    for path in (place, f"{place}/body", f"{place}/reply", "/help", "/privacy", "/first?letter=x", "/nothing"):
        body = browser.get(path).body.decode()
        assert not re.search(r"(?:src|href|action)=\"(?:https?:)?//", body), path
        assert "<script" not in body and not re.search(r"\son\w+=", body)


def test_html_stands_in_a_sandboxed_frame(world):
    browser = Browser(world)
    place = register(browser, send_letter(world, raw=HTML_MAIL))
    page = browser.get(place)
    assert f'src="{place}/body" sandbox="allow-popups allow-popups-to-escape-sandbox"' in page.text
    assert "1 picture is not loaded" in page.text
    assert "15 January 2027, 09:30 (UTC+01:00)" in page.text
    frame = browser.get(f"{place}/body")
    assert frame.headers["content-security-policy"].startswith("sandbox allow-popups")
    assert "script-src" not in frame.headers["content-security-policy"]
    assert "frame-ancestors 'self'" in frame.headers["content-security-policy"]
    assert frame.headers["x-frame-options"] == "SAMEORIGIN"
    assert "Guten Tag" in frame.text
    assert "alert" not in frame.text and "evil.test" not in frame.text
    assert 'content="allow-origins=https://portal.test"' in frame.text


def test_attachments_are_downloads_whatever_they_are(world):
    browser = Browser(world)
    place = register(browser, send_letter(world, raw=HTML_MAIL))
    page = browser.get(place)
    assert "Vertrag Änderung.pdf" in page.text and "PDF document" in page.text
    assert "can run programs" in page.text  # the HTML file
    html, pdf = browser.get(f"{place}/part/0"), browser.get(f"{place}/part/1")
    assert html.headers["content-type"] == pdf.headers["content-type"] == "application/octet-stream"
    assert html.headers["content-security-policy"].startswith("sandbox;")
    assert html.headers["content-disposition"].startswith("attachment;")
    assert "\\" not in html.headers["content-disposition"]
    assert pdf.headers["content-disposition"].endswith("filename*=UTF-8''Vertrag%20%C3%84nderung.pdf")
    assert pdf.body == b"%PDF-"
    assert browser.get(f"{place}/part/2").status == 410


def test_the_mail_file_is_the_letter_byte_for_byte(world):
    browser = Browser(world)
    place = register(browser, send_letter(world, raw=HTML_MAIL))
    answer = browser.get(f"{place}/mail.eml")
    assert answer.headers["content-disposition"].startswith('attachment; filename="Bericht.eml"')
    assert answer.body.endswith(HTML_MAIL[HTML_MAIL.index(b"--b\r\n") :])
    assert b"\r\nMessage-ID: <1@inside.test>\r\n" in answer.body


def test_a_large_download_goes_in_pieces(world):
    big = HTML_MAIL.replace(b"JVBERi0=", b"\r\n".join([b"A" * 76] * 20_000))
    browser = Browser(world)
    place = register(browser, send_letter(world, raw=big))
    answer = browser.get(f"{place}/part/1")
    assert len(answer.body) == int(answer.headers["content-length"]) == 20_000 * 57
    assert browser.request("HEAD", f"{place}/part/1").body == b""


def test_a_letter_built_like_a_bomb_shows_its_text_or_its_file(world):
    bomb = HTML_MAIL.replace(b"<p onclick=alert(1)>", b"<div>" * 2_000)
    browser = Browser(world)
    place = register(browser, send_letter(world, raw=bomb))
    page = browser.get(place)
    assert page.status == 200 and "cannot be shown here" in page.text


# --- who may not ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text[:-40],
        lambda text: text[: len(text) // 2],
        lambda text: text[:200] + ("A" if text[200] != "A" else "B") + text[201:],
        lambda text: "",
        lambda text: "ä" * 100,
        lambda text: text + "AAAA",
    ],
)
def test_a_changed_carrier_opens_nothing(world, change):
    browser = Browser(world)
    letter = send_letter(world)
    text = "".join(letter.fields["letter"].split())
    answer = browser.post_parts("/open", {"lang": "en", "letter": change(text)}, origin="null")
    assert answer.status == 400
    assert "arrived incomplete or changed" in answer.text
    assert re.search(r'class="code">[2-9A-Z]{6}<', answer.text)
    assert world.house.park.parked == {}


def test_folded_text_opens(world):
    letter = send_letter(world)
    text = "".join(letter.fields["letter"].split())
    folded = "\r\n".join(text[at : at + 60] for at in range(0, len(text), 60))
    assert Browser(world).post_parts("/open", {"letter": folded}, origin="null").status == 303


def test_two_letters_in_one_form_are_no_letter(world):
    from tests.portal.browser import BOUNDARY, parts

    letter = send_letter(world).fields
    body = parts(letter).removesuffix(f"--{BOUNDARY}--\r\n".encode()) + parts(letter)
    answer = Browser(world).request("POST", "/open", body, f"multipart/form-data; boundary={BOUNDARY}", "null")
    assert answer.status == 400


def test_the_letter_of_another_account_stays_shut(world):
    site = site_of(world)
    bob, eve = Browser(world, site), Browser(world, site)
    place = register(bob, send_letter(world))
    register(eve, send_letter(world, EVE), EVE)
    closed = eve.get(place)
    assert closed.status == 403
    assert "another address" in closed.text and "hello" not in closed.text
    for inside in ("body", "part/0", "mail.eml", "sent"):
        assert eve.get(f"{place}/{inside}").status == 404
        assert Browser(world, site).get(f"{place}/{inside}").status == 404


def test_a_letter_lies_here_for_half_an_hour(world):
    browser = Browser(world)
    place = register(browser, send_letter(world))
    world.clock.advance(31 * 60)
    gone, unknown = browser.get(place), browser.get("/letter/AAAAAAAAAAAAAAAAAAAAAA")
    assert gone.status == unknown.status == browser.get("/letter/%2e%2e").status == 410
    assert browser.get("/letter/..%2f..%2fetc").status == 404
    assert len(gone.body) == len(unknown.body)
    assert "30 minutes only" in gone.text


def test_a_withdrawn_letter_does_not_open(world):
    browser = Browser(world)
    letter = send_letter(world)
    place = register(browser, letter)
    from sqlalchemy import update

    from securegw.store import schema

    world.database.write(
        lambda conn: conn.execute(update(schema.letter).values(revoked=world.clock.seconds()))
    ).result()
    assert browser.get(place).status == 410


def test_an_address_opens_ten_letters_in_ten_minutes(world):
    site = site_of(world)
    letter = send_letter(world)
    browser = Browser(world, site)
    for _ in range(10):
        open_letter(browser, letter)
    answer = browser.post_parts("/open", letter.fields, origin="null")
    assert answer.status == 429 and answer.headers["retry-after"] == "600"
    assert Browser(world, site, address="192.0.2.77").post_parts("/open", letter.fields, origin="null").status == 303
    world.clock.advance(601)
    assert browser.post_parts("/open", letter.fields, origin="null").status == 303


# --- languages --------------------------------------------------------------------------------------------------------


def test_the_language_of_the_button_stays(world):
    browser = Browser(world)
    place = open_letter(browser, send_letter(world), "de")
    page = browser.get(place)
    assert '<html lang="de"' in page.text and "Öffnen Sie Ihren Brief" in page.text
    assert browser.jar["__Host-lang"] == "de"
    switched = browser.get(f"{place}?lang=en")
    assert "Open your letter" in switched.text
    assert "Open your letter" in browser.get(place).text


def test_the_browser_s_wish_counts_before_a_choice(world):
    assert '<html lang="de"' in Browser(world).get("/help", Accept_Language="fr;q=0.9, de-CH;q=0.8").text
    assert '<html lang="en"' in Browser(world).get("/help", Accept_Language="fr").text
    assert '<html lang="en"' in Browser(world).get("/help?lang=xx").text


def test_first_read_is_noted(world):
    from sqlalchemy import select

    from securegw.store import schema

    browser = Browser(world)
    place = register(browser, send_letter(world))
    ask = lambda conn: conn.execute(select(schema.letter.c.first_read)).scalar()  # noqa: E731
    assert world.database.read(ask).result() is None
    browser.get(place)
    assert world.database.read(ask).result() == world.clock.seconds()


def test_sender_is_the_envelope_s_whatever_the_header_says(world):
    browser = Browser(world)
    raw = HTML_MAIL.replace(b"Ann Keller <ann@inside.test>", b'"boss@bank.example" <ann@inside.test>')
    page = browser.get(register(browser, send_letter(world, raw=raw)))
    assert "boss@bank.example" not in page.text and ANN in page.text
    assert INSIDE.inside


def test_signing_in_later(world):
    site = site_of(world)
    letter = send_letter(world)
    register(Browser(world, site), letter)
    browser = Browser(world, site)
    place = open_letter(browser, letter)
    closed = browser.get(place)
    assert closed.field("address") == BOB
    assert 'type="password"' in closed.text
    assert browser.follow(sign_in(browser, place)).status == 200


def test_a_former_host_name_answers_itself(world):
    import attrs

    house = world.house
    own = attrs.evolve(house.settings.portal, extra_urls=("https://old.test",))
    site = portal_site(house.webmail, house.accounts, house.texts, own, world.clock)
    browser = Browser(world, site, host="old.test")
    place = register(browser, send_letter(world))
    assert browser.get(place).status == 200
    assert Browser(world, site, host="older.test").get(place).status == 421
    letter = send_letter(world)
    elsewhere = Browser(world, site, host="old.test")
    answer = elsewhere.post(
        f"{open_letter(elsewhere, letter)}/sign-in", {"address": BOB, "password": "x"}, origin="https://portal.test"
    )
    assert answer.status == 403 and "did not come from this site" in answer.text
