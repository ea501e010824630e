"""A certificate speaks for the addresses that stand in it, and for no neighbour of theirs (threats 2026-2748)."""

from __future__ import annotations

import pytest

from securegw.crypto import der, smime
from securegw.crypto.certificate import read_certificate, speaks_for
from securegw.mail.address import parse_address, parse_path
from tests.crypto import der_shapes as shapes
from tests.crypto.people import NOW, Authority, Person

BOSS = parse_address("boss@corp.test")
NEIGHBOURS = {
    "space-behind": b"boss@corp.test ",
    "space-before": b" boss@corp.test",
    "space-inside": b"bo ss@corp.test",
    "nul": b"boss@corp.test\0.evil",
    "nul-at-the-end": b"boss@corp.test\0",
    "tab": b"boss@corp.test\t",
    "line-end": b"boss@corp.test\r\n",
    "nbsp": b"boss@corp.test\xa0",
    "nbsp-in-utf-8": "boss@corp.test\u00a0".encode(),
    "trailing-dot": b"boss@corp.test.",
    "case-of-the-local-part": b"Boss@corp.test",
    "quoted": b'"boss "@corp.test',
    "comment": b"boss@corp.test(x)",
    "brackets": b"<boss@corp.test>",
    "name-and-brackets": b"Boss <boss@corp.test>",
    "two": b"boss@corp.test,eve@evil.test",
    "route": b"@evil.test:boss@corp.test",
    "percent": b"boss%corp.test@evil.test",
    "zero-width": "bo\u200bss@corp.test".encode(),
    "domain-alone": b"corp.test",
    "wildcard": b"*@corp.test",
    "parent-domain": b"boss@test",
    "empty": b"",
}


def verdict_on(names: tuple[bytes, ...], ann: Person, authority: Authority, author: str = "boss@corp.test") -> bool:
    """Whether a mail signed with a certificate of these names is a good mail of this author."""
    certificate = shapes.certificate(authority, shapes.spki_of(ann.der), *names)
    info = shapes.signer_info(ann.key, certificate, *shapes.usual_attributes())
    mail = shapes.beside(shapes.signed_data(info, certificates=[certificate]))
    opened = smime.open(mail, [], [authority.der], NOW, parse_path(author, utf8=True))
    assert bool(opened.certificates) is opened.verdict.signed_ok
    return opened.verdict.signed_ok


def test_threat_2026_2748_the_address_itself(ann: Person, authority: Authority) -> None:
    for names in (
        (b"boss@corp.test",),
        (b"boss@CORP.Test",),
        (b"eve@evil.test", b"boss@corp.test"),
        (b"boss@corp.test ", b"boss@corp.test"),
    ):
        assert verdict_on(tuple(map(shapes.mailbox, names)), ann, authority)


@pytest.mark.parametrize("name", NEIGHBOURS)
def test_threat_2026_2748_a_neighbour_of_the_address(name: str, ann: Person, authority: Authority) -> None:
    assert not verdict_on((shapes.mailbox(NEIGHBOURS[name]),), ann, authority)


def test_threat_2026_2748_domains_in_other_alphabets(ann: Person, authority: Authority) -> None:
    """The A-label names the domain; a U-label does not belong into rfc822Name (RFC 5280 7.5)."""
    a_label = shapes.mailbox(b"boss@xn--bcher-kva.test")
    assert verdict_on((a_label,), ann, authority, "boss@b\u00fccher.test")
    assert verdict_on((a_label,), ann, authority, "boss@xn--bcher-kva.test")
    for wrong in ("boss@b\u00fccher.test".encode(), "boss@b\u00fccher.test".encode("latin-1")):
        assert not verdict_on((shapes.mailbox(wrong),), ann, authority, "boss@b\u00fccher.test")


@pytest.mark.parametrize(
    ("name", "author", "good"),
    [
        ("b\u00f6ss@corp.test", "b\u00f6ss@corp.test", True),
        ("b\u00f6ss@CORP.test", "b\u00f6ss@corp.test", True),
        ("b\u00f6ss@xn--bcher-kva.test", "b\u00f6ss@b\u00fccher.test", True),
        ("b\u00f6ss@b\u00fccher.test", "b\u00f6ss@b\u00fccher.test", False),
        ("boss@corp.test", "boss@corp.test", False),
        ("bo\u0308ss@corp.test", "b\u00f6ss@corp.test", False),
        ("b\u00f6ss@corp.test ", "b\u00f6ss@corp.test", False),
        ("b\u00f6ss@corp.test\0", "b\u00f6ss@corp.test", False),
        ("b\u043ess@corp.test", "boss@corp.test", False),
    ],
)
def test_threat_2026_2748_smtp_utf8_mailbox(
    name: str, author: str, good: bool, ann: Person, authority: Authority
) -> None:
    assert verdict_on((shapes.utf8_mailbox(name),), ann, authority, author) is good


def test_threat_2026_2748_a_common_name_is_no_address(ann: Person, authority: Authority) -> None:
    certificate = shapes.certificate(
        authority, shapes.spki_of(ann.der), subject=shapes.common_name("boss@corp.test")
    )
    assert read_certificate(certificate).addresses == ()


def test_threat_2026_2748_the_old_place_counts_only_alone(ann: Person, authority: Authority) -> None:
    subject = der.sequence(
        der.tlv(der.SET, der.sequence(der.oid("1.2.840.113549.1.9.1"), der.tlv(0x16, b"boss@corp.test")))
    )
    spki = shapes.spki_of(ann.der)
    alone = read_certificate(shapes.certificate(authority, spki, subject=subject))
    assert speaks_for(alone, BOSS)
    beside = shapes.certificate(authority, spki, shapes.mailbox(b"eve@evil.test"), subject=subject)
    assert not speaks_for(read_certificate(beside), BOSS)


def test_threat_5_5_36_who_speaks_for_everybody_speaks_for_nobody(ann: Person, authority: Authority) -> None:
    many = [shapes.mailbox(b"boss@corp.test"), *(shapes.mailbox(b"p%d@corp.test" % n) for n in range(2_000))]
    assert read_certificate(shapes.certificate(authority, shapes.spki_of(ann.der), *many)).addresses == ()


@pytest.fixture(scope="module")
def top() -> Authority:
    return shapes.root("Top")


@pytest.fixture(scope="module")
def bounded(top: Authority) -> Authority:
    """An authority that may name only two domains."""
    return shapes.below(top, "Bounded", more=[shapes.only_for(b"inside.test", b"corp.test")])


@pytest.mark.parametrize(
    ("names", "author", "good"),
    [
        ((shapes.mailbox(b"boss@corp.test"),), "boss@corp.test", True),
        ((shapes.mailbox(b"boss@evil.test"),), "boss@evil.test", False),
        # Where the verifier does not look, nothing is believed under an authority with bounds.
        ((shapes.utf8_mailbox("b\u00f6ss@evil.test"),), "b\u00f6ss@evil.test", False),
        ((shapes.mailbox(b"boss@corp.test"), shapes.utf8_mailbox("b\u00f6ss@evil.test")), "b\u00f6ss@evil.test", False),
        ((), "boss@evil.test", False),
    ],
)
def test_threat_5_5_34_name_constraints(
    names: tuple[bytes, ...], author: str, good: bool, ann: Person, top: Authority, bounded: Authority
) -> None:
    subject = None
    if not names:
        address = der.tlv(0x16, author.encode())
        subject = der.sequence(der.tlv(der.SET, der.sequence(der.oid("1.2.840.113549.1.9.1"), address)))
    certificate = shapes.certificate(bounded, shapes.spki_of(ann.der), *names, subject=subject)
    info = shapes.signer_info(ann.key, certificate, *shapes.usual_attributes())
    mail = shapes.beside(shapes.signed_data(info, certificates=[certificate, bounded.der]))
    verdict = smime.open(mail, [], [top.der], NOW, parse_path(author, utf8=True)).verdict
    assert (verdict.integrity, verdict.identity) == ("good", "good")
    assert (verdict.trust == "good") is good
    assert verdict.reasons == (() if good else ("bad-chain",))


