"""Authorities with keys on other curves: followed by the same rules as all others, and every broken way is refused."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import attrs
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from securegw.crypto import other_authorities
from securegw.crypto.certificate import read_certificate
from securegw.crypto.chain import Trust, judge
from tests.crypto.people import NOW

KINDS: dict[str, Callable[[], Any]] = {
    "ed25519": ed25519.Ed25519PrivateKey.generate,
    "ed448": ed448.Ed448PrivateKey.generate,
    "brainpool": lambda: ec.generate_private_key(ec.BrainpoolP384R1()),
    "p-256": lambda: ec.generate_private_key(ec.SECP256R1()),
}
DAY = 86_400.0


@attrs.frozen
class Maker:
    """An authority: its name, its key, its certificate."""

    name: str
    key: Any
    der: bytes = b""


@attrs.define
class Wanted:
    """What a certificate is like; a test changes one thing."""

    ca: bool = True
    path_length: int | None = None
    cert_sign: bool = True
    uses: tuple[x509.ObjectIdentifier, ...] = ()
    more: tuple[tuple[x509.ExtensionType, bool], ...] = ()
    since: float = NOW - 30 * DAY
    until: float = NOW + 30 * DAY
    digest: hashes.HashAlgorithm = attrs.field(factory=hashes.SHA256)
    basic: bool = True


def make(issuer: Maker, name: str, public: Any, wanted: Wanted) -> bytes:
    def at(moment: float) -> dt.datetime:
        return dt.datetime.fromtimestamp(moment, dt.UTC)

    def named(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    builder = (
        x509.CertificateBuilder()
        .subject_name(named(name))
        .issuer_name(named(issuer.name))
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(at(wanted.since))
        .not_valid_after(at(wanted.until))
        .add_extension(
            x509.KeyUsage(not wanted.ca, False, False, False, False, wanted.cert_sign, wanted.ca, False, False),
            critical=True,
        )
    )
    if wanted.basic:
        builder = builder.add_extension(x509.BasicConstraints(wanted.ca, wanted.path_length), critical=True)
    if wanted.uses:
        builder = builder.add_extension(x509.ExtendedKeyUsage(wanted.uses), critical=False)
    for value, critical in wanted.more:
        builder = builder.add_extension(value, critical=critical)
    edwards = isinstance(issuer.key, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey)
    made = builder.sign(issuer.key, None if edwards else wanted.digest)
    return made.public_bytes(serialization.Encoding.DER)


def root(kind: str, name: str = "Root") -> Maker:
    maker = Maker(name, KINDS[kind]())
    return attrs.evolve(maker, der=make(maker, name, maker.key.public_key(), Wanted()))


def below(issuer: Maker, kind: str, name: str = "Middle", **changed: Any) -> Maker:
    key = KINDS[kind]()
    return Maker(name, key, make(issuer, name, key.public_key(), Wanted(**changed)))


MAIL_NAME = (x509.SubjectAlternativeName([x509.RFC822Name("ann@inside.test")]), False)
LEAF_KEY = rsa.generate_private_key(65537, 2048)


def leaf(issuer: Maker, **changed: Any) -> bytes:
    wanted = Wanted(ca=False, cert_sign=False, uses=(ExtendedKeyUsageOID.EMAIL_PROTECTION,), more=(MAIL_NAME,))
    return make(issuer, "Ann", LEAF_KEY.public_key(), attrs.evolve(wanted, **changed))


def judged(der: bytes, *chain: Maker, roots: list[Maker]) -> Trust:
    found = read_certificate(der)
    return judge(found, [one.der for one in chain], [one.der for one in roots], NOW, use="sign")


@pytest.mark.parametrize("top", ["ed25519", "ed448", "brainpool"])
@pytest.mark.parametrize("middle", list(KINDS))
def test_every_kind_of_authority_is_followed(top: str, middle: str) -> None:
    above = root(top)
    between = below(above, middle)
    assert judged(leaf(above), roots=[above]).good
    found = judged(leaf(between), below(root(top), middle, "Another"), between, roots=[root("p-256", "Else"), above])
    assert found.good and found.links == (between.der,)
    assert judged(leaf(between), roots=[above]).reason == "unknown-issuer"


def test_a_usual_root_vouches_for_another_kind_of_authority() -> None:
    above = root("p-256")
    between = below(above, "ed25519")
    assert judged(leaf(between), between, roots=[above]).links == (between.der,)


NOT_MAIL = (ExtendedKeyUsageOID.SERVER_AUTH,)
CONSTRAINED = x509.NameConstraints([x509.RFC822Name("inside.test")], None)
STRANGE = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")
BAD_LINKS: dict[str, dict[str, Any]] = {
    "no-authority": {"ca": False},
    "no-basic-constraints": {"basic": False},
    "signs-no-certificates": {"cert_sign": False},
    "for-servers-alone": {"uses": NOT_MAIL},
    "over": {"until": NOW - DAY},
    "not-yet": {"since": NOW + DAY},
    "constrained": {"more": ((CONSTRAINED, True),)},
    "constrained-though-not-critical": {"more": ((CONSTRAINED, False),)},
    "not-understood": {"more": ((STRANGE, True),)},
}


@pytest.mark.parametrize("wrong", BAD_LINKS)
@pytest.mark.parametrize("kind", ["ed25519", "p-256"])
def test_a_link_that_is_not_in_order_ends_the_way(wrong: str, kind: str) -> None:
    above = root("ed25519")
    between = below(above, kind, **BAD_LINKS[wrong])
    assert judged(leaf(between), between, roots=[above]) == Trust(False, "bad-chain")
    # Nor does it vouch for what another one of its name has signed.
    assert judged(leaf(below(above, kind)), between, roots=[above]) == Trust(False, "bad-chain")


@pytest.mark.parametrize("wrong", BAD_LINKS)
def test_a_root_that_is_not_in_order_ends_it_too(wrong: str) -> None:
    maker = Maker("Root", KINDS["ed25519"]())
    above = attrs.evolve(maker, der=make(maker, "Root", maker.key.public_key(), Wanted(**BAD_LINKS[wrong])))
    assert not judged(leaf(above), roots=[above]).good


def test_a_critical_field_of_the_certificate_itself_that_is_not_understood() -> None:
    above = root("ed25519")
    assert not judged(leaf(above, more=(MAIL_NAME, (STRANGE, True))), roots=[above]).good
    assert judged(leaf(above, more=(MAIL_NAME, (STRANGE, False))), roots=[above]).good


def test_old_digests_count_for_nothing() -> None:
    above = root("brainpool")
    assert judged(leaf(above, digest=hashes.SHA512()), roots=[above]).good
    assert not judged(leaf(above, digest=hashes.SHA224()), roots=[above]).good


def test_path_lengths_count_the_authorities_below() -> None:
    maker = Maker("Root", KINDS["ed25519"]())
    above = attrs.evolve(maker, der=make(maker, "Root", maker.key.public_key(), Wanted(path_length=1)))
    first = below(above, "ed25519", "First", path_length=0)
    second = below(first, "ed25519", "Second")
    assert judged(leaf(first), first, roots=[above]).good
    assert not judged(leaf(second), second, first, roots=[above]).good


def test_a_long_way_ends_somewhere() -> None:
    ways = [root("ed25519")]
    for number in range(8):
        ways.append(below(ways[-1], "ed25519", f"Link {number}"))
    assert judged(leaf(ways[6]), *ways[1:7], roots=ways[:1]).good
    assert not judged(leaf(ways[8]), *ways[1:], roots=ways[:1]).good


def test_a_namesake_of_the_root_is_not_the_root() -> None:
    above, namesake = root("ed25519"), root("ed25519")
    assert judged(leaf(namesake), namesake, roots=[above]) == Trust(False, "bad-chain")


def test_authorities_that_vouch_for_each_other_cost_little(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fifty authorities of two names, each of which could have issued each: the number of signatures is bounded."""
    one, other = Maker("One", KINDS["ed25519"]()), Maker("Other", KINDS["ed25519"]())
    heap = [
        attrs.evolve(below_one, der=make(above, below_one.name, below_one.key.public_key(), Wanted()))
        for above, below_one in ((one, other), (other, one)) * 25
    ]
    checked: list[x509.Certificate] = []
    follow = other_authorities._Search._may_issue

    def counted(self: Any, issuer: x509.Certificate, way: Any) -> bool:
        checked.append(issuer)
        return follow(self, issuer, way)

    monkeypatch.setattr(other_authorities._Search, "_may_issue", counted)
    trusted = attrs.evolve(one, der=root("ed25519", "One").der)
    assert judged(leaf(one), *heap, roots=[trusted]) == Trust(False, "bad-chain")
    assert len(checked) < 50 * other_authorities.MOST_SIGNATURES


def test_what_the_verifier_refuses_is_not_taken_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where all authorities have keys that it takes, its word is the last one."""
    above = root("p-256")
    between = below(above, "p-256")
    good = leaf(between)
    load = x509.load_der_x509_certificate
    way = other_authorities.follow(load(good), [load(between.der)], [load(above.der)], NOW, 6)
    assert way is None
