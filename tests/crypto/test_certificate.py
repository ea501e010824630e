from __future__ import annotations

import pickle
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from securegw.crypto import cms_write, der, oids
from securegw.crypto.authority import KEY_KINDS, issue, key_bytes, key_to_pem, make_authority, make_tls, to_pem
from securegw.crypto.certificate import found_by, load, read_certificate, read_certificates, speaks_for
from securegw.crypto.chain import judge
from securegw.crypto.cms_decrypt import decrypt
from securegw.crypto.cms_verify import verify
from securegw.crypto.facts import describe
from securegw.crypto.key_transport import OAEP_IDENTIFIER
from securegw.crypto.keyfile import fits, load_key, read_pkcs12, read_private_key, write_pkcs12
from securegw.mail.address import parse_address
from securegw.mail.errors import BadAddress, BadKey
from tests.crypto import der_shapes as shapes
from tests.crypto.people import NOW, Authority, Person

DER = serialization.Encoding.DER
BOSS = parse_address("boss@corp.test")
TIME = datetime.fromtimestamp(NOW, UTC)
SOME_KEY = ec.generate_private_key(ec.SECP256R1())
CA_KEY = ec.generate_private_key(ec.SECP256R1())


def certificate(
    *names: x509.GeneralName,
    cn: str = "x",
    issuer: str = "Root",
    key=SOME_KEY,
    more=(),
    signer=CA_KEY,
    email: str | None = None,
) -> bytes:
    subject = [x509.NameAttribute(NameOID.COMMON_NAME, cn)]
    if email is not None:
        subject.append(x509.NameAttribute(NameOID.EMAIL_ADDRESS, email))
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name(subject))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(TIME - timedelta(days=1))
        .not_valid_after(TIME + timedelta(days=1))
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    for extension, critical in more:
        builder = builder.add_extension(extension, critical=critical)
    return builder.sign(signer, hashes.SHA256()).public_bytes(DER)


def mailbox(text: str) -> x509.RFC822Name:
    return x509.RFC822Name._init_without_validation(text)


@pytest.mark.parametrize(
    "text",
    [
        "boss@corp.test ",
        " boss@corp.test",
        "bo ss@corp.test",
        "boss@corp.test\0.evil",
        "boss@corp.test\t",
        "\tboss@corp.test",
        "boss@corp.test.",
        "boss@corp.test,eve@evil.test",
        "<boss@corp.test>",
        "Boss <boss@corp.test>",
        "boss@corp.test@evil.test",
        '"boss@corp.test "@evil.test',
        "*@corp.test",
        "@corp.test",
        "corp.test",
        "Boss@corp.test",
        "boss@sub.corp.test",
        "boss%corp.test@evil.test",
        "boss@xn--crp-jua.test",
        "boss@corp.test\r\n",
        "",
    ],
)
def test_only_the_exact_address_is_spoken_for(text: str) -> None:
    assert not speaks_for(read_certificate(certificate(mailbox(text))), BOSS)


@pytest.mark.parametrize("text", ["boss@corp.test", "boss@CORP.Test", '"boss"@corp.test'])
def test_the_domain_is_folded_and_quotes_mean_nothing(text: str) -> None:
    assert speaks_for(read_certificate(certificate(mailbox(text))), BOSS)


@pytest.mark.parametrize(
    ("cn", "folded"),
    [
        ("Zoë  KELLER", "zoë keller"),
        ("a\x00b\nc\u202ed", "a b c d"),  # what a database or a line cannot hold
        ("x" * 64, "x" * 64),
        (" ", ""),
    ],
)
def test_names_are_folded_for_who_searches(cn: str, folded: str) -> None:
    assert found_by(certificate(cn=cn)) == folded


def test_unreadable_names_find_nobody_and_stop_nothing() -> None:
    der = certificate(cn="abcd").replace(b"\x0c\x04abcd", b"\x0c\x04\xff\xff\xff\xff")
    assert found_by(der) == ""
    assert found_by(b"nonsense") == ""


def test_names_elsewhere_do_not_count() -> None:
    for made in (
        certificate(cn="boss@corp.test"),
        certificate(x509.DNSName("corp.test"), email="boss@corp.test"),
        certificate(x509.UniformResourceIdentifier("mailto:boss@corp.test")),
        certificate(mailbox("eve@evil.test"), cn="boss@corp.test", email="boss@corp.test"),
        certificate(x509.OtherName(ObjectIdentifier("1.3.6.1.5.5.7.8.9"), b"\x0c\x0eboss@corp.test")),
        certificate(*(mailbox(f"user{number}@corp.test") for number in range(100)), mailbox("boss@corp.test")),
    ):
        assert not speaks_for(read_certificate(made), BOSS)
    assert speaks_for(read_certificate(certificate(email="boss@corp.test")), BOSS)
    assert speaks_for(read_certificate(certificate(mailbox("a@b.test"), mailbox("boss@corp.test"))), BOSS)


def test_what_issue_makes(ann: Person) -> None:
    one = read_certificate(ann.der)
    assert (one.addresses, one.key_kind, one.is_ca) == (("ann@inside.test",), "rsa-2048", False)
    assert one.may_sign and one.may_encrypt
    assert (one.not_before, one.not_after) == (NOW - 3600, NOW + 365 * 86_400)
    assert pickle.loads(pickle.dumps(one)) == one


def test_an_end_certificate_never_outlives_its_authority() -> None:
    key, der = make_authority("Short", years=1, now=NOW, kind="p-256")
    _, made = issue(key, der, address="a@b.test", name="A", days=5_000, now=NOW, kind="p-256")
    assert read_certificate(made).not_after <= read_certificate(der).not_after
    with pytest.raises(BadKey, match="expired"):
        issue(key, der, address="a@b.test", name="A", days=1, now=NOW + 2 * 365 * 86_400)
    with pytest.raises(BadAddress):
        issue(key, der, address="no address", name="A", days=1, now=NOW)
    with pytest.raises(BadKey, match="rsa-2048"):
        issue(key, der, address="a@b.test", name="A", days=1, now=NOW, kind="rsa-512")


@pytest.mark.parametrize(
    "data", [b"", b"\x30", b"\x30\x03\x02\x01\x01", b"x" * 100, b"\x30\x80" * 1000, b"\0" * 70_000]
)
def test_garbage_is_a_bad_key(data: bytes) -> None:
    for read in (read_certificates, read_private_key, lambda data: read_pkcs12(data, "x"), describe, load_key):
        with pytest.raises(BadKey):
            read(data)


def test_pem_files(ann: Person, bob: Person) -> None:
    text = b"some words\n" + to_pem(ann.der) + b"more\n" + to_pem(bob.der)
    assert [one.der for one in read_certificates(text)] == [ann.der, bob.der]
    assert read_private_key(key_to_pem(ann.key)) == ann.key
    locked = load_key(ann.key).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"word"),
    )
    assert read_private_key(locked, b"word") == ann.key
    for password in (None, b"other"):
        with pytest.raises(BadKey):
            read_private_key(locked, password)


def test_pkcs12(ann: Person, bob: Person, authority: Authority) -> None:
    data = write_pkcs12(ann.key, ann.der, [authority.der], name="Ann", password="word")
    key, one, chain = read_pkcs12(data, "word")
    assert (key, one.der, [link.der for link in chain]) == (ann.key, ann.der, [authority.der])
    for password in (None, "", "other"):
        with pytest.raises(BadKey):
            read_pkcs12(data, password)
    with pytest.raises(BadKey):
        write_pkcs12(ann.key, ann.der, [], name="Ann", password="")
    assert fits(ann.key, ann.der) and not fits(ann.key, bob.der)


def test_describe_tells_facts_and_no_secret(ann: Person, authority: Authority) -> None:
    data = write_pkcs12(ann.key, ann.der, [authority.der], name="Ann", password="word")
    facts = describe(data, "word")
    first, second = facts["certificates"]
    assert facts["private_key"] == {"kind": "rsa-2048", "fits": [first["fingerprint"]]}
    assert first["addresses"] == ["ann@inside.test"] and second["is_ca"]
    assert describe(to_pem(ann.der) + key_to_pem(ann.key)) == {
        "certificates": [first],
        "private_key": facts["private_key"],
    }
    assert describe(ann.der) == {"certificates": [first]}
    assert describe(ann.key)["private_key"] == {"kind": "rsa-2048", "fits": []}


def test_the_demonstrations_tls_is_not_for_mail(authority: Authority) -> None:
    key, der = make_tls(authority.key, authority.der, names=["gw.test"], ips=["127.0.0.1"], days=9, now=NOW)
    one = read_certificate(der)
    assert fits(key, der) and not one.may_sign and not one.may_encrypt
    names = load(der).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["gw.test"]
    assert judge(one, [], [authority.der], NOW, use="sign").reason == "wrong-use"


# Judging


def authority_extensions(path_length: int | None = None, ca: bool = True, *others):
    return [
        (x509.BasicConstraints(ca=ca, path_length=path_length if ca else None), True),
        *((one, True) for one in others),
    ]


ROOT = certificate(cn="Root", key=CA_KEY, more=authority_extensions())
MIDDLE_KEY = ec.generate_private_key(ec.SECP256R1())


def reason(der: bytes, chain=(), roots=(ROOT,), at: float = NOW, use: str = "sign") -> str:
    return judge(read_certificate(der), chain, roots, at, use=use).reason


LEAF = certificate(mailbox("boss@corp.test"))


def test_a_good_certificate_and_its_time() -> None:
    assert reason(LEAF) == "good"
    assert reason(LEAF, at=NOW + 2 * 86_400) == "expired"
    assert reason(LEAF, at=NOW - 2 * 86_400) == "not-yet-valid"


def test_nobody_vouches_for_it() -> None:
    other = certificate(cn="Other", issuer="Other", key=MIDDLE_KEY, signer=MIDDLE_KEY, more=authority_extensions())
    assert reason(LEAF, roots=()) == reason(LEAF, roots=(other,)) == "unknown-issuer"
    assert judge(read_certificate(LEAF), [], [other], NOW, use="sign").unknown
    # What came with the mail is not a root, even if it signed itself.
    assert reason(LEAF, chain=[ROOT], roots=(other,)) == "unknown-issuer"


def test_an_authority_of_the_same_name_is_not_the_authority() -> None:
    forged = certificate(mailbox("boss@corp.test"), signer=MIDDLE_KEY)
    twin = certificate(cn="Root", key=MIDDLE_KEY, signer=MIDDLE_KEY, more=authority_extensions())
    assert reason(forged) == reason(forged, chain=[twin]) == "bad-chain"


def test_a_certificate_may_be_trusted_by_itself() -> None:
    alone = certificate(mailbox("boss@corp.test"), cn="x", issuer="x", signer=SOME_KEY)
    assert reason(alone) == "unknown-issuer"
    assert reason(alone, roots=(ROOT, alone)) == "pinned"
    assert reason(alone, roots=(alone,), at=NOW + 2 * 86_400) == "expired"


def chained(*extensions) -> str:
    middle = certificate(cn="Middle", key=MIDDLE_KEY, more=extensions)
    leaf = certificate(mailbox("boss@corp.test"), issuer="Middle", signer=MIDDLE_KEY)
    return reason(leaf, chain=[b"rubbish", LEAF, middle])


def test_chains() -> None:
    only = x509.NameConstraints(permitted_subtrees=[x509.RFC822Name("corp.test")], excluded_subtrees=None)
    never = x509.NameConstraints(permitted_subtrees=[x509.RFC822Name("other.test")], excluded_subtrees=None)
    tls = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
    assert chained(*authority_extensions()) == "good"
    assert chained(*authority_extensions(0)) == "good"
    assert chained() == "bad-chain"
    assert chained(*authority_extensions(None, False)) == "bad-chain"
    assert chained(*authority_extensions(None, True, only)) == "good"
    assert chained(*authority_extensions(None, True, never)) == "bad-chain"
    assert chained(*authority_extensions(None, True, tls)) == "bad-chain"


def test_path_length() -> None:
    last_key = ec.generate_private_key(ec.SECP256R1())
    leaf = certificate(mailbox("boss@corp.test"), issuer="Last", signer=last_key)
    last = certificate(cn="Last", issuer="Middle", key=last_key, signer=MIDDLE_KEY, more=authority_extensions())
    for length, expected in ((0, "bad-chain"), (1, "good")):
        middle = certificate(cn="Middle", key=MIDDLE_KEY, more=authority_extensions(length))
        assert reason(leaf, chain=[last, middle]) == expected


@pytest.mark.parametrize(
    ("uses", "expected"),
    [
        ([ExtendedKeyUsageOID.EMAIL_PROTECTION], "good"),
        ([ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE], "good"),
        ([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH], "wrong-use"),
    ],
)
def test_extended_uses(uses: list[ObjectIdentifier], expected: str) -> None:
    der = certificate(mailbox("boss@corp.test"), more=[(x509.ExtendedKeyUsage(uses), False)])
    assert reason(der) == expected


def test_weak_keys_are_never_good() -> None:
    short = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    for key in (short, ec.generate_private_key(ec.SECP192R1())):
        made = certificate(mailbox("boss@corp.test"), key=key)
        assert reason(made) == reason(made, use="encrypt") == "weak-key"


def test_an_authority_does_not_write_mail() -> None:
    assert reason(ROOT) == "wrong-use"


def test_an_unknown_critical_extension_is_refused() -> None:
    odd = x509.UnrecognizedExtension(ObjectIdentifier("1.2.3.4.5"), b"\x05\x00")
    assert reason(certificate(mailbox("boss@corp.test"), more=[(odd, True)])) == "bad-chain"
    assert reason(certificate(mailbox("boss@corp.test"), more=[(odd, False)])) == "good"


# Keys that are bound to one scheme (RFC 4055 1.2)


@pytest.fixture(scope="module")
def bound(authority: Authority) -> dict[str, Person]:
    """Certificates whose key says that it is for PSS or for OAEP alone."""
    return {"pss": bound_person(authority, oids.RSA_PSS), "oaep": bound_person(authority, oids.RSA_OAEP)}


def bound_person(authority: Authority, kind: bytes) -> Person:
    key = rsa.generate_private_key(65537, 2048)
    numbers = key.public_key().public_numbers()
    bits = der.tlv(der.BITS, b"\0", der.sequence(der.integer(numbers.n), der.integer(numbers.e)))
    spki = der.sequence(der.algorithm(kind), bits)
    made = shapes.certificate(authority, spki, shapes.mailbox(b"ann@inside.test"))
    return Person("ann@inside.test", key_bytes(key), made)


def test_a_key_for_pss_alone_signs_by_pss_and_opens_nothing(bound: dict[str, Person], authority: Authority) -> None:
    ann = bound["pss"]
    read = read_certificate(ann.der)
    assert (read.may_sign, read.may_encrypt, read.key_kind) == (True, False, "rsa-2048")
    assert judge(read, [], [authority.der], NOW, use="sign").good
    assert judge(read, [], [authority.der], NOW, use="encrypt").reason == "wrong-use"
    signed, _ = cms_write.sign(b"text", ann.key, ann.der, [], NOW)
    assert [one.state for one in verify(signed, b"text").signatures] == ["good"]
    info = shapes.signer_info(ann.key, ann.der, *shapes.usual_attributes())
    [other] = verify(shapes.signed_data(info, certificates=[ann.der]), shapes.ENTITY).signatures
    assert (other.state, other.reason) == ("bad", "wrong-scheme")


def test_a_key_for_oaep_alone_is_encrypted_to_by_oaep_and_signs_nothing(
    bound: dict[str, Person], authority: Authority
) -> None:
    ann = bound["oaep"]
    read = read_certificate(ann.der)
    assert (read.may_sign, read.may_encrypt, read.key_kind) == (False, True, "rsa-2048")
    assert judge(read, [], [authority.der], NOW, use="encrypt").good
    assert fits(ann.key, ann.der)
    sealed = cms_write.encrypt_cbc(b"text", [ann.der])
    assert OAEP_IDENTIFIER in sealed
    assert decrypt(sealed, [ann.pair]).content == b"text"


def test_every_kind_of_key_has_its_uses(authority: Authority) -> None:
    uses = {}
    for kind in KEY_KINDS:
        read = read_certificate(authority.person("ann@inside.test", kind=kind).der)
        assert read.key_kind == kind
        uses[kind] = (read.may_sign, read.may_encrypt)
    assert {kind for kind, use in uses.items() if use == (True, False)} == {"ed25519", "ed448"}
    assert {kind for kind, use in uses.items() if use == (False, True)} == {"x25519", "x448"}
    assert set(uses.values()) == {(True, True), (True, False), (False, True)}


@pytest.mark.parametrize("kind", ["ed25519", "x25519", "dsa", ""])
def test_an_authority_has_a_key_that_every_program_follows(kind: str) -> None:
    with pytest.raises(BadKey):
        make_authority("x", years=1, now=NOW, kind=kind)


def test_a_key_that_only_agrees_does_not_go_into_pkcs12(authority: Authority) -> None:
    person = authority.person("ann@inside.test", kind="x25519")
    with pytest.raises(BadKey, match="PKCS #12"):
        write_pkcs12(person.key, person.der, [], name="x", password="secret")
