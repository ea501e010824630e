"""Lists of what was revoked: made on revocation and before they end, served to whoever asks, named in certificates."""

from __future__ import annotations

import datetime as dt

import attrs
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from securegw.crypto import authority, smime
from securegw.crypto.certificate import load, read_certificate
from securegw.crypto.keyfile import load_key
from securegw.crypto.revocation import Revoked, check_answer, make_list, make_request
from securegw.keys.issue import held
from securegw.keys.revocations import DAY
from securegw.keys.settings import list_name, list_url
from securegw.mail.errors import BadKey
from securegw.portal import lists_site, portal_site
from securegw.store import keystore, revocations
from tests.keys.test_harvest import below, root_with_room
from tests.portal.browser import Browser
from tests.support.world import START, World, own_authority, person

ANN, BOB = "ann@inside.test", "bob@outside.test"


@pytest.fixture
def published(world: World) -> World:
    """A world that says where its lists are."""
    keys = attrs.evolve(world.house.settings.keys, crl_url="http://crl.test/crl", kind="p-256")
    world.house.issuer.settings = keys
    world.house.revocations.settings = keys
    return world


def own(world: World) -> keystore.Held:
    found = world.read(keystore.authority)
    assert found is not None
    return found


def name(world: World) -> str:
    return list_name(own(world).fingerprint)


def current(world: World) -> x509.CertificateRevocationList:
    world.later(60)
    world.wait(world.house.revocations.tick())
    der = world.wait(world.house.revocations.look(name(world)))
    return x509.load_der_x509_crl(der)


def revoke(world: World, der: bytes, reason: str = "key-compromise") -> int:
    read = read_certificate(der)
    line = revocations.Revocation(
        authority=own(world).fingerprint, serial=format(read.serial, "x"), reason=reason,
        not_after=read.not_after, time=world.clock.seconds(),
    )  # fmt: skip
    world.write(revocations.revoke, line)
    return read.serial


def test_an_empty_list_is_a_list_too(published: World) -> None:
    crl = current(published)
    assert len(crl) == 0
    assert crl.is_signature_valid(load_key(own_authority()[0]).public_key())  # type: ignore[arg-type]
    assert crl.issuer == load(own(published).der).subject
    at = dt.datetime.fromtimestamp(published.clock.seconds(), dt.UTC)
    assert crl.next_update_utc is not None
    assert crl.last_update_utc <= at < crl.next_update_utc


def test_what_is_revoked_is_on_it_at_once_and_the_number_grows(published: World) -> None:
    published.send(ANN, BOB, subject="[sign] makes Ann's key")
    ann = published.read(keystore.with_private, ANN)[0]
    first = current(published)
    serial = revoke(published, ann.der)
    second = current(published)
    line = second.get_revoked_certificate_by_serial_number(serial)
    assert line is not None
    assert line.extensions.get_extension_for_class(x509.CRLReason).value.reason is x509.ReasonFlags.key_compromise
    numbers = [each.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number for each in (first, second)]
    assert numbers == [1, 2]


def test_it_is_made_anew_long_before_it_ends_and_not_otherwise(published: World) -> None:
    current(published)
    made = [published.read(revocations.published, own(published).fingerprint)]
    for days in (1, 3, 4, 8):
        published.clock.rightNow = START + days * DAY
        published.wait(published.house.revocations.tick())
        made.append(published.read(revocations.published, own(published).fingerprint))
        assert made[-1].next_update > published.clock.seconds() + 3 * DAY
    assert [one.number for one in made] == [1, 1, 1, 2, 3]


def test_a_clock_put_back_makes_a_list_for_today(published: World) -> None:
    current(published)
    published.clock.rightNow = START - 400 * DAY
    published.wait(published.house.revocations.tick())
    found = published.read(revocations.published, own(published).fingerprint)
    assert found.made < START - 399 * DAY


def test_certificates_say_where_it_is(published: World) -> None:
    published.send(ANN, BOB, subject="[sign] makes Ann's key")
    ann = load(published.read(keystore.with_private, ANN)[0].der)
    [point] = ann.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    assert point.full_name is not None
    assert point.full_name[0].value == f"http://crl.test/crl/{name(published)}"
    assert list_url(published.house.settings.keys, own(published).fingerprint) == ""


def test_served_by_the_portal_and_at_a_door_of_its_own(published: World) -> None:
    house = published.house
    der = current(published).public_bytes(Encoding.DER)
    portal = portal_site(
        house.webmail, house.accounts, house.texts, house.settings.portal, published.clock, house.revocations
    )
    plain = lists_site(house.revocations, house.revocations.settings, published.clock)
    for browser, path in (
        (Browser(published, portal), f"/crl/{name(published)}"),
        (Browser(published, plain, host="crl.test"), f"/crl/{name(published)}"),
        (Browser(published, plain, host="crl.test"), f"/{name(published)}"),
    ):
        answer = browser.get(path)
        assert (answer.status, answer.headers["content-type"]) == (200, "application/pkix-crl")
        assert answer.body == der
        assert answer.cookies == ()
        for wrong in ("/crl/0000000000000000.crl", "/crl/x.crl", f"/crl/{name(published)}x", "/crl/..%2f..%2fetc"):
            assert browser.get(wrong).status == 404
    assert Browser(published, plain, host="other.test").get(f"/crl/{name(published)}").status == 421


def test_who_is_revoked_signs_no_more_and_gets_a_new_key(published: World) -> None:
    published.send(ANN, BOB, subject="[sign] one")
    [old] = published.read(keystore.with_private, ANN)
    published.write(keystore.set_trust, old.id, "revoked")
    published.later(2)
    published.send(ANN, "dave@else.test", subject="[sign] two")
    new, kept = published.read(keystore.with_private, ANN)
    assert {kept.fingerprint, new.fingerprint} > {old.fingerprint}
    [mail] = published.sent_to("dave@else.test")
    roots = [row.der for row in published.roots()]
    opened = smime.open(mail.raw, [], roots, START + 2, published.author_of(ANN))
    assert opened.verdict.signed_ok
    signer = {read_certificate(der).fingerprint for der in opened.certificates}
    assert old.fingerprint not in signer
    assert len(published.wait(published.house.keyring.openers(published.author_of(ANN)))) == 2


def test_an_authority_below_another_one_issues_with_its_chain(published: World) -> None:
    root_key, root = root_with_room()
    sub_key, sub = below(root_key, root)
    row = held(published.master, sub_key, sub, source="authority", trust="trusted", now=START + 1)
    published.write(keystore.add, attrs.evolve(row, not_before=START))
    published.write(keystore.add, held(published.master, None, root, source="imported", trust="unknown", now=START))
    published.send(ANN, BOB, subject="[sign] x")
    [mail] = published.sent_to(BOB)
    opened = smime.open(mail.raw, [], [root], START, published.author_of(ANN))
    assert opened.verdict.signed_ok, "whoever trusts the root alone can follow the chain"
    [mine] = published.read(keystore.with_private, ANN)
    assert read_certificate(mine.der).issuer == "CN=Partner Sub CA"





# --- the plain functions ---------------------------------------------------------------------------------------------


def test_a_request_and_its_answer() -> None:
    key, request = make_request("Inside Sub CA", kind="p-256")
    parsed = x509.load_pem_x509_csr(request)
    assert parsed.is_signature_valid
    assert parsed.subject.rfc4514_string() == "CN=Inside Sub CA"
    assert parsed.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    other_key, other = authority.make_authority("Other", years=1, now=START, kind="p-256")
    check_answer(other_key, other, START)
    for wrong_key, wrong, at in (
        (key, other, START), (other_key, other, START + 9e9), (person(ANN).key, person(ANN).certificate, START)
    ):  # fmt: skip
        with pytest.raises(BadKey):
            check_answer(wrong_key, wrong, at)


@pytest.mark.parametrize("reason", ["unspecified", "superseded", "nonsense"])
def test_reasons(reason: str) -> None:
    key, der = own_authority()
    made = make_list(key, der, [Revoked(7, START, reason)], number=1, now=START, days=7)
    line = x509.load_der_x509_crl(made).get_revoked_certificate_by_serial_number(7)
    assert line is not None
    assert len(line.extensions) == (1 if reason == "superseded" else 0)
