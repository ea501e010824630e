"""Signing in: codes, passwords, sessions, and what strangers learn from answers."""

from __future__ import annotations

import re

import pytest

from securegw.store import websessions
from tests.portal.browser import (
    BOB,
    EVE,
    PASSWORD,
    Browser,
    open_letter,
    register,
    send_letter,
    sign_in,
    site_of,
)


def first_page(world, browser):
    letter = send_letter(world)
    place = open_letter(browser, letter)
    page = browser.follow(sign_in(browser, place, BOB, letter.code))
    fields = {
        "token": page.field("token"),
        "letter": page.field("letter"),
        "name": "Bob",
        "password": PASSWORD,
        "again": PASSWORD,
        "terms": "yes",
    }
    return letter, place, fields


def test_the_code_is_folded_and_asked_for_by_name(world):
    browser = Browser(world)
    letter = send_letter(world)
    place = open_letter(browser, letter)
    closed = browser.get(place)
    assert 'autocomplete="one-time-code"' in closed.text
    answer = sign_in(browser, place, BOB.upper(), letter.code.replace("-", " ").lower())
    assert answer.status == 303 and answer.headers["location"].startswith("/first?letter=")


def test_the_code_opens_no_letter_before_there_is_a_password(world):
    browser = Browser(world)
    _, place, _ = first_page(world, browser)
    assert browser.get(place).headers["location"] == f"/first?letter={place.split('/')[-1]}"
    assert browser.get(f"{place}/mail.eml").status == 404


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"password": "kurz", "again": "kurz"}, "at least 15 characters"),
        ({"password": "x" * 300, "again": "x" * 300}, "at most 256 characters"),
        ({"again": "etwas ganz anderes"}, "not the same"),
        ({"terms": ""}, "agree"),
        ({"name": " \u200b "}, "tell your name"),
        ({"password": "aaaaaaaaaaaaaaaaaaa", "again": "aaaaaaaaaaaaaaaaaaa"}, "Too simple"),
        ({"password": "passwordpassword", "again": "passwordpassword"}, "guessed first"),
    ],
)
def test_what_is_wrong_with_a_registration_is_said(world, change, words):
    browser = Browser(world)
    _, _, fields = first_page(world, browser)
    answer = browser.post("/first", {**fields, **change})
    assert answer.status == 400
    assert words in answer.text
    assert 'aria-invalid="true"' in answer.text
    assert change.get("password", PASSWORD) not in answer.text
    if "name" not in change:
        assert answer.field("name") == "Bob"


def test_the_code_is_used_up(world):
    site = site_of(world)
    letter = send_letter(world)
    register(Browser(world, site), letter)
    browser = Browser(world, site)
    place = open_letter(browser, letter)
    assert sign_in(browser, place, BOB, letter.code).status == 403
    assert sign_in(browser, place).status == 303


def test_of_two_who_have_the_code_one_registers(world):
    site = site_of(world)
    quick, slow = Browser(world, site), Browser(world, site)
    letter, place, fields = first_page(world, quick)
    assert sign_in(slow, open_letter(slow, letter), BOB, letter.code).status == 303
    slow_fields = {**fields, "token": slow.get(f"/first?letter={fields['letter']}").field("token")}
    assert quick.post("/first", fields).status == 303
    late = slow.post("/first", {**slow_fields, "password": "fremdes Passwort hier", "again": "fremdes Passwort hier"})
    assert late.status == 303  # to the closed letter: that session has ended
    assert "Open the letter" in slow.follow(late).text
    assert quick.get(place).status == 200


def test_registration_begins_a_new_session_and_ends_all_others(world):
    site = site_of(world)
    browser, other = Browser(world, site), Browser(world, site)
    letter, place, fields = first_page(world, browser)
    sign_in(other, open_letter(other, letter), BOB, letter.code)
    before = browser.jar["__Host-s"]
    browser.post("/first", fields)
    assert browser.jar["__Host-s"] != before
    other.jar["__Host-s"] = before
    assert "Open the letter" in other.get(place).text


def test_the_cookie_is_a_host_cookie_and_lax(world):
    browser = Browser(world)
    letter = send_letter(world)
    place = open_letter(browser, letter)
    answer = sign_in(browser, place, BOB, letter.code)
    [cookie] = [cookie for cookie in answer.cookies if cookie.startswith("__Host-s=")]
    attributes = {part.strip().lower() for part in cookie.split(";")[1:]}
    assert attributes == {"path=/", "secure", "httponly", "samesite=lax"}
    assert len(cookie.split("=")[1].split(";")[0]) >= 43  # 256 bits


def test_the_table_of_sessions_has_no_token_and_opens_nothing(world):
    browser = Browser(world)
    place = register(browser, send_letter(world))
    from sqlalchemy import delete, insert, select

    from securegw.store import schema

    rows = world.database.read(lambda conn: conn.execute(select(schema.websession)).all()).result()
    assert browser.jar["__Host-s"].encode() not in b"".join(bytes(row.token_hash) for row in rows)

    def swap(conn):
        """Whoever can write to the table puts his own token's hash before her sealed key."""
        import hashlib

        [row] = rows
        conn.execute(delete(schema.websession))
        conn.execute(
            insert(schema.websession).values(**{**row._asdict(), "token_hash": hashlib.sha256(b"mine").digest()})
        )

    world.database.write(swap).result()
    browser.jar["__Host-s"] = "mine"
    assert "Open the letter" in browser.get(place).text


def test_unknown_address_and_wrong_password_get_the_same_answer(world):
    browser = Browser(world)
    place = register(browser, send_letter(world))
    stranger = Browser(world, browser.site)
    wrong = sign_in(stranger, place, BOB, "falsches Passwort hier")
    unknown = sign_in(stranger, place, EVE, "falsches Passwort hier")
    nonsense = sign_in(stranger, place, "kein Name", "falsches Passwort hier")
    assert wrong.status == unknown.status == nonsense.status == 403
    assert wrong.body.replace(BOB.encode(), b"") == unknown.body.replace(EVE.encode(), b"")
    assert "falsches" not in wrong.text


def test_too_many_tries_bring_a_pause_that_grows(world):
    browser = Browser(world)
    place = register(browser, send_letter(world))
    stranger = Browser(world, browser.site)
    for _ in range(5):
        assert sign_in(stranger, place, BOB, "falsch").status == 403
    paused = sign_in(stranger, place)
    assert paused.status == 429 and int(paused.headers["retry-after"]) == 60
    assert "wait 1 minute," in paused.text
    world.clock.advance(61)
    assert sign_in(stranger, place, BOB, "falsch").status == 403
    assert int(sign_in(stranger, place).headers["retry-after"]) == 300
    world.clock.advance(301)
    assert sign_in(stranger, place).status == 303


def test_a_stranger_s_tries_do_not_lock_out_who_has_a_letter(world):
    browser = Browser(world)
    letter = send_letter(world)
    register(browser, letter)
    eve = Browser(world, browser.site, address="198.51.100.1")
    eves = register(eve, send_letter(world, EVE), EVE)
    for _ in range(8):
        sign_in(eve, eves, BOB, "geraten")
    owner = Browser(world, browser.site)
    assert sign_in(owner, open_letter(owner, letter)).status == 303


def test_one_source_may_not_try_everybody(world):
    browser = Browser(world)
    place = open_letter(browser, send_letter(world))
    answers = [sign_in(browser, place, f"somebody{n}@outside.test", "geraten").status for n in range(25)]
    assert answers == [403] * 20 + [429] * 5


def test_a_session_ends_when_idle_and_after_half_a_day(world):
    browser = Browser(world)
    letter = send_letter(world)
    register(browser, letter)
    for _ in range(23):
        world.clock.advance(29 * 60)
        assert browser.get(open_letter(browser, letter)).status == 200
        assert "hello" in browser.get(open_letter(browser, letter)).text
    world.clock.advance(31 * 60)
    assert "Open the letter" in browser.get(open_letter(browser, letter)).text
    sign_in(browser, open_letter(browser, letter))
    for _ in range(26):
        world.clock.advance(28 * 60)
        page = browser.get(open_letter(browser, letter)).text
    assert "Open the letter" in page


def test_signing_out_ends_the_session_for_good(world):
    browser = Browser(world)
    place = register(browser, send_letter(world))
    token = browser.jar["__Host-s"]
    page = browser.get(place)
    assert browser.post("/sign-out", {"token": "0" * 64}).status == 403
    assert browser.get(place).status == 200 and "hello" in browser.get(place).text
    goodbye = browser.follow(browser.post("/sign-out", {"token": page.field("token")}))
    assert "Nothing stays in this browser" in goodbye.text
    assert "__Host-s" not in browser.jar
    browser.jar["__Host-s"] = token
    assert "Open the letter" in browser.get(place).text


@pytest.mark.parametrize(
    "origin", [None, "null", "https://evil.test", "http://portal.test", "https://portal.test.evil.test"]
)
def test_forms_from_elsewhere_are_refused(world, origin):
    browser = Browser(world)
    letter = send_letter(world)
    place = open_letter(browser, letter)
    fields = {"address": BOB, "password": letter.code}
    answer = browser.post(f"{place}/sign-in", fields, origin=origin)
    assert answer.status == 403 and "did not come from this site" in answer.text
    assert "__Host-s" not in browser.jar
    assert browser.post(f"{place}/sign-in", fields, Sec_Fetch_Site="cross-site").status == 403
    for path in ("/first", "/sign-out", f"{place}/reply"):
        assert browser.post(path, {}, origin=origin).status == 403


def test_no_address_of_a_stranger_is_a_place_to_go(world):
    browser = Browser(world)
    _, _, fields = first_page(world, browser)
    for evil in ("//evil.test", "/\\evil.test", "https://evil.test", "x%0d%0aSet-Cookie:a=b", "../first"):
        page = browser.get(f"/first?letter={evil}")
        assert page.field("letter") == ""
    assert browser.post("/first", {**fields, "letter": "//evil.test/aaaa"}).status == 410


def test_blocked_accounts_are_like_unknown_ones(world):
    from sqlalchemy import update

    from securegw.store import schema

    browser = Browser(world)
    place = register(browser, send_letter(world))
    world.database.write(lambda conn: conn.execute(update(schema.account).values(blocked=True))).result()
    assert "Open the letter" in browser.get(place).text
    other = Browser(world, browser.site)
    assert sign_in(other, place).status == 403


def test_old_sessions_are_swept(world):
    browser = Browser(world)
    letter = send_letter(world)
    register(browser, letter)
    world.clock.advance(13 * 3600)
    sign_in(browser, open_letter(browser, letter))
    rows = world.database.read(lambda conn: websessions.remove_all(conn, "nobody")).result()
    assert rows == 0
    from sqlalchemy import func, select

    from securegw.store import schema

    count = world.database.read(lambda conn: conn.execute(select(func.count()).select_from(schema.websession)).scalar())
    assert count.result() == 1


def test_form_tokens_are_the_session_s(world):
    site = site_of(world)
    bob, eve = Browser(world, site), Browser(world, site)
    _, _, fields = first_page(world, bob)
    letter = send_letter(world, EVE)
    page = eve.follow(sign_in(eve, open_letter(eve, letter), EVE, letter.code))
    assert re.fullmatch(r"[0-9a-f]{64}", page.field("token"))
    assert bob.post("/first", {**fields, "token": page.field("token")}).status == 403
    assert bob.post("/first", {**fields, "token": "ä"}).status == 403
