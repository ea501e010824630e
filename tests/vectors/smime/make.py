"""Made the mails of this folder, once: ``python -m tests.vectors.smime.make`` (it needs openssl and gpgsm).

Kept so that everybody can see what is in them. Running it again makes new keys and other bytes of the same shapes.
"""

from __future__ import annotations

import base64
import hashlib
import subprocess
import tempfile
from pathlib import Path

from securegw.crypto import ber, der, oids, smime
from securegw.crypto.authority import issue, key_to_pem, make_authority, to_pem
from securegw.crypto.choice import Choice
from securegw.crypto.cms_write import encrypt_cbc, encrypt_gcm, sign
from securegw.crypto.identifiers import issuer_and_serial
from tests.crypto.der_shapes import attribute, beside, cms_mail, compressed, in_pieces, signed_data, signer_info
from tests.crypto.der_shapes import undetermined as open_ended
from tests.crypto.people import Authority, Person
from tests.peers.test_gpgsm import Peer, named

FOLDER = Path(__file__).parent
AT, DAYS = 1_790_000_000.0, 190 * 365.0
ENTITY = b"Content-Type: text/plain; charset=utf-8\r\n\r\nThe blood count is fine.\r\n"
PEOPLE = {
    "rsa": "rsa-2048",
    "reader": "rsa-2048",
    "p384": "p-384",
    "p521": "p-521",
    "ed25519": "ed25519",
    "ed448": "ed448",
    "x25519": "x25519",
    "x448": "x448",
}


def headers(program: str, more: str = "") -> bytes:
    lines = f"From: Ann <ann@inside.test>\nTo: bob@outside.test\nSubject: {program}\n{more}MIME-Version: 1.0\n"
    return lines.replace("\n", "\r\n").encode()


# Thunderbird


def thunderbird_signature(person: Person, entity: bytes) -> bytes:
    """NSS: lengths are not told outside, the signer's preferred key for answers is named twice."""
    # RFC 8551 2.5.3: [0] in place of the SEQUENCE.
    preferred = b"\xa0" + issuer_and_serial(person.der)[1:]
    attributes = (
        attribute(oids.CONTENT_TYPE, oids.DATA),
        attribute(oids.SIGNING_TIME, der.time(AT)),
        attribute(oids.MESSAGE_DIGEST, der.octets(hashlib.sha256(entity).digest())),
        attribute(
            oids.CAPABILITIES,
            der.sequence(
                *map(der.algorithm, (oids.AES256_CBC, oids.AES128_CBC)), der.algorithm(oids.DES3_CBC)
            ),
        ),
        attribute(der.oid("1.3.6.1.4.1.311.16.4"), issuer_and_serial(person.der)),
        attribute(der.oid("1.2.840.113549.1.9.16.2.11"), preferred),
    )
    info = signer_info(person.key, person.der, *attributes, how=der.algorithm(oids.RSA, der.NULL))
    return loose(signed_data(info, certificates=[person.der]))


def loose(data: bytes, size: int = 0) -> bytes:
    """SignedData with the outer lengths not told; a content inside in pieces of this size."""
    kind, wrapped = ber.whole(data).parts(2)
    version, digests, content, *others = wrapped.parts(1)[0].parts(4)
    kind_of_content, *inside = content.parts(1)
    pieces = [open_ended(0xA0, in_pieces(0x24, one.parts(1)[0].octets(), size)) for one in inside]
    body = (version.raw, digests.raw, open_ended(der.SEQUENCE, kind_of_content.raw, *pieces))
    return open_ended(
        der.SEQUENCE,
        kind.raw,
        open_ended(0xA0, open_ended(der.SEQUENCE, *body, *(one.raw for one in others))),
    )


def loose_sealed(data: bytes, size: int) -> bytes:
    """EnvelopedData the same way."""
    kind, wrapped = ber.whole(data).parts(2)
    version, recipients, encrypted = wrapped.parts(1)[0].parts(3)
    kind_of_content, cipher, text = encrypted.parts(3)
    content = open_ended(
        der.SEQUENCE, kind_of_content.raw, cipher.raw, in_pieces(0xA0, text.content, size)
    )
    body = open_ended(der.SEQUENCE, version.raw, recipients.raw, content)
    return open_ended(der.SEQUENCE, kind.raw, open_ended(0xA0, body))


def lines_of(data: bytes, columns: int = 64) -> bytes:
    text = base64.b64encode(data)
    return b"".join(text[at : at + columns] + b"\r\n" for at in range(0, len(text), columns))


def thunderbird_signed(person: Person) -> bytes:
    """The part behind the header."""
    entity = (
        b'Content-Type: multipart/alternative; boundary="------------kFq0vTz"\r\n\r\n'
        b"This is a multi-part message in MIME format.\r\n"
        b"--------------kFq0vTz\r\nContent-Type: text/plain; charset=UTF-8; format=flowed\r\n"
        b"Content-Transfer-Encoding: base64\r\n\r\nVGhlIGJsb29kIGNvdW50IGlzIGZpbmUuDQo=\r\n"
        b"--------------kFq0vTz\r\nContent-Type: text/html; charset=UTF-8\r\nContent-Transfer-Encoding: 7bit\r\n\r\n"
        b"<!DOCTYPE html><html><body><p>The blood count is fine.</p></body></html>\r\n"
        b"--------------kFq0vTz--\r\n"
    )
    boundary = b"------------ms060503020106020304090801"
    return b"".join(
        (
            b'Content-Type: multipart/signed; protocol="application/pkcs7-signature"; micalg=sha-256; boundary="',
            boundary,
            b'"\r\n\r\nThis is a cryptographically signed message in MIME format.\r\n\r\n--',
            boundary,
            b"\r\n",
            entity,
            b"\r\n--",
            boundary,
            b'\r\nContent-Type: application/pkcs7-signature; name="smime.p7s"\r\nContent-Transfer-Encoding: base64\r\n'
            b'Content-Disposition: attachment; filename="smime.p7s"\r\n'
            b"Content-Description: S/MIME Cryptographic Signature\r\n\r\n",
            lines_of(thunderbird_signature(person, entity)),
            b"\r\n--",
            boundary,
            b"--\r\n",
        )
    )


def thunderbird_sealed(inner: bytes, *readers: Person) -> bytes:
    fields = (
        b'Content-Type: application/pkcs7-mime; name="smime.p7m"; smime-type=enveloped-data\r\n'
        b'Content-Transfer-Encoding: base64\r\nContent-Disposition: attachment; filename="smime.p7m"\r\n'
        b"Content-Description: S/MIME Encrypted Message\r\n\r\n"
    )
    return fields + lines_of(loose_sealed(encrypt_cbc(inner, [one.der for one in readers]), 1_000))


THUNDERBIRD = (
    "Message-ID: <3f0c2a9e-0a45-4a1c-8f3b-2d5f1f6c9f10@inside.test>\nDate: Mon, 21 Sep 2026 14:13:20 +0200\n"
    "User-Agent: Mozilla Thunderbird\nContent-Language: en-GB\n"
)

# Outlook

OUTLOOK = (
    "Thread-Topic: count\nThread-Index: AdwqB0Yk3m5mY0b6R0W1w2mV0T1lZQ==\nDate: Mon, 21 Sep 2026 12:13:20 +0000\n"
    "Message-ID: <AM0PR01MB0001@AM0PR01MB0001.prod.example>\nAccept-Language: en-GB\nX-MS-Has-Attach: yes\n"
    "X-MS-TNEF-Correlator:\n"
)
WORD = (
    b'Content-Type: multipart/alternative;\r\n\tboundary="_000_AM0PR01MB0001_"\r\n\r\n'
    b'--_000_AM0PR01MB0001_\r\nContent-Type: text/plain; charset="us-ascii"\r\n'
    b"Content-Transfer-Encoding: quoted-printable\r\n\r\nThe blood count is fine.=20\r\n\r\n"
    b'--_000_AM0PR01MB0001_\r\nContent-Type: text/html; charset="us-ascii"\r\n'
    b"Content-Transfer-Encoding: quoted-printable\r\n\r\n<html><body>The blood count is fine.</body></html>\r\n\r\n"
    b"--_000_AM0PR01MB0001_--\r\n"
)


def outlook_signed(person: Person) -> bytes:
    """The older names of the types, the digest by its number, the preamble."""
    signature, _ = sign(WORD, person.key, person.der, [], AT)
    boundary = b"----=_NextPart_000_00C7_01DC2A0F.4E5D6C70"
    return b"".join(
        (
            b'Content-Type: multipart/signed;\r\n\tprotocol="application/x-pkcs7-signature";\r\n'
            b'\tmicalg=2.16.840.1.101.3.4.2.1;\r\n\tboundary="',
            boundary,
            b'"\r\n\r\nThis is a multipart message in MIME format.\r\n\r\n--',
            boundary,
            b"\r\n",
            WORD,
            b"\r\n--",
            boundary,
            b'\r\nContent-Type: application/pkcs7-signature;\r\n\tname="smime.p7s"\r\n'
            b'Content-Transfer-Encoding: base64\r\nContent-Disposition: attachment;\r\n\tfilename="smime.p7s"\r\n\r\n',
            lines_of(loose(signature), 76),
            b"\r\n--",
            boundary,
            b"--\r\n",
        )
    )


def outlook_opaque(person: Person) -> bytes:
    """What arrives when a server on the way knew the kind no more: a file called smime.p7m."""
    signed, _ = sign(WORD, person.key, person.der, [], AT, detached=False)
    fields = (
        b'Content-Type: application/octet-stream; name="smime.p7m"\r\nContent-Transfer-Encoding: base64\r\n'
        b'Content-Disposition: attachment; filename="smime.p7m"\r\n\r\n'
    )
    return fields + lines_of(loose(signed, 256), 76)


def outlook_sealed(inner: bytes, *readers: Person) -> bytes:
    fields = (
        b'Content-Type: application/pkcs7-mime;\r\n\tsmime-type=enveloped-data;\r\n\tname="smime.p7m"\r\n'
        b'Content-Transfer-Encoding: base64\r\nContent-Disposition: attachment;\r\n\tfilename="smime.p7m"\r\n\r\n'
    )
    return fields + lines_of(loose_sealed(encrypt_cbc(inner, [one.der for one in readers]), 4_096), 76)


# Real programs


def by_openssl(*words: object, given: bytes) -> bytes:
    done = subprocess.run(["openssl", "cms", *map(str, words)], input=given, capture_output=True, check=True)
    return headers("openssl", "").removesuffix(b"MIME-Version: 1.0\r\n") + done.stdout.replace(b"\r\n", b"\n").replace(
        b"\n", b"\r\n"
    )


def main() -> None:
    root = Authority(*make_authority("Vectors", years=195, now=AT - 86_400, kind="rsa-2048"))
    (FOLDER / "root.pem").write_bytes(to_pem(root.der))
    people = {}
    for name, kind in PEOPLE.items():
        address = "bob@outside.test" if name == "reader" else "ann@inside.test"
        pair = issue(root.key, root.der, address=address, name=name, kind=kind, days=DAYS, now=AT - 3_600)
        people[name] = Person(address, *pair)
        (FOLDER / f"{name}.pem").write_bytes(key_to_pem(pair[0]) + to_pem(pair[1]))
    for name, mail in mails(people, root).items():
        (FOLDER / f"{name}.eml").write_bytes(mail.replace(b"\r\n", b"\n"))


def mails(people: dict[str, Person], root: Authority) -> dict[str, bytes]:
    rsa, reader = people["rsa"], people["reader"]
    plain = headers("securegw") + ENTITY
    triple = smime.sign(plain, rsa.key, rsa.der, [], AT)
    triple = smime.encrypt(triple, [reader.der], Choice("aes-256-gcm"))
    ed25519 = people["ed25519"]
    packed = cms_mail(compressed(ENTITY), header=b"")
    around, _ = sign(packed, rsa.key, rsa.der, [], AT)
    return {
        "thunderbird-signed": headers("thunderbird", THUNDERBIRD) + thunderbird_signed(rsa),
        "thunderbird-signed-sealed": headers("thunderbird", THUNDERBIRD)
        + thunderbird_sealed(thunderbird_signed(rsa), reader, rsa),
        "outlook-signed": headers("outlook", OUTLOOK) + outlook_signed(rsa),
        "outlook-opaque-octet-stream": headers("outlook", OUTLOOK) + outlook_opaque(rsa),
        "outlook-sealed": headers("outlook", OUTLOOK) + outlook_sealed(WORD, rsa, reader),
        "outlook-signed-sealed": headers("outlook", OUTLOOK) + outlook_sealed(outlook_signed(rsa), reader, rsa),
        "ed25519-detached": smime.sign(plain, ed25519.key, ed25519.der, [], AT),
        "ed448-opaque": smime.sign(plain, people["ed448"].key, people["ed448"].der, [], AT, form="opaque"),
        "pss-opaque": smime.sign(plain, rsa.key, rsa.der, [], AT, form="opaque", scheme="pss"),
        "x25519-gcm": cms_mail(encrypt_gcm(ENTITY, [people["x25519"].der])),
        "x448-cbc": cms_mail(encrypt_cbc(ENTITY, [people["x448"].der])),
        "oaep-and-curves-gcm": cms_mail(
            encrypt_gcm(
                ENTITY,
                [people[name].der for name in ("reader", "p384", "p521", "x25519")],
                Choice("aes-256-gcm", {reader.der: "rsa-oaep"}),
            )
        ),
        "triple-wrapped": smime.sign(triple, ed25519.key, ed25519.der, [], AT),
        "compressed": cms_mail(compressed(ENTITY)),
        "compressed-in-signed": beside(around, packed),
        **openssl_mails(),
        **gpgsm_mails(rsa, reader, root),
    }


def openssl_mails() -> dict[str, bytes]:
    found = {}
    for name, digest in (("p384", "sha384"), ("p521", "sha512")):
        file = FOLDER / f"{name}.pem"
        found[f"openssl-{name}-detached"] = by_openssl("-sign", "-signer", file, "-md", digest, given=ENTITY)
        found[f"openssl-{name}-stream"] = by_openssl("-encrypt", "-stream", "-aes-128-cbc", file, given=ENTITY)
    return found


def gpgsm_mails(rsa: Person, reader: Person, root: Authority) -> dict[str, bytes]:
    with tempfile.TemporaryDirectory(prefix="gpgsm") as place:
        peer = Peer(Path(place), root)
        try:
            for one in (rsa, reader):
                peer.knows(one)
            peer.owns(rsa)
            signed = peer.run("--local-user", named(rsa), "--detach-sign", peer.put("text", ENTITY))
            inner = peer.put("inner", beside(signed, header=b"", entity=ENTITY))
            sealed = peer.run("--recipient", named(reader), "--encrypt", inner)
        finally:
            peer.end()
    return {"gpgsm-signed": beside(signed, entity=ENTITY), "gpgsm-signed-sealed": cms_mail(sealed)}


if __name__ == "__main__":
    main()
